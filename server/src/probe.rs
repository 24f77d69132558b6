//! `greenlight-server health`: asks a running server for its health, for a container or a script without another client.
//!
//! Where in the flow: an operator's command, instead of serving. Never asks any other machine.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use clap::Args;
use thiserror::Error;

use crate::limits::{PROBE_BYTES, PROBE_WAIT};

/// What is asked.
#[derive(Clone, Debug, Args)]
pub struct HealthFlags {
    /// Address and port that the server listens on.
    #[arg(long, env = "GREENLIGHT_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// Why the server is not known to be well; each is a sentence for whoever asked.
#[derive(Debug, Error)]
pub enum HealthError {
    /// It doesn't answer.
    #[error("the server at {0} does not answer: {1}")]
    Silent(SocketAddr, std::io::Error),
    /// It answers that it isn't well, or something else than a server answers.
    #[error("not well: {0}")]
    Failing(String),
}

/// Asks `GET /health`, on this machine itself where the server listens on all addresses; gives the answer's body.
///
/// # Errors
/// [`HealthError`], unless the answer is 200.
pub fn health(flags: &HealthFlags) -> Result<String, HealthError> {
    let mut address = flags.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    let answer = ask(address).map_err(|error| HealthError::Silent(address, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(HealthError::Failing(body.to_owned())) }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_WAIT)?;
    stream.set_read_timeout(Some(PROBE_WAIT))?;
    stream.set_write_timeout(Some(PROBE_WAIT))?;
    write!(stream, "GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(PROBE_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}
