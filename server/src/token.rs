//! `greenlight-server token`: adds, lists and revokes tokens in the file that running servers look at.
//!
//! Where in the flow: an operator's command, instead of serving. A token's text is printed once, when it is added, and
//! is never read from a flag, which others could see.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use thiserror::Error;

use crate::access::{NewToken, Role, StoredToken, TokenFile, TokenFileError};
use crate::audit::{Audit, Entry, Event};
use crate::clock;
use crate::settings::{FileSettings, SettingsError, audit_file_in, token_file_in};

/// What is done with tokens.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints it, once: only its digest is kept.
    Add {
        /// Whose it is, such as `till 3`.
        #[arg(long, value_name = "NAME")]
        name: String,
        /// The databases that it opens; `*` stands for any text.
        #[arg(long, value_name = "PATTERN")]
        database: String,
        /// What it allows there; each includes those before it.
        #[arg(long, value_name = "ROLE")]
        role: RoleWord,
        /// How long it is good, such as `90d` or `12h`; without it until it is revoked.
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        expires: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the file of tokens is.
        #[command(flatten)]
        place: Place,
    },
    /// Lists the tokens, without their texts.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the file of tokens is.
        #[command(flatten)]
        place: Place,
    },
    /// Takes a token back: whoever is connected with it is let go.
    Revoke {
        /// The token's name or id.
        #[arg(value_name = "TOKEN", required_unless_present = "subject")]
        token: Option<String>,
        /// Instead: all signed tokens of this subject (`sub`) that were issued until now.
        #[arg(long, value_name = "SUBJECT", conflicts_with = "token")]
        subject: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Where the file of tokens is.
        #[command(flatten)]
        place: Place,
    },
}

/// [`Role`] on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RoleWord {
    /// Receive.
    Read,
    /// Receive and send.
    Write,
    /// Everything, SQL and resets included.
    Admin,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Read => Self::Read,
            RoleWord::Write => Self::Write,
            RoleWord::Admin => Self::Admin,
        }
    }
}

/// Where the file of tokens is.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Folder of databases, in which the file of tokens is unless it was given a place of its own.
    #[arg(long, env = "GREENLIGHT_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The file of tokens.
    #[arg(long, env = "GREENLIGHT_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,
    /// The audit log.
    #[arg(long, env = "GREENLIGHT_AUDIT", value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// Configuration file (TOML) that names them.
    #[arg(long, env = "GREENLIGHT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl TokenCommand {
    /// Where the command looks for the file of tokens, for a program that has a place of its own.
    pub fn place_mut(&mut self) -> &mut Place {
        match self {
            Self::Add { place, .. } | Self::List { place, .. } | Self::Revoke { place, .. } => place,
        }
    }
}

/// Why a command did nothing; each is a sentence.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The configuration.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The file of tokens.
    #[error(transparent)]
    File(#[from] TokenFileError),
    /// The audit log can't be written; what was asked for is not done.
    #[error("the audit log can't be opened, and nothing was changed: {0}")]
    Audit(std::io::Error),
    /// A time beyond what can be counted.
    #[error("that is too long a time")]
    Time,
}

struct Files {
    tokens: PathBuf,
    audit: PathBuf,
}

impl Place {
    fn files(&self) -> Result<Files, SettingsError> {
        let file = self.config.as_deref().map(FileSettings::read).transpose()?.unwrap_or_default();
        let data = || FileSettings::data_folder(self.data.as_deref(), self.config.as_deref());
        let tokens = self.tokens.clone().or(file.tokens);
        let tokens = tokens.map_or_else(|| data().map(|data| token_file_in(&data)), Ok)?;
        let audit = self.audit.clone().or(file.audit);
        let audit = audit.map_or_else(|| data().map(|data| audit_file_in(&data)), Ok)?;
        Ok(Files { tokens, audit })
    }
}

/// What a command printed: the answer for standard output, and what is only for a person.
#[derive(Debug, Default)]
pub struct Printed {
    /// For standard output.
    pub answer: String,
    /// For standard error.
    pub hint: String,
}

/// Carries a command out.
///
/// # Errors
/// [`TokenError`]; nothing was changed.
pub fn run(command: TokenCommand) -> Result<Printed, TokenError> {
    let now = clock::wall_ms() / 1000;
    match command {
        TokenCommand::Add { name, database, role, expires, json, place } => {
            let seconds = expires.map(|time| i64::try_from(time.as_secs()).ok().and_then(|time| now.checked_add(time)));
            let expires = seconds.map(|seconds| seconds.ok_or(TokenError::Time)).transpose()?;
            add(&place, NewToken { name, database, role: role.into(), now, expires }, json)
        }
        TokenCommand::List { json, place } => list(&place, json, now),
        TokenCommand::Revoke { token, subject, json, place } => {
            let printed = revoke(&place, token, subject, now)?;
            Ok(if json { Printed { answer: format!("{:#}\n", printed.1), ..Printed::default() } } else { printed.0 })
        }
    }
}

