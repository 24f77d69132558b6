//! What a remote's address means: a folder, a bucket, or a server.
//!
//! Where in the flow: between what a person names and the remote that is used. Never writes to what it names.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::RemoteConfig;
use crate::home::{DEFAULT_REMOTE, Home, HomeError, absolute_in};
use crate::sync::{Packing, Passphrase, S3Place, S3PlaceError};
use crate::{ClientError, Remote, Token};

/// Where a remote is, and so of which kind it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A folder: a stick, a drive that something else keeps in step, a mount. Absolute.
    Folder(PathBuf),
    /// A place in a bucket of an object store.
    S3(S3Place),
    /// A database of a server.
    Live(Remote),
}

/// A remote that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Its name in the configuration, where it has one.
    pub name: Option<String>,
    /// Where it is.
    pub address: Address,
    /// How a push packs what it stores there, where it holds snapshots.
    pub packing: Packing,
    /// Where the token is, where it is a server.
    pub token_file: Option<PathBuf>,
}

/// Why a remote can't be used.
#[derive(Debug, Error)]
pub enum AddressError {
    /// A kind that is planned.
    #[error("{kind} remotes are not there yet (`{address}`); use a folder, a bucket (s3://), or a server (wss://)")]
    NotYet {
        /// What is planned.
        kind: &'static str,
        /// As it was given.
        address: String,
    },
    /// A kind that nobody knows.
    #[error("`{0}` is no kind of remote; use a path, folder:PATH, s3://, ws:// or wss://")]
    Kind(String),
    /// A word that is no name.
    #[error(
        "there is no remote named `{0}` (`greenlight remote list` shows those that there are); a folder is written ./{0}"
    )]
    Name(String),
    /// A server that is told how to pack.
    #[error(
        "{0} is a server, which holds no snapshot: compression and encryption are for folders and buckets. Take these \
         keys away; what travels to a server is encrypted by wss://"
    )]
    PackedServer(String),
    /// What only a server has a use for.
    #[error("{0} is no server: `token_file` is for ws:// and wss://. Take this key away")]
    NoServer(String),
    /// A folder without a path.
    #[error("an empty path is no remote")]
    Empty,
    /// What only a bucket has a use for.
    #[error("{0} is no bucket: `endpoint`, `region` and `allow_http` are for s3://. Take these keys away")]
    NoBucket(String),
    /// A bucket's address.
    #[error(transparent)]
    S3(#[from] S3PlaceError),
    /// A server's address.
    #[error(transparent)]
    Live(#[from] ClientError),
    /// A folder's path.
    #[error(transparent)]
    Path(#[from] HomeError),
}

impl Address {
    /// Reads an address; a folder's path is taken from `beside`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(text: &str, beside: &Path) -> Result<Self, AddressError> {
        let folder = |path: &str| match path {
            "" => Err(AddressError::Empty),
            path => Ok(Self::Folder(absolute_in(beside, path.as_ref())?)),
        };
        if let Some(path) = text.strip_prefix("folder:") {
            return folder(path);
        }
        match text.split_once("://") {
            Some(("ws" | "wss" | "http" | "https", _)) => Ok(Self::Live(Remote::parse(text)?)),
            Some(("s3", _)) => Ok(Self::S3(S3Place::parse(text)?)),
            Some(("ssh", _)) => Err(AddressError::NotYet { kind: "ssh", address: text.to_owned() }),
            Some(_) => Err(AddressError::Kind(text.to_owned())),
            None => folder(text),
        }
    }

    /// Whether it is the same place as a configured one. That is not touched: it may be a mount that does not answer.
    fn is_same(&self, configured: &Self) -> bool {
        match (self, configured) {
            (Self::Folder(given), Self::Folder(there)) => {
                given == there || std::fs::canonicalize(given).is_ok_and(|given| given == *there)
            }
            _ => self == configured,
        }
    }

    /// What kind of remote it is, in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Folder(_) => "folder",
            Self::S3(_) => "s3",
            Self::Live(_) => "server",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::S3(place) => place.fmt(f),
            Self::Live(remote) => f.write_str(remote.shown()),
        }
    }
}

