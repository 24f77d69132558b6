//! Who may do what: roles, tokens, the rules of `--dev`, and which pages may speak to this server.
//!
//! Where in the flow: asked by every route before it does anything, by the socket when a hello came, and again when
//! tokens change. Never keeps a token, only its digest; never logs one; never compares in a time that depends on the
//! content.

mod caller;
mod gate;
mod jwt;
mod rates;
mod tokens;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::clock;
use crate::name::DatabaseName;
use crate::settings::{Pattern, SettingsError};

pub use caller::{Bearer, Caller};
pub use gate::Gate;
pub use jwt::{KeySet, Keys, Verified};
pub use rates::{Rates, Seat, Throttled};
pub use tokens::{NewToken, RevokedSubject, StoredToken, TokenFile, TokenFileError};

/// What a request may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Read: meta, file, and a socket that only receives.
    Read,
    /// Write: a socket that sends.
    Write,
    /// Everything: exec, reset, status.
    Admin,
}

impl Role {
    /// The role's word in configuration and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The role of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Admin].into_iter().find(|role| role.word() == word)
    }
}

/// Why a request may not do what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Denied {
    /// No token, or one that nobody knows.
    #[error("this needs a token that is known here")]
    Unauthorized,
    /// A token that was good until some time ago.
    #[error("this token has expired")]
    Expired,
    /// A token that was taken back.
    #[error("this token was revoked")]
    Revoked,
    /// A known token whose role does not reach.
    #[error("this token's role is not enough: `{}` is needed", .0.word())]
    Forbidden(Role),
    /// `--dev`, and the request does not come from this machine itself.
    #[error("this server runs in development: it answers this machine itself and no proxy")]
    Development,
    /// A page of another origin.
    #[error("pages of this origin may not speak to this server; its operator can allow it")]
    Origin,
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenDigest([u8; 32]);

impl std::fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenDigest({})", self.id())
    }
}

impl TokenDigest {
    /// Digests a token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut digest = [0; 32];
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(Self(digest))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// By what operators call the token: the first 8 of these digits, which lead nobody to it.
    pub fn id(self) -> String {
        self.to_hex()[..8].to_owned()
    }
}

/// One token that is known by its digest.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The databases that it opens.
    pub databases: Pattern,
    /// What it allows there.
    pub role: Role,
    /// The token's digest.
    pub digest: TokenDigest,
    /// Until when, seconds since 1970.
    pub expires: Option<i64>,
}

impl Grant {
    /// For a token that never expires.
    ///
    /// # Errors
    /// A pattern that can't be used.
    pub fn new(databases: &str, role: Role, token: &str) -> Result<Self, SettingsError> {
        let databases = Pattern::new(databases, "token.database")?;
        Ok(Self { databases, role, digest: TokenDigest::of(token), expires: None })
    }
}

/// Who it is, as the audit log and operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Whoever sits at this machine, with `--dev`.
    Development,
    /// The bearer of a token, by its id.
    Token(String),
    /// Whom a signed token names.
    Subject(String),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Development => f.write_str("development"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Subject(subject) => write!(f, "subject:{subject}"),
        }
    }
}

/// By what someone was let in: enough to ask again later, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    Development,
    Token(TokenDigest),
    Signed(Box<Verified>),
}

/// Somebody was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// What they may do, at most.
    pub role: Role,
    /// Who they are.
    pub who: Who,
    /// Until when, seconds since 1970.
    pub expires: Option<i64>,
    proof: Proof,
}

impl Pass {
    /// That of `--dev`.
    fn development() -> Self {
        Self { role: Role::Admin, who: Who::Development, expires: None, proof: Proof::Development }
    }
}

/// Who may come in.
#[derive(Clone, Default)]
pub struct Access {
    grants: Vec<Grant>,
    keys: Keys,
    revoked: Vec<RevokedSubject>,
    /// Whether somebody was named, which ends what development allows.
    ends_development: bool,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Access({} tokens, {} keys)", self.grants.len(), self.keys.len())
    }
}

impl Access {
    /// With these tokens.
    pub fn new(grants: Vec<Grant>) -> Self {
        Self { grants, ..Self::default() }
    }

    /// The same and what the token file and the keys of signed tokens add.
    pub fn with(&self, file: &TokenFile, keys: Keys) -> Self {
        let grants = self.grants.iter().cloned().chain(file.grants()).collect();
        Self { grants, keys, revoked: file.revoked_subjects.clone(), ends_development: false }
    }

    /// The same, but whoever sits at this machine is asked for a token too, with `--dev` as well.
    pub fn without_development(self) -> Self {
        Self { ends_development: true, ..self }
    }

    /// Whether what development allows has ended.
    pub fn ends_development(&self) -> bool {
        self.ends_development
    }

