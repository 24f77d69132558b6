//! Takes secrets out of text: those that are known, and what looks like one.
//!
//! Where in the flow: over everything that the doctor prints or packs. Rather takes too much: what is left is read by
//! strangers. Never keeps a secret in what it says of it.

use std::path::PathBuf;

use regex::{Captures, Regex};
use serde_json::Value;

/// What is left in the place of a secret.
const GONE: &str = "[redacted]";
/// What is shorter than this is taken for a word and no secret, in bytes.
const MIN_SECRET_BYTES: usize = 4;
/// The longest file of a secret that is read, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// What whoever hands an archive on should know.
pub(super) const PROMISE: &str = "what looks like a secret was taken out, and no rows are in it";

/// What looks like a secret, and what is kept of it.
const SHAPES: [(&str, &str); 9] = [
    // Signed tokens.
    (r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)*", GONE),
    // Tokens of our server's making, and keys of age.
    (r"glt_[A-Za-z0-9_-]{8,}", GONE),
    (r"(?i)AGE-SECRET-KEY-[A-Z0-9-]+", GONE),
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-[^-])*(?:-----END [A-Z ]*PRIVATE KEY-----)?", GONE),
    // Credentials, queries and fragments of addresses.
    (r#"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/"'`<>@]*(?:@[^\s/"'`<>@]*)*@"#, "${1}[redacted]@"),
    (r#"([A-Za-z][A-Za-z0-9+.-]*://[^\s"'`<>?#]*)[?#][^\s"'`<>]*"#, "${1}?[redacted]"),
    (r"(?i)\b(bearer|basic)([ =:]+)[A-Za-z0-9._~+/=-]{4,}", "${1}${2}[redacted]"),
    // Flags.
    (r#"(?i)(--?[a-z-]*(?:token|secret|pass(?:word|phrase)|credential)s?[ =]+)([^\s"'`-][^\s"'`]*)"#, "${1}[redacted]"),
    // Keys of rows that differed, which the log of a sync names.
    (r#"(rows differed from the server's and are being mended:)(?:[^"\\\n]|\\.)*"#, "${1} [redacted]"),
];

/// A key whose value is a secret, in TOML, JSON, a header or a variable; the value in quotes, or up to the line's end.
const KEYED: &str = r#"(?im)("?)\b([a-z0-9_.-]*(?:token|secret|passwd|password|passphrase|authorization|credential|cookie|api[_-]?key|access[_-]?key|private[_-]?key|sha256)[a-z0-9_.-]*)("?)(\s*[=:]\s*)("""[\s\S]*?"""|'''[\s\S]*?'''|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|\[[^\]]*\]|[^\s,}"'\[][^\n,}"]*)"#;

/// How a key ends that names a place.
const PLACE: &str = "_file";

/// Takes secrets out.
#[derive(Debug)]
pub(super) struct Redactor {
    known: Vec<String>,
    shapes: Vec<(Regex, &'static str)>,
    keyed: Regex,
}

impl Redactor {
    /// Knows what is in these files, and in variables that are named as secrets.
    pub(super) fn new(files: &[PathBuf]) -> Result<Self, String> {
        let mut known: Vec<String> =
            std::env::vars().filter(|(name, _)| is_secret(name)).map(|(_, text)| text).collect();
        for file in files.iter().filter(|file| {
            std::fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.len() <= MAX_SECRET_BYTES)
        }) {
            // One that can't be read gives nothing away.
            let text = std::fs::read_to_string(file).unwrap_or_default();
            known.extend(text.lines().map(str::to_owned));
            known.push(text);
        }
        let mut known: Vec<String> = known.iter().map(|text| text.trim().to_owned()).collect();
        known.retain(|text| text.len() >= MIN_SECRET_BYTES);
        // The longest first: a part of it must not leave the rest.
        known.sort_by_key(|text| std::cmp::Reverse(text.len()));
        known.dedup();
        let compile = |pattern: &str| Regex::new(pattern).map_err(|error| error.to_string());
        let shapes =
            SHAPES.iter().map(|(pattern, kept)| Ok((compile(pattern)?, *kept))).collect::<Result<_, String>>()?;
        Ok(Self { known, shapes, keyed: compile(KEYED)? })
    }

    /// The text without its secrets.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.known {
            text = text.replace(secret.as_str(), GONE);
            // As it stands in JSON.
            let escaped = serde_json::to_string(secret).unwrap_or_default();
            let escaped = escaped.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(secret);
            if escaped != secret {
                text = text.replace(escaped, GONE);
            }
        }
        for (shape, kept) in &self.shapes {
            text = shape.replace_all(&text, *kept).into_owned();
        }
        let keyed = |found: &Captures<'_>| {
            let (key, value) = (&found[2], &found[5]);
            if key.to_ascii_lowercase().ends_with(PLACE) || matches!(value.trim(), "true" | "false" | "null") {
                return found[0].to_owned();
            }
            format!("{}{key}{}{}\"{GONE}\"", &found[1], &found[3], &found[4])
        };
        self.keyed.replace_all(&text, keyed).into_owned()
    }

    /// The same of a file: JSON, lines of JSON, or else text. JSON stays what it is, since what is in its strings is
    /// looked at as it was before it was written there.
    pub(super) fn clean_file(&self, text: &str) -> String {
        let pretty = |value: Value| format!("{:#}\n", self.clean_value(value));
        if let Ok(value) = serde_json::from_str(text) {
            return pretty(value);
        }
        if !text.starts_with('{') {
            return self.clean(text);
        }
        let line = |line: &str| match serde_json::from_str(line) {
            Ok(value) => self.clean_value(value).to_string(),
            Err(_) => self.clean(line),
        };
        text.lines().map(|text| line(text) + "\n").collect()
    }

    fn clean_value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.clean(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.clean_value(value)).collect(),
            Value::Object(entries) => {
                let entry = |(key, value): (String, Value)| {
                    // As it would stand in a configuration: by its key alone.
                    let is_secret = self.keyed.is_match(&format!("{key} = \"x\"")) && !key.ends_with(PLACE);
                    let is_plain = matches!(value, Value::Null | Value::Bool(_));
                    let value = if is_secret && !is_plain { GONE.into() } else { self.clean_value(value) };
                    (self.clean(&key), value)
                };
                Value::Object(entries.into_iter().map(entry).collect())
            }
            other => other,
        }
    }
}

