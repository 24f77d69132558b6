//! A storage that speaks S3, over a folder: a real server on a port of its own, which ends with the test.
//!
//! Where in the flow: below the tests of buckets. Where s3s-fs promises less than a real storage, this does: requests are
//! answered one at a time, since its conditional writes look first and write then, and a bucket that is not there is
//! told, since it would make one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::background::Background;

pub(crate) const ACCESS_KEY: &str = "alice";
pub(crate) const SECRET_KEY: &str = "a-secret-of-the-tests";
/// The remote's address, and the folder in which the storage keeps it.
pub(crate) const ADDRESS: &str = "s3://shop-bucket/notes/shop";
pub(crate) const PLACE: &str = "storage/shop-bucket/notes/shop";

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It waits until [`Storage::release`].
    Held,
    /// The connection ends before anything is done.
    Lost,
    /// It is done, and the connection ends before the answer.
    AnswerLost,
}

type Rule = Box<dyn FnMut(&Method, &str) -> Fate + Send>;

/// The server.
pub(crate) struct Storage {
    pub(crate) endpoint: String,
    desk: Arc<Desk>,
    _server: Background,
}

/// Where requests are answered.
struct Desk {
    service: S3Service,
    bucket: PathBuf,
    /// Whether signatures are asked for, and conditions known.
    is_strict: bool,
    rule: Mutex<Rule>,
    held: Notify,
    turn: tokio::sync::Mutex<()>,
}

impl Storage {
    /// Begins to serve the folder `storage`, with a bucket in it.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::serve(folder, true)
    }

    /// One that asks for no signatures, and does as if it did not know conditions.
    pub(crate) fn without_conditions(folder: &Path) -> Self {
        Self::serve(folder, false)
    }

    fn serve(folder: &Path, is_strict: bool) -> Self {
        let root = folder.join("storage");
        let bucket = root.join("shop-bucket");
        std::fs::create_dir_all(&bucket).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&root).unwrap());
        if is_strict {
            service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        }
        let rule: Rule = Box::new(|_, _| Fate::Answered);
        let desk = Arc::new(Desk {
            service: service.build(),
            bucket,
            is_strict,
            rule: Mutex::new(rule),
            held: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
        });
        let serving = Arc::clone(&desk);
        let server = Background::start(move |listener| accept(listener, serving));
        Self { endpoint: format!("http://{}", server.address), desk, _server: server }
    }

    /// From now on each request meets the fate that this says, by its method and its path with its query.
    pub(crate) fn rule(&self, rule: impl FnMut(&Method, &str) -> Fate + Send + 'static) {
        *self.desk.rule.lock().unwrap() = Box::new(rule);
    }

    /// Lets one held request go on.
    pub(crate) fn release(&self) {
        self.desk.held.notify_one();
    }

    pub(crate) fn remove_bucket(&self) {
        std::fs::remove_dir_all(&self.desk.bucket).unwrap();
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            let answer = service_fn(|request| desk.answer(request));
            let http = hyper::server::conn::http1::Builder::new();
            // That connections end in the middle is what some of the tests are about.
            drop(http.serve_connection(TokioIo::new(socket), answer).await);
        });
    }
}

impl Desk {
    async fn answer(&self, mut request: Request<Incoming>) -> io::Result<s3s::HttpResponse> {
        let lost = || io::Error::other("lost");
        let fate = self.rule.lock().unwrap()(request.method(), &request.uri().to_string());
        match fate {
            Fate::Lost => return Err(lost()),
            Fate::Held => self.held.notified().await,
            Fate::Answered | Fate::AnswerLost => {}
        }
        if !self.is_strict {
            request.headers_mut().remove("if-match");
            request.headers_mut().remove("if-none-match");
        }
        if !self.bucket.exists() {
            let text = "<Error><Code>NoSuchBucket</Code><Message>It does not exist</Message></Error>";
            return Ok(Response::builder().status(404).body(s3s::Body::from(text.to_owned())).unwrap());
        }
        let _turn = self.turn.lock().await;
        let answer = self.service.call(request.map(s3s::Body::from)).await;
        if fate == Fate::AnswerLost {
            Err(lost())
        } else {
            answer.map_err(|error| io::Error::other(format!("{error:?}")))
        }
    }
}
