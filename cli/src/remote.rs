//! The address of a server's database, and the token for it.
//!
//! Where in the flow: before the first dial. Never prints a token.

use std::path::{Path, PathBuf};

use http::Uri;

use crate::ClientError;

/// A server's database: the WebSocket address of its sync route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    address: String,
    shown: String,
}

impl Remote {
    /// Reads `ws://`, `wss://`, `http://` or `https://`, a host and the database's name as the path.
    ///
    /// # Errors
    /// [`ClientError::Remote`] says what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| ClientError::Remote { url: url.to_owned(), why: why.to_owned() };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        let scheme = match uri.scheme_str() {
            Some("ws" | "http") => "ws",
            Some("wss" | "https") => "wss",
            _ => return Err(wrong("it must begin with wss:// or ws://")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a token does not belong into the address; use --token-file"));
        }
        let name = uri.path().trim_matches('/');
        let name = name.strip_suffix("/sync").unwrap_or(name);
        if name.is_empty() || name.contains('/') {
            return Err(wrong("its path must be a database's name, as in wss://sync.example.com/shop"));
        }
        Ok(Self { address: format!("{scheme}://{authority}/{name}/sync"), shown: url.to_owned() })
    }

    /// The address as it was given.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The address of another route of the database, with the socket's scheme.
    pub(crate) fn route(&self, route: &str) -> Uri {
        let base = self.address.strip_suffix("sync").unwrap_or(&self.address);
        // What was an address stays one with a route's word at its end.
        format!("{base}{route}").parse().unwrap_or_default()
    }

    /// The address of the sync route.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Where the token comes from; asked again at each dial, so that a renewed one is taken without a restart.
#[derive(Clone, Debug, Default)]
pub enum Token {
    /// None is needed.
    #[default]
    None,
    /// The file's text, trimmed.
    File(PathBuf),
    /// The environment variable's text, trimmed.
    Environment(&'static str),
}

impl Token {
    /// A file where one is named, else the environment variable `GREENLIGHT_TOKEN`.
    pub fn find(file: Option<&Path>) -> Self {
        file.map_or(Self::Environment("GREENLIGHT_TOKEN"), |file| Self::File(file.to_owned()))
    }

    /// The token; empty where none is set.
    ///
    /// # Errors
    /// [`ClientError::Token`] when the named file can't be read.
    pub fn read(&self) -> Result<String, ClientError> {
        match self {
            Self::None => Ok(String::new()),
            Self::Environment(name) => Ok(std::env::var(name).unwrap_or_default().trim().to_owned()),
            Self::File(file) => match std::fs::read_to_string(file) {
                Ok(text) => Ok(text.trim().to_owned()),
                Err(source) => Err(ClientError::Token { file: file.clone(), source }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_spellings() {
        for (url, address) in [
            ("wss://sync.example.com/shop", "wss://sync.example.com/shop/sync"),
            ("http://127.0.0.1:8080/shop.sqlite3/", "ws://127.0.0.1:8080/shop.sqlite3/sync"),
            ("https://sync.example.com/shop/sync", "wss://sync.example.com/shop/sync"),
        ] {
            assert_eq!(Remote::parse(url).expect(url).address(), address);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (url, why) in [
            ("ftp://x/shop", "wss://"),
            ("ws://host", "database's name"),
            ("ws://host/a/b", "database's name"),
            ("ws://secret@host/a", "--token-file"),
            ("shop", "wss://"),
        ] {
            let error = Remote::parse(url).expect_err(url).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