fn add(place: &Place, new: NewToken, as_json: bool) -> Result<Printed, TokenError> {
    let files = place.files()?;
    let audit = Audit::open(&files.audit).map_err(TokenError::Audit)?;
    let (stored, text) = TokenFile::change(&files.tokens, |file| file.add(new))?;
    let entry = Entry::new(Event::TokenAdd).by_operator().with("token", stored.id()).with("name", &*stored.name);
    audit.write(entry.with("databases", &*stored.database).with("role", stored.role.word()));
    let hint = format!(
        "This is the token of `{}` (id {}), {} on `{}`. It is shown once: keep it where only its user finds it.\n",
        stored.name,
        stored.id(),
        stored.role.word(),
        stored.database
    );
    if as_json {
        let mut answer = describe(&stored);
        answer["token"] = text.into();
        return Ok(Printed { answer: format!("{answer:#}\n"), hint: String::new() });
    }
    Ok(Printed { answer: format!("{text}\n"), hint })
}

fn list(place: &Place, as_json: bool, now: i64) -> Result<Printed, TokenError> {
    let file = TokenFile::read(&place.files()?.tokens)?;
    if as_json {
        let tokens: Vec<_> = file.tokens.iter().map(describe).collect();
        let subjects = serde_json::to_value(&file.revoked_subjects).unwrap_or_default();
        let answer = format!("{:#}\n", json!({ "tokens": tokens, "revoked_subjects": subjects }));
        return Ok(Printed { answer, hint: String::new() });
    }
    if file.tokens.is_empty() && file.revoked_subjects.is_empty() {
        let hint = "There are no tokens. Make one: `token add --help` says how\n".to_owned();
        return Ok(Printed { answer: String::new(), hint });
    }
    let widest = |of: fn(&StoredToken) -> &str, least: usize| {
        file.tokens.iter().map(|token| of(token).chars().count()).max().unwrap_or(0).max(least)
    };
    let (name, database) = (widest(|token| &token.name, 4), widest(|token| &token.database, 9));
    let mut text = format!(
        "{:<8}  {:<name$}  {:<5}  {:<database$}  {:<20}  EXPIRES\n",
        "ID", "NAME", "ROLE", "DATABASES", "ADDED"
    );
    for token in &file.tokens {
        let expires = match token.expires {
            None => "never".to_owned(),
            Some(expires) if expires <= now => format!("{} (over)", date(expires)),
            Some(expires) => date(expires),
        };
        let (id, role, added) = (token.id(), token.role.word(), date(token.created));
        // Writing to a string can't fail.
        let _written = writeln!(
            text,
            "{id:<8}  {:<name$}  {role:<5}  {:<database$}  {added:<20}  {expires}",
            token.name, token.database
        );
    }
    for revoked in &file.revoked_subjects {
        let until = date(revoked.until);
        let _written = writeln!(text, "revoked   signed tokens of `{}` issued until {until}", revoked.subject);
    }
    Ok(Printed { answer: text, hint: String::new() })
}

fn revoke(
    place: &Place,
    token: Option<String>,
    subject: Option<String>,
    now: i64,
) -> Result<(Printed, serde_json::Value), TokenError> {
    let files = place.files()?;
    let audit = Audit::open(&files.audit).map_err(TokenError::Audit)?;
    let entry = Entry::new(Event::TokenRevoke).by_operator();
    let (entry, what, told) = if let Some(subject) = subject {
        TokenFile::change(&files.tokens, |file| file.revoke_subject(&subject, now))?;
        let what = format!("all signed tokens of `{subject}` that were issued until now");
        (entry.with("subject", &*subject), what, json!({ "subject": subject, "until": date(now) }))
    } else {
        let which = token.unwrap_or_default();
        let stored = TokenFile::change(&files.tokens, |file| file.revoke(&which))?;
        let what = format!("the token of `{}` (id {})", stored.name, stored.id());
        (entry.with("token", stored.id()).with("name", &*stored.name), what, describe(&stored))
    };
    audit.write(entry);
    let then = "A running server lets whoever uses it go within two seconds.";
    let printed = Printed { answer: format!("revoked {what}\n"), hint: format!("{then}\n") };
    Ok((printed, json!({ "revoked": told })))
}

fn describe(token: &StoredToken) -> serde_json::Value {
    json!({
        "id": token.id(),
        "name": token.name,
        "role": token.role.word(),
        "database": token.database,
        "created": date(token.created),
        "expires": token.expires.map(date),
    })
}

fn date(seconds: i64) -> String {
    let moment = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    humantime::format_rfc3339_seconds(moment).to_string()
}
