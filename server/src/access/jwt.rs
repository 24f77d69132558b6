//! Signed tokens: JSON Web Tokens (RFC 7519) under keys of a JWK Set (RFC 7517), with HS256 or EdDSA (Ed25519).
//!
//! Where in the flow: between a token's text and what it allows. The algorithm is the key's, never the token's own
//! word. Keeps no token: only what a valid one said.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier};
use jsonwebtoken::errors::{Error as JwtError, ErrorKind};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::signature::{Error as SignatureError, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use thiserror::Error;

use super::{Denied, Role};
use crate::limits::{CLOCK_SKEW, JWK_FILE_BYTES, JWT_BYTES, JWT_KEYS, JWT_RIGHTS, JWT_SECRET_BYTES};
use crate::settings::Pattern;

/// What a valid token said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The key that it was signed with.
    pub key: String,
    /// `sub`: whose it is.
    pub subject: String,
    /// `exp`, seconds since 1970.
    pub expires: i64,
    /// `iat`, seconds since 1970.
    pub issued: Option<i64>,
    /// `greenlight`: what it allows.
    pub rights: Vec<Right>,
}

impl Verified {
    /// The end of its time, clocks that differ allowed for: seconds since 1970.
    pub fn good_until(&self) -> i64 {
        self.expires.saturating_add(i64::try_from(CLOCK_SKEW.as_secs()).unwrap_or(0))
    }

    /// Whether its time is over.
    pub(super) fn has_expired(&self, now: i64) -> bool {
        now >= self.good_until()
    }
}

/// One item of a token's `greenlight` claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The databases.
    pub database: Pattern,
    /// What it allows there.
    pub role: Role,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: Seconds,
    iat: Option<Seconds>,
    greenlight: Vec<RightClaim>,
}

/// A moment as RFC 7519 has it: seconds since 1970, also with a fraction, which is dropped.
#[derive(Clone, Copy, Deserialize)]
#[serde(from = "f64")]
struct Seconds(i64);

impl From<f64> for Seconds {
    fn from(seconds: f64) -> Self {
        // Out of range it is the nearest that there is.
        Self(seconds as i64)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RightClaim {
    database: String,
    role: Role,
}

/// Why keys can't be used; each is a sentence for an operator, without the key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file.
    #[error("the file of keys can't be read: {0}")]
    File(std::io::Error),
    /// Too large.
    #[error("the file of keys is larger than {JWK_FILE_BYTES} bytes")]
    TooLarge,
    /// Not a JWK Set.
    #[error("the file of keys is no JWK Set, such as {{\"keys\": [{{\"kty\": \"OKP\", ...}}]}}")]
    NotASet,
    /// More keys than are taken.
    #[error("the file of keys holds more than {JWT_KEYS}")]
    TooMany,
    /// A key without a name, or two of one name.
    #[error("each key needs a `kid` of its own")]
    Name,
    /// A key that this server can't check by.
    #[error("the key `{0}` is neither Ed25519 (kty OKP) nor HS256 (kty oct)")]
    Kind(String),
    /// A secret that can be guessed.
    #[error("the secret of the key `{0}` is shorter than {JWT_SECRET_BYTES} bytes")]
    Short(String),
}

struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

/// The keys that tokens may be signed with, and for whom and by whom they have to be.
#[derive(Default)]
pub struct KeySet {
    keys: BTreeMap<String, Key>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// A shared [`KeySet`].
pub type Keys = Arc<KeySet>;

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.keys()).finish()
    }
}