impl Chosen {
    /// The remote that is meant: a configured name or an address, else the configured one named `default`, else the
    /// folder `sync-remote` at home. The address of a configured remote means that one, with all that is said of it.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn find(home: &Home, given: Option<&str>) -> Result<Self, AddressError> {
        let beside = home.config_file.parent().unwrap_or(Path::new(""));
        let configured =
            |name: &str| home.config.remotes.get(name).map(|remote| Self::configured(name, remote, beside));
        let plain = |address| Self { name: None, address, packing: Packing::default(), token_file: None };
        match given {
            None => configured(DEFAULT_REMOTE).unwrap_or_else(|| Ok(plain(Address::Folder(home.sync_remote())))),
            Some(given) => configured(given).unwrap_or_else(|| {
                let is_word = !given.contains(['/', '\\', ':', '.']) && !given.is_empty();
                if is_word {
                    return Err(AddressError::Name(given.to_owned()));
                }
                let address = Address::parse(given, Path::new(""))?;
                let is_it = |remote: &RemoteConfig| {
                    Address::parse(&remote.address, beside).is_ok_and(|there| address.is_same(&there))
                };
                let found = home.config.remotes.iter().find(|(_, remote)| is_it(remote));
                found
                    .map_or_else(|| Ok(plain(address.clone())), |(name, remote)| Self::configured(name, remote, beside))
            }),
        }
    }

    /// What the configuration says of a remote; paths are taken from `beside`.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn configured(name: &str, remote: &RemoteConfig, beside: &Path) -> Result<Self, AddressError> {
        let mut address = Address::parse(&remote.address, beside)?;
        let RemoteConfig { endpoint, region, allow_http, .. } = remote;
        match &mut address {
            Address::S3(place) => {
                (place.endpoint, place.region, place.allow_http) = (endpoint.clone(), region.clone(), *allow_http);
            }
            other if endpoint.is_some() || region.is_some() || *allow_http => {
                return Err(AddressError::NoBucket(other.to_string()));
            }
            _ => {}
        }
        if matches!(address, Address::Live(_)) && remote.packs() {
            return Err(AddressError::PackedServer(address.to_string()));
        }
        if !matches!(address, Address::Live(_)) && remote.token_file.is_some() {
            return Err(AddressError::NoServer(address.to_string()));
        }
        let file = |file: &Option<PathBuf>| file.as_ref().map(|file| absolute_in(beside, file)).transpose();
        let token_file = file(&remote.token_file)?;
        let passphrase = file(&remote.passphrase_file)?.map_or(Packing::default().passphrase, Passphrase::File);
        let packing = Packing { compression: remote.compression, encryption: remote.encryption, passphrase };
        Ok(Self { name: Some(name.to_owned()), address, packing, token_file })
    }

    /// The token: of the file that a person names, else of the configured one, else of the environment.
    pub fn token(&self, given: Option<&Path>) -> Token {
        Token::find(given.or(self.token_file.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_beginning_says_what_kind_it_is() {
        let parse = |text: &str| Address::parse(text, Path::new("/at"));
        assert_eq!(parse("usb").unwrap(), Address::Folder("/at/usb".into()));
        assert_eq!(parse("folder:/media/usb").unwrap(), Address::Folder("/media/usb".into()));
        let live = parse("wss://sync.example.com/shop").unwrap();
        assert_eq!((live.kind(), live.to_string().as_str()), ("server", "wss://sync.example.com/shop"));
        let bucket = parse("s3://bucket/shop").unwrap();
        assert_eq!((bucket.kind(), bucket.to_string().as_str()), ("s3", "s3://bucket/shop"));
        for (text, why) in [
            ("s3://B/shop", "is no place in a bucket"),
            ("ssh://host/shop", "ssh remotes are not there yet"),
            ("ftp://host/shop", "is no kind of remote"),
            ("ws://host", "database's name"),
            ("folder:", "no remote"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
