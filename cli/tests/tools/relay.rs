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
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Ends with this.
pub(crate) struct Relay {
    /// `127.0.0.1:PORT`.
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Relay {
    /// Passes everything on to `upstream`, `HOST:PORT`, under a certificate for `name`; its authority, which has a name
    /// after that, has its certificate written to the file `authority`.
    pub(crate) fn start(upstream: &str, name: &str, authority: &Path) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(certified(name, authority)));
        let upstream = upstream.to_owned();
        let (stop, stopped) = oneshot::channel();
        let (ready, address) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    () = accept(listener, acceptor, upstream) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // One that has ended by itself has panicked, which its join shows.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the relay panicked");
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
