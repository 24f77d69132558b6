//! What a storage's errors mean to a person.
//!
//! Where in the flow: between the storage's client and [`SyncError`]. Never shows a secret, nor a page of XML.

use std::error::Error as _;

use object_store::Error;
use object_store::client::HttpError;

use super::place::S3Place;
use crate::sync::SyncError;
use crate::trust;

/// How much of a storage's own words is told, in bytes.
const MAX_TOLD_BYTES: usize = 300;

/// The error, and what to do about it.
pub(super) fn failed(place: &S3Place, error: &Error) -> SyncError {
    let remote = place.to_string();
    let told = told(error);
    if is_unreachable(error) {
        return SyncError::Unreachable { remote, why: told };
    }
    match error {
        Error::NotFound { .. } if error.to_string().contains("NoSuchBucket") => {
            let why = format!("there is no bucket `{}` there: make it, or mend the address", place.bucket);
            SyncError::S3 { remote, why }
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => SyncError::Denied { remote, why: told },
        _ => SyncError::S3 { remote, why: told },
    }
}

/// Whether an object is not there, in a bucket that is.
pub(super) fn is_no_object(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. }) && !error.to_string().contains("NoSuchBucket")
}

/// Whether no answer came at all.
fn is_unreachable(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(next) = cause {
        if next.is::<HttpError>() {
            return true;
        }
        cause = next.source();
    }
    false
}

/// What the storage says, in a line: its own code and sentence where it answered, else what the network said last.
pub(super) fn told(error: &Error) -> String {
    if let Some(distrust) = trust::distrust(error) {
        return distrust;
    }
    let text = error.to_string();
    let between = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(value, _)| value.to_owned())
    };
    let said = match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code,
        _ => {
            let mut last = None;
            let mut cause = error.source();
            while let Some(next) = cause {
                last = Some(next.to_string());
                cause = next.source();
            }
            last.unwrap_or(text)
        }
    };
    // What a storage says must not write on the terminal.
    let mut said = said.replace(char::is_control, " ");
    said.truncate(said.floor_char_boundary(MAX_TOLD_BYTES));
    said
}