impl KeySet {
    /// Reads a file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn read(file: &Path, issuer: Option<String>, audience: Option<String>) -> Result<Self, KeyError> {
        let length = std::fs::metadata(file).map_err(KeyError::File)?.len();
        if length > JWK_FILE_BYTES {
            return Err(KeyError::TooLarge);
        }
        let text = std::fs::read_to_string(file).map_err(KeyError::File)?;
        Self::parse(&text, issuer, audience)
    }

    /// Reads a JWK Set.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str, issuer: Option<String>, audience: Option<String>) -> Result<Self, KeyError> {
        // A refusal means that somebody in this process brought cryptography along, which is then as good.
        let _installed = PROVIDER.install_default();
        // What the parser says of a wrong file may quote it.
        let set: JwkSet = serde_json::from_str(text).map_err(|_| KeyError::NotASet)?;
        if set.keys.len() > JWT_KEYS {
            return Err(KeyError::TooMany);
        }
        let mut keys = BTreeMap::new();
        for jwk in &set.keys {
            let name = jwk.common.key_id.clone().ok_or(KeyError::Name)?;
            let key = key(&name, jwk)?;
            if keys.insert(name, key).is_some() {
                return Err(KeyError::Name);
            }
        }
        Ok(Self { keys, issuer, audience })
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the key that a token was signed with is still among these.
    pub(super) fn has(&self, verified: &Verified) -> bool {
        self.keys.contains_key(&verified.key)
    }

    /// Checks a token; `None` for a text that is not of the form of one, or where there are no keys.
    pub fn verify(&self, token: &str) -> Option<Result<Verified, Denied>> {
        if self.keys.is_empty() || token.len() > JWT_BYTES || token.bytes().filter(|&byte| byte == b'.').count() != 2 {
            return None;
        }
        Some(self.check(token))
    }

    fn check(&self, token: &str) -> Result<Verified, Denied> {
        let header = decode_header(token).map_err(|_| Denied::Unauthorized)?;
        let name = match header.kid {
            Some(name) => name,
            None if self.keys.len() == 1 => self.keys.keys().next().cloned().unwrap_or_default(),
            None => return Err(Denied::Unauthorized),
        };
        let key = self.keys.get(&name).ok_or(Denied::Unauthorized)?;
        let claims = decode::<Claims>(token, &key.decoding, &self.validation(key.algorithm));
        let claims = claims.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Denied::Expired,
            _ => Denied::Unauthorized,
        })?;
        let Claims { sub, exp, iat, greenlight } = claims.claims;
        if greenlight.len() > JWT_RIGHTS {
            return Err(Denied::Unauthorized);
        }
        let rights = greenlight.into_iter().map(|claim| {
            let database = Pattern::new(&claim.database, "greenlight").map_err(|_| Denied::Unauthorized)?;
            Ok(Right { database, role: claim.role })
        });
        let rights = rights.collect::<Result<_, _>>()?;
        Ok(Verified { key: name, subject: sub, expires: exp.0, issued: iat.map(|iat| iat.0), rights })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = CLOCK_SKEW.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            // A token for somebody else's ears may still be for ours: nobody said what we are called.
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

fn key(name: &str, jwk: &Jwk) -> Result<Key, KeyError> {
    let unfit = || KeyError::Kind(name.to_owned());
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::OctetKey(_) => Algorithm::HS256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return Err(unfit()),
    };
    let said = jwk.common.key_algorithm.map(|said| said.to_string());
    if said.is_some_and(|said| said != format!("{algorithm:?}")) {
        return Err(unfit());
    }
    let decoding = DecodingKey::from_jwk(jwk).map_err(|_| unfit())?;
    match algorithm {
        Algorithm::HS256 if decoding.as_bytes().len() < JWT_SECRET_BYTES => Err(KeyError::Short(name.to_owned())),
        Algorithm::EdDSA if decoding.as_bytes().len() != ring::signature::ED25519_PUBLIC_KEY_LEN => Err(unfit()),
        _ => Ok(Key { algorithm, decoding }),
    }
}

// --- cryptography: ring's, which TLS brings along; the crate's own choices bring RSA and more ----------------------

static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, jwk_utils: JwkUtils::new_unimplemented() };

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, JwtError> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, JwtError> {
    match algorithm {
        Algorithm::HS256 => {
            Ok(Box::new(Hs256(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.try_get_hmac_secret()?))))
        }
        Algorithm::EdDSA => Ok(Box::new(Ed25519(key.as_bytes().to_vec()))),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Hs256(ring::hmac::Key);

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        ring::hmac::verify(&self.0, message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct Ed25519(Vec<u8>);

impl Verifier<Vec<u8>> for Ed25519 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        let key = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, &self.0);
        key.verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for Ed25519 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