    /// Whether nobody can come in.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.keys.is_empty()
    }

    /// Lets the bearer of a token in, if it allows `need` on a database or, without one, on the server as a whole:
    /// there only a grant for every database counts.
    ///
    /// # Errors
    /// [`Denied::Unauthorized`], [`Denied::Expired`], [`Denied::Revoked`]; [`Denied::Forbidden`] for a good token that
    /// does not reach.
    pub fn admit(&self, token: &str, database: Option<&DatabaseName>, need: Role) -> Result<Pass, Denied> {
        let proof = match self.keys.verify(token) {
            Some(verified) => Proof::Signed(Box::new(verified?)),
            None => Proof::Token(TokenDigest::of(token)),
        };
        let pass = self.pass(proof, database)?;
        pass.filter(|pass| pass.role >= need).ok_or(Denied::Forbidden(need))
    }

    /// What a pass that was given earlier allows now.
    ///
    /// # Errors
    /// As [`Access::admit`]; [`Denied::Revoked`] for a token that isn't known any more.
    pub fn renew(&self, pass: &Pass, database: &DatabaseName) -> Result<Pass, Denied> {
        match self.pass(pass.proof.clone(), Some(database)) {
            Ok(Some(renewed)) => Ok(renewed),
            Ok(None) => Err(Denied::Forbidden(Role::Read)),
            Err(Denied::Unauthorized) => Err(Denied::Revoked),
            Err(denied) => Err(denied),
        }
    }

    /// `Ok(None)` is somebody known without any right here.
    fn pass(&self, proof: Proof, database: Option<&DatabaseName>) -> Result<Option<Pass>, Denied> {
        let now = clock::wall_ms() / 1000;
        let here =
            |pattern: &Pattern| database.map_or_else(|| pattern.matches_all(), |name| pattern.matches(name.as_str()));
        match &proof {
            Proof::Development if self.ends_development => Err(Denied::Revoked),
            Proof::Development => Ok(Some(Pass::development())),
            Proof::Token(digest) => {
                // All are looked at, whichever it is.
                let known = self.grants.iter().filter(|grant| bool::from(grant.digest.0.ct_eq(&digest.0)));
                let known: Vec<&Grant> = known.collect();
                let good = || known.iter().filter(|grant| grant.expires.is_none_or(|expires| now < expires));
                if good().next().is_none() {
                    return Err(if known.is_empty() { Denied::Unauthorized } else { Denied::Expired });
                }
                let best = good().filter(|grant| here(&grant.databases)).max_by_key(|grant| grant.role);
                let (who, best) = (Who::Token(digest.id()), best.map(|grant| (grant.role, grant.expires)));
                Ok(best.map(|(role, expires)| Pass { role, who, expires, proof }))
            }
            Proof::Signed(verified) => {
                if !self.keys.has(verified) {
                    return Err(Denied::Revoked);
                }
                if verified.has_expired(now) {
                    return Err(Denied::Expired);
                }
                if self.revoked.iter().any(|revoked| revoked.covers(verified)) {
                    return Err(Denied::Revoked);
                }
                let role = verified.rights.iter().filter(|right| here(&right.database)).map(|right| right.role).max();
                let (who, expires) = (Who::Subject(verified.subject.clone()), Some(verified.good_until()));
                Ok(role.map(|role| Pass { role, who, expires, proof }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> DatabaseName {
        DatabaseName::parse(text).unwrap()
    }

    #[test]
    fn a_token_opens_what_it_was_given_for() {
        let access = Access::new(vec![
            Grant::new("shop*", Role::Write, "aaa").unwrap(),
            Grant::new("*", Role::Admin, "root").unwrap(),
        ]);
        let (shop, notes) = (name("shop-1"), name("notes"));
        let role = |token, database, need| access.admit(token, database, need).map(|pass| pass.role);
        assert_eq!(role("aaa", Some(&shop), Role::Read), Ok(Role::Write));
        assert_eq!(role("aaa", Some(&shop), Role::Admin), Err(Denied::Forbidden(Role::Admin)));
        assert_eq!(role("aaa", Some(&notes), Role::Read), Err(Denied::Forbidden(Role::Read)));
        assert_eq!(role("aaa", None, Role::Admin), Err(Denied::Forbidden(Role::Admin)));
        assert_eq!(role("bbb", Some(&shop), Role::Read), Err(Denied::Unauthorized));
        assert_eq!(role("", Some(&shop), Role::Read), Err(Denied::Unauthorized));
        assert_eq!(role("root", None, Role::Admin), Ok(Role::Admin));
    }

    #[test]
    fn a_pass_is_good_as_long_as_its_token() {
        let grant = Grant::new("shop", Role::Write, "aaa").unwrap();
        let access = Access::new(vec![grant.clone()]);
        let pass = access.admit("aaa", Some(&name("shop")), Role::Read).unwrap();
        assert_eq!(access.renew(&pass, &name("shop")), Ok(pass.clone()));
        assert_eq!(Access::default().renew(&pass, &name("shop")), Err(Denied::Revoked));
        let less = Access::new(vec![Grant { role: Role::Read, ..grant.clone() }]);
        assert_eq!(less.renew(&pass, &name("shop")).unwrap().role, Role::Read);
        let late = Access::new(vec![Grant { expires: Some(1), ..grant }]);
        assert_eq!(late.renew(&pass, &name("shop")), Err(Denied::Expired));
        assert_eq!(late.admit("aaa", Some(&name("shop")), Role::Read), Err(Denied::Expired));
    }

    #[test]
    fn who_sits_here_is_let_go_when_somebody_is_named() {
        let (open, shop) = (Access::default(), name("shop"));
        let pass = Pass::development();
        assert_eq!(open.renew(&pass, &shop), Ok(pass.clone()));
        assert_eq!(open.without_development().renew(&pass, &shop), Err(Denied::Revoked));
    }

    #[test]
    fn a_digest_is_read_and_written() {
        let digest = TokenDigest::of("aaa");
        assert!(TokenDigest::from_hex(&digest.to_hex()) == Some(digest));
        assert_eq!(digest.id().len(), 8);
        assert!(TokenDigest::from_hex("ab").is_none());
    }
}
