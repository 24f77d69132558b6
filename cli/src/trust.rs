//! Whom the client believes over TLS: of servers, over WebSocket and HTTP, and of buckets.
//!
//! Where in the flow: before each connection with TLS, and after one that was refused for its certificate. Never believes
//! a certificate that no authority vouches for: there is no switch for that.

use std::error::Error;
use std::io;

use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, ClientConfig, RootCertStore};

/// The authorities' certificates: those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name where one of them is set, else the
/// system's. Read again for each connection, so that a renewed one is taken.
///
/// # Errors
/// A sentence's end, where there are none.
pub(crate) fn authorities() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut tried = RootCertStore::empty();
    // Among a system's certificates there may be some that nobody can read.
    let readable: Vec<_> =
        found.certs.into_iter().filter(|certificate| tried.add(certificate.clone()).is_ok()).collect();
    match (readable.is_empty(), found.errors.first()) {
        (false, _) => Ok(readable),
        (true, None) => Err("there are no certificates of authorities to trust on this system".to_owned()),
        (true, Some(why)) => Err(format!("there are no certificates of authorities to trust: {why}")),
    }
}

/// How a connection with TLS is made.
///
/// # Errors
/// As [`authorities`].
pub(crate) fn config() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities()?);
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Why a connection failed, where it was for the other side's certificate; a sentence's end.
pub(crate) fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(why)) = error.downcast_ref() {
            return Some(match why {
                // A new authority of an old name is told by its signature alone.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate is of an authority that this machine does not trust; if the authority is your own, \
                     name its certificate in SSL_CERT_FILE"
                        .to_owned()
                }
                why => format!("its certificate is refused: {why}"),
            });
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
