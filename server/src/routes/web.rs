//! The web app's files.
//!
//! Where in the flow: answers what no other route does, where a folder is configured. Never lists a folder, never
//! leaves it.

use std::io::ErrorKind;
use std::path::Path;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::services::ServeDir;

use crate::error::ApiError;

/// Names under this folder carry a digest of their content, so that they never change.
const HASHED: &str = "/assets/";
/// How long a file that never changes may be kept, in seconds: a year.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Everything else is asked for again each time; a file that is unchanged isn't sent again.
const ASK_AGAIN: &str = "no-cache";

/// The files of a folder, and the policy on what its pages may do.
#[derive(Clone, Debug)]
pub(super) struct Site {
    files: ServeDir,
    policy: HeaderValue,
}

impl Site {
    pub(super) fn new(folder: &Path, policy: &str) -> Self {
        // The settings were checked: the policy fits into a header.
        let policy = HeaderValue::from_str(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'self'"));
        Self { files: ServeDir::new(folder), policy }
    }

    pub(super) async fn serve(mut self, request: Request) -> Response {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return ApiError::NotFound.into_response();
        }
        let path = request.uri().path().to_owned();
        let is_page = is_page(&path, request.headers());
        let mut index = Request::new(Body::empty());
        *index.method_mut() = request.method().clone();
        let mut found = self.find(request).await;
        if found.is_none() && is_page {
            // The app's own router knows the address, or says that it doesn't.
            found = self.find(index).await;
        }
        found.map_or_else(|| ApiError::NotFound.into_response(), |answer| dress(answer, &path, self.policy))
    }

    /// A file, or its absence; what can't be read is absent too, and logged.
    async fn find(&mut self, request: Request) -> Option<Response> {
        match self.files.try_call(request).await {
            Ok(answer) => (answer.status() != StatusCode::NOT_FOUND).then(|| answer.map(Body::new)),
            Err(error) => {
                if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) {
                    tracing::warn!("a file of the web app can't be read: {error}");
                }
                None
            }
        }
    }
}

/// Whether a browser asks for a page rather than for a file.
fn is_page(path: &str, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.contains("text/html") && !path.rsplit('/').next().unwrap_or_default().contains('.')
}

fn dress(mut answer: Response, path: &str, policy: HeaderValue) -> Response {
    let keep = if path.starts_with(HASHED) && answer.status().is_success() { FOR_EVER } else { ASK_AGAIN };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
