//! Questions to a server over HTTP: is it there, is it well, how far is it, what time has it.
//!
//! Where in the flow: beside sync, for `status` and the doctor. Never sends anything but a question and the token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use greenlight_core::compatibility::Identity;
use greenlight_core::limits::{MAX_FRAME_BYTES, MAX_NAME_BYTES, MAX_SENTENCE_BYTES};
use greenlight_core::{SchemaId, SchemaShape, SiteId, TableShape};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{Remote, trust};

/// How long a question may take from the first packet to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes: what a handshake may take, too, so that every schema fits.
const MAX_BYTES: usize = MAX_FRAME_BYTES;

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// Its clock.
    pub(crate) date: Option<SystemTime>,
    /// What should be JSON.
    pub(crate) body: Bytes,
}

/// What `GET /{db}/meta` tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub(crate) struct ServerMeta {
    pub(crate) site_id: String,
    pub(crate) epoch: String,
    pub(crate) schema_name: String,
    pub(crate) schema_version: u32,
    pub(crate) schema_digest: String,
    /// A server of before tells none.
    #[serde(skip_serializing)]
    pub(crate) tables: Option<Vec<TableShape>>,
    pub(crate) head: u64,
}

impl ServerMeta {
    /// What it is, as the handshake judges it; an error where no server of ours would say that.
    fn identity(&mut self) -> Result<Identity, &'static str> {
        let server = Some(SiteId::from_hex(&self.site_id).ok_or("site_id")?);
        let SiteId(digest) = SiteId::from_hex(&self.schema_digest).ok_or("schema_digest")?;
        if self.schema_name.len() > MAX_NAME_BYTES {
            return Err("schema_name");
        }
        let schema = SchemaId { name: self.schema_name.clone(), number: self.schema_version, digest };
        let shape = self.tables.take().map(|tables| SchemaShape::new(tables).ok_or("tables")).transpose()?;
        Ok(Identity { server, schema, shape })
    }
}

/// What an error is told in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    error: ToldError,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ToldError {
    code: String,
    sentence: Option<String>,
}

/// What is known of a server's database.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    /// It answered; what it tells, and that as the handshake judges it.
    Meta(Box<ServerMeta>, Box<Identity>),
    /// It has none of that name.
    Unknown,
    /// It refuses, and says why.
    Refused(String),
    /// It is there, and can't serve the database now.
    Unwell(String),
    /// It can't be reached, or something else answers.
    Unreachable(String),
}

/// Asks for a database, and what time the server has. Its health first: a question for it makes none, and one for the
/// rest may.
pub(crate) async fn database(remote: &Remote, token: &str) -> (Asked, Option<SystemTime>) {
    let health = match get(remote, "health", "").await {
        Ok(answer) => answer,
        Err(why) => return (Asked::Unreachable(why), None),
    };
    let refused = match health.status {
        StatusCode::OK => None,
        StatusCode::NOT_FOUND if is_unknown(&health) => Some(Asked::Unknown),
        StatusCode::SERVICE_UNAVAILABLE => Some(Asked::Unwell(sentence(&health))),
        _ => Some(Asked::Unreachable(format!("something else than a Greenlight server: {}", sentence(&health)))),
    };
    if let Some(refused) = refused {
        return (refused, health.date);
    }
    let meta = match get(remote, "meta", token).await {
        Ok(answer) => answer,
        Err(why) => return (Asked::Unreachable(why), health.date),
    };
    let asked = match meta.status {
        StatusCode::OK => match read(&meta.body) {
            Ok((facts, identity)) => Asked::Meta(Box::new(facts), Box::new(identity)),
            Err(why) => Asked::Unreachable(format!("something else than a Greenlight server: {why}")),
        },
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Asked::Refused(sentence(&meta)),
        StatusCode::NOT_FOUND if is_unknown(&meta) => Asked::Unknown,
        _ => Asked::Unwell(sentence(&meta)),
    };
    (asked, meta.date)
}

fn read(body: &[u8]) -> Result<(ServerMeta, Identity), String> {
    let mut meta: ServerMeta = serde_json::from_slice(body).map_err(|error| one_line(&error.to_string()))?;
    let identity = meta.identity().map_err(|field| format!("its `{field}` can't be"))?;
    Ok((meta, identity))
}

/// What it says of an error; nothing where it is none of a Greenlight server.
fn told(answer: &Answer) -> ToldError {
    serde_json::from_slice::<Told>(&answer.body).unwrap_or_default().error
}

fn is_unknown(answer: &Answer) -> bool {
    told(answer).code == "unknown_database"
}

fn sentence(answer: &Answer) -> String {
    told(answer).sentence.map_or_else(|| format!("it answers {}", answer.status.as_u16()), |said| one_line(&said))
}

/// What comes from elsewhere must not write on the terminal, nor fill it.
fn one_line(said: &str) -> String {
    let end = said.floor_char_boundary(MAX_SENTENCE_BYTES);
    said[..end].replace(char::is_control, " ")
}

/// Asks for a route of a database; an error is a sentence's end.
async fn get(remote: &Remote, route: &str, token: &str) -> Result<Answer, String> {
    let asked = timeout(LIMIT, ask(remote, route, token)).await;
    asked.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())))
}

async fn ask(remote: &Remote, route: &str, token: &str) -> Result<Answer, String> {
    let uri = remote.route(route);
    let host = uri.host().ok_or("the address names no host")?;
    let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_secure = uri.scheme_str() == Some("wss");
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let stream = TcpStream::connect((bare.as_str(), port)).await.map_err(|error| error.to_string())?;
    let authority = uri.authority().map_or(host, |authority| authority.as_str());
    let mut request = Request::get(uri.path()).header(header::HOST, authority).header(header::CONNECTION, "close");
    if !token.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::new()).map_err(|_| "the token can't be sent: it holds control characters")?;
    if !is_secure {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(bare).map_err(|error| error.to_string())?;
    let secure = TlsConnector::from(Arc::new(trust::config()?)).connect(name, stream).await;
    let failed = |error: std::io::Error| trust::distrust(&error).unwrap_or_else(|| error.to_string());
    exchange(secure.map_err(failed)?, request).await
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driving = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(failed)?;
    let date = answer.headers().get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let status = answer.status();
    let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await.map_err(|error| error.to_string())?;
    driving.abort();
    Ok(Answer { status, date, body: body.to_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let remote = Remote::parse(&format!("ws://{}/shop", listener.local_addr().unwrap())).unwrap();
        let asked = timeout(LIMIT * 3, database(&remote, "")).await;
        let (asked, _) = asked.expect("it gives up before");
        assert!(matches!(&asked, Asked::Unreachable(why) if why == "no answer within 10 s"), "{asked:?}");
    }

    #[test]
    fn what_a_server_says_of_an_error_is_one_line_that_ends() {
        let answer = |body: &str| Answer {
            status: StatusCode::SERVICE_UNAVAILABLE,
            date: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let said = |text: &str| sentence(&answer(&format!(r#"{{"error": {{"sentence": "{text}"}}}}"#)));
        assert_eq!(said("the disk is full"), "the disk is full");
        assert_eq!(said(r"red\u001b[31m\nand more"), "red [31m and more");
        assert_eq!(said(&"é".repeat(MAX_SENTENCE_BYTES)), "é".repeat(MAX_SENTENCE_BYTES / 2));
        for body in ["", "5", "<html>", r#"{"error": {"sentence": 5}}"#, r#"{"error": "no"}"#] {
            assert_eq!(sentence(&answer(body)), "it answers 503", "{body}");
        }
    }
}
