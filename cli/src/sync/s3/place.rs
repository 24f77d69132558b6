//! Where in which bucket a remote is, and how that is reached.
//!
//! Where in the flow: between an address with its configuration and the client of the storage. Never holds a secret.

use std::fmt;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{BackoffConfig, Certificate, ClientConfigKey, ClientOptions, RetryConfig};
use thiserror::Error;

use crate::trust;

/// How long a connection is tried for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take, a part of a snapshot included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a request is tried again that failed for a reason which may pass.
const RETRIES: usize = 4;
/// How long it is tried again for.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// A place in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with, without slashes around it; empty for none.
    pub prefix: String,
    /// Where the storage is, `https://HOST`; else the environment's, else Amazon's.
    pub endpoint: Option<String>,
    /// Its region; else the environment's, else `us-east-1`.
    pub region: Option<String>,
    /// Whether an endpoint without TLS may be used.
    pub allow_http: bool,
}

/// Why an address is none of a bucket.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("`{address}` is no place in a bucket: {why}; use s3://BUCKET/PREFIX")]
pub struct S3PlaceError {
    address: String,
    why: &'static str,
}

impl S3Place {
    /// Reads `s3://BUCKET/PREFIX`.
    ///
    /// # Errors
    /// [`S3PlaceError`].
    pub fn parse(address: &str) -> Result<Self, S3PlaceError> {
        let wrong = |why| S3PlaceError { address: address.to_owned(), why };
        let rest = address.strip_prefix("s3://").ok_or_else(|| wrong("it begins otherwise"))?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_plain) {
            return Err(wrong("a bucket's name has 3 to 63 small letters, digits, `-` and `.`"));
        }
        let prefix = prefix.trim_matches('/');
        if prefix.contains(['?', '#']) || Key::parse(prefix).is_err() {
            return Err(wrong("what follows the bucket can't be a name there"));
        }
        let prefix = prefix.to_owned();
        Ok(Self { bucket: bucket.to_owned(), prefix, endpoint: None, region: None, allow_http: false })
    }

    /// The name of an object there.
    pub(super) fn key(&self, name: &str) -> Key {
        self.folder().unwrap_or_default().join(name)
    }

    /// The place below a name of this one's.
    pub(super) fn below(&self, name: &str) -> Self {
        let prefix = match self.prefix.as_str() {
            "" => name.to_owned(),
            // Not a key, in which some characters are written otherwise.
            prefix => format!("{prefix}/{name}"),
        };
        Self { prefix, ..self.clone() }
    }

    /// What all names begin with.
    pub(super) fn folder(&self) -> Option<Key> {
        (!self.prefix.is_empty()).then(|| Key::from(self.prefix.as_str()))
    }

    /// The client's settings: the environment's, below what is said of this remote.
    pub(super) fn builder(&self) -> Result<AmazonS3Builder, String> {
        let mut builder = AmazonS3Builder::from_env();
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        let said = |key: AmazonS3ConfigKey| builder.get_config_value(&key);
        let allow_http =
            self.allow_http || said(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp)).as_deref() == Some("true");
        let endpoint = said(AmazonS3ConfigKey::S3Endpoint).or_else(|| said(AmazonS3ConfigKey::Endpoint));
        let mut has_tls = true;
        match endpoint.as_deref().map(|endpoint| endpoint.split_once("://").map_or("", |(scheme, _)| scheme)) {
            None | Some("https") => {}
            Some("http") if allow_http => has_tls = false,
            Some("http") => {
                return Err(
                    "its endpoint is without TLS; use https://, or say `allow_http = true` for a network of your own"
                        .to_owned(),
                );
            }
            Some(_) => return Err("its endpoint is no address; use https://HOST".to_owned()),
        }
        let mut options = ClientOptions::new()
            .with_allow_http(allow_http)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        if has_tls {
            // The same authorities as of a server, and no others.
            options = options.with_no_system_certificates(true);
            for authority in trust::authorities()? {
                let authority = Certificate::from_der(&authority).map_err(|error| error.to_string())?;
                options = options.with_root_certificate(authority);
            }
        }
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: RETRY_PAUSE, ..BackoffConfig::default() },
            max_retries: RETRIES,
            retry_timeout: RETRY_TIMEOUT,
        };
        // One by one: not everything that speaks like S3 knows how to delete many.
        let builder = builder.with_bucket_name(&self.bucket).with_client_options(options).with_retry(retry);
        Ok(builder.with_disable_bulk_delete(true))
    }
}

impl fmt::Display for S3Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix.as_str() {
            "" => write!(f, "s3://{}", self.bucket),
            prefix => write!(f, "s3://{}/{prefix}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_what_names_begin_with() {
        let place = S3Place::parse("s3://bucket/notes/mine/").unwrap();
        assert_eq!((place.bucket.as_str(), place.prefix.as_str()), ("bucket", "notes/mine"));
        assert_eq!(place.key("a").as_ref(), "notes/mine/a");
        assert_eq!(S3Place::parse("s3://bucket").unwrap().key("a").as_ref(), "a");
        for address in ["s3://", "s3://Bucket/x", "s3://me:secret@bucket/x", "s3://bucket/a//b", "s3://bucket/../b"] {
            assert!(S3Place::parse(address).is_err(), "{address}");
        }
    }

    #[test]
    fn a_place_below_is_below_whatever_the_name_is_made_of() {
        for prefix in ["", "notes/mine", "bücher/~me", "50%", "%C3%BC", "a*b[c] d"] {
            let place = S3Place::parse(&format!("s3://bucket/{prefix}")).unwrap();
            let below = place.below("before-push.1");
            assert_eq!(below.key("a").as_ref(), format!("{}/a", place.key("before-push.1")), "{prefix}");
            // Who is told of it finds it.
            assert_eq!(S3Place::parse(&below.to_string()).unwrap(), below, "{prefix}");
            assert_eq!(below.to_string(), format!("{}/before-push.1", place));
        }
    }

    #[test]
    fn without_tls_only_where_that_is_said() {
        let place = S3Place::parse("s3://bucket/x").unwrap();
        let at = |endpoint: &str, allow_http| {
            S3Place { endpoint: Some(endpoint.to_owned()), allow_http, ..place.clone() }.builder().map(drop)
        };
        assert!(at("http://127.0.0.1:9000", false).unwrap_err().contains("allow_http"));
        assert!(at("127.0.0.1:9000", true).unwrap_err().contains("no address"));
        assert_eq!((at("http://127.0.0.1:9000", true), at("https://s3.example.com", false)), (Ok(()), Ok(())));
    }
}