fn is_secret(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    let says = |word: &&str| name.contains(*word);
    ["TOKEN", "SECRET", "PASSWORD", "PASSPHRASE", "CREDENTIAL", "ACCESS_KEY", "API_KEY"].iter().any(says)
        && !name.ends_with("_FILE")
        && name != "GREENLIGHT_TOKENS"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&[]).expect("the patterns are constants")
    }

    #[test]
    fn what_looks_like_a_secret_goes() {
        let redactor = redactor();
        for text in [
            "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJTRUNSRVQifQ.SECRETSECRET",
            "token glt_SECRETSECRETSECRET",
            "wss://user:SECRET@host/shop",
            "wss://SECRET@host/shop",
            "https://host/shop?token=SECRET&x=SECRET",
            "wss://host/shop#SECRET",
            "Authorization: Bearer SECRETSECRET",
            "authorization = \"Basic SECRET==\"",
            "password = \"SECRET\"",
            "passphrase='SECRET with spaces'",
            "{\"api_key\": \"SECRET \\\" SECRET\"}",
            "secret_access_key: SECRET",
            "tokens_list = [\"SECRET\", \"SECRET\"]",
            "passphrase = \"\"\"\nSECRET\n\"\"\"",
            "greenlight sync now --token SECRET",
            "sync --passphrase=SECRET now",
            "-----BEGIN PRIVATE KEY-----\nSECRET\nSECRET\n-----END PRIVATE KEY-----",
            "AGE-SECRET-KEY-1SECRET",
            "\"rows differed from the server's and are being mended: book: 1 ([Text(\\\"SECRET\\\")])\"",
        ] {
            let cleaned = redactor.clean(text);
            assert!(!cleaned.replace("AGE-SECRET", "").contains("SECRET"), "{text} became {cleaned}");
            assert!(cleaned.contains(GONE), "{text} became {cleaned}");
        }
    }

    #[test]
    fn json_stays_json() {
        let redactor = redactor();
        let line =
            r#"{"fields":{"message":"token = \"SECRET\" at wss://a:SECRET@b/c?SECRET"},"tokens":["SECRET"],"a":1}"#;
        for text in [line.to_owned(), format!("{line}\n{line}\nno json: password=SECRET\n")] {
            let cleaned = redactor.clean_file(&text);
            assert!(!cleaned.contains("SECRET"), "{cleaned}");
            let first = if text == line { &cleaned } else { cleaned.lines().next().expect("a line") };
            let value: Value = serde_json::from_str(first).expect(first);
            assert_eq!(value["a"], 1);
        }
    }

    #[test]
    fn what_is_none_stays() {
        let redactor = redactor();
        for text in [
            "address = \"wss://sync.example.com/shop\"",
            "passphrase_file = \"notes.key\"",
            "\"token_needed\": false",
            "process 7 on laptop since 2026-11-21T15:00:00Z (`greenlight sync push`)",
            "{\"db_hash\": \"00ff\", \"history\": \"11ee\"}",
            "CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT)",
        ] {
            assert_eq!(redactor.clean(text), text);
        }
    }

    #[test]
    fn what_is_in_a_file_of_a_secret_goes_wherever_it_stands() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "open \"sesame\"\n").expect("written");
        let redactor = Redactor::new(&[file.path().to_owned()]).expect("the patterns are constants");
        assert_eq!(redactor.clean("say open \"sesame\"!"), "say [redacted]!");
        assert_eq!(redactor.clean("{\"x\": \"open \\\"sesame\\\"\"}"), "{\"x\": \"[redacted]\"}");
    }
}
