//! TLS in front of a server that has none, as Caddy is: a port of its own, with a certificate of an authority that is
//! made for the test and that nobody trusts by itself.
//!
//! Where in the flow: between a client and a server or a storage. Never looks into what it passes on.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::background::Background;

/// Ends with this.
pub(crate) struct Relay {
    /// `127.0.0.1:PORT`.
    pub(crate) address: SocketAddr,
    _server: Background,
}

impl Relay {
    /// Passes everything on to `upstream`, `HOST:PORT`, under a certificate for `name`; its authority, which has a name
    /// after that, has its certificate written to the file `authority`.
    pub(crate) fn start(upstream: &str, name: &str, authority: &Path) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(certified(name, authority)));
        let upstream = upstream.to_owned();
        let server = Background::start(move |listener| accept(listener, acceptor, upstream));
        Self { address: server.address, _server: server }
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: String) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate goes away in the middle of the handshake.
            let Ok(mut inside) = acceptor.accept(socket).await else { return };
            let mut outside = TcpStream::connect(upstream).await.unwrap();
            // How a connection ends is for its two ends to judge.
            drop(copy_bidirectional(&mut inside, &mut outside).await);
        });
    }
}

fn certified(name: &str, authority: &Path) -> ServerConfig {
    let (issuers_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("The authority of {name}"));
    std::fs::write(authority, params.self_signed(&issuers_key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, issuers_key);
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let clients = versions.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    clients.with_single_cert(vec![certificate.der().clone()], key).unwrap()
}
