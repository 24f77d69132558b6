//! One open database: its writer, its readers, its head, and the sockets on it.
//!
//! Where in the flow: between routes and sockets on one side and the store on the other.
//! Never runs SQL on an async thread: the writer has a thread of its own, readers use blocking ones.

mod damaged;
mod digests;
mod engine;
mod pages;
mod readers;
mod roster;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use greenlight_core::limits::HEARTBEAT;
use greenlight_core::protocol::WriterState;
use greenlight_core::replica::{
    Applied, Chunk, DigestScope, Digests, Fault, FaultKind, PeerFacts, ReadRequest, ServerFacts, UploadPart,
};
use greenlight_core::{Cursor, SiteId};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::limits::{COUNT_WAIT, READ_TRIES, READER_WAIT, WRITER_WAIT};
use crate::lock::DatabaseLock;
use crate::metrics::Metrics;
use crate::name::DatabaseName;
use digests::SharedDigests;
use engine::Opening;
use pages::Pages;
use readers::Readers;
use writer::{Job, Writer};

pub(crate) use engine::backups;
pub use engine::{EngineSource, ExecAnswer, ExecError, Retried, Schema, Shelved, ShelvedId, Statement};
pub use roster::{Control, Member, Registration, Roster};

/// A database's position as its writer last published it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// The head after the last commit.
    pub head: Cursor,
    /// Counts the resets of this database since it was opened: what was begun before one must not be finished after.
    pub generation: u64,
}

/// What is had as long as the file is open: its lock, and one of the places for open databases.
#[derive(Debug)]
pub struct Hold {
    /// That servers have it open.
    pub lock: DatabaseLock,
    /// Its place.
    pub place: OwnedSemaphorePermit,
}

/// An open database.
#[derive(Debug)]
pub struct Database {
    name: DatabaseName,
    writer: Writer,
    readers: Readers,
    pages: Pages,
    digests: SharedDigests,
    roster: Roster,
    published: watch::Receiver<Published>,
    state: Arc<watch::Sender<WriterState>>,
}

impl Database {
    /// Opens a database, making it where `create` allows it, and starts its writer and its heartbeat.
    ///
    /// # Errors
    /// What the store says; nothing was started.
    pub async fn open(
        name: DatabaseName,
        source: EngineSource,
        create: bool,
        hold: Arc<Hold>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, String> {
        Self::open_as(name, source, Opening::First { create }, hold, metrics).await
    }

    /// Opens it again, after its writer has ended. Makes nothing: a file that was there and is gone is told.
    ///
    /// # Errors
    /// Why not; nothing was started.
    pub async fn open_again(
        &self,
        source: EngineSource,
        hold: Arc<Hold>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, String> {
        self.readers.close();
        // What is open in this process shares its locks and its view of the log with whatever it opens next.
        if !self.readers.are_gone(READER_WAIT).await {
            return Err("it is still being read".to_owned());
        }
        self.writer.ended().await;
        Self::open_as(self.name.clone(), source, Opening::Again(self.writer.replaced()), hold, metrics).await
    }

    async fn open_as(
        name: DatabaseName,
        source: EngineSource,
        opening: Opening,
        hold: Arc<Hold>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, String> {
        let state = Arc::new(watch::Sender::new(WriterState::default()));
        let suspect = Arc::new(AtomicBool::new(false));
        let starting =
            Writer::start(&name, source.clone(), opening, state.clone(), suspect.clone(), hold, metrics.clone());
        let (writer, published) = starting.await?;
        let readers = Readers::new(source, suspect);
        let pages = Pages::new(metrics);
        let (digests, roster) = (SharedDigests::new(), Roster::default());
        let database = Arc::new(Self { name, writer, readers, pages, digests, roster, published, state });
        tokio::spawn(beat(Arc::downgrade(&database)));
        if matches!(opening, Opening::First { .. }) && damaged::is_long(database.readers.file()) {
            tokio::spawn(database.readers.check());
        }
        Ok(database)
    }

    /// Its name.
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// Whether its writer's thread is there; a database without one is opened again.
    pub fn is_alive(&self) -> bool {
        self.writer.is_alive()
    }

    /// The sockets on it.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Its head, and every later one.
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// Whether its writer can commit, and every later word on that.
    pub fn writer_state(&self) -> watch::Receiver<WriterState> {
        self.state.subscribe()
    }

    /// What the database is.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn facts(&self) -> Result<ServerFacts, Fault> {
        self.readers.with(engine::Reader::facts).await
    }

    /// What it knows of a client, with its facts.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn greet(&self, site: SiteId, cursor: Cursor) -> Result<(ServerFacts, PeerFacts), Fault> {
        self.readers.with(move |reader| Ok((reader.facts()?, reader.peer(site, cursor)?))).await
    }

    /// Reads a page; sockets that want the same share one reading of it.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn read(&self, request: ReadRequest) -> Result<Chunk, Fault> {
        for _ in 1..READ_TRIES {
            match self.try_read(request.clone()).await {
                // Another process has written: that gets its place in the history first.
                Err(fault) if fault.kind == FaultKind::Busy => drop(self.pulse().await),
                read => return read,
            }
        }
        self.try_read(request).await
    }

    async fn try_read(&self, request: ReadRequest) -> Result<Chunk, Fault> {
        if self.roster.len() <= 1 {
            return self.readers.with(move |reader| reader.read(&request)).await;
        }
        let published = *self.published.borrow();
        self.pages.read(published, request, &self.readers).await
    }

    /// Digests for a client that compares; without sums where there is no time for them.
    pub async fn digest(&self, scope: DigestScope) -> Digests {
        let published = *self.published.borrow();
        self.digests.of(scope, published, &self.readers).await
    }

    /// Has a part committed. Returns when it is on disk, or when nothing of it is.
    /// `generation` is that of the handshake; after a reset the part has no place.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn apply(&self, part: UploadPart, generation: u64) -> Result<Applied, Fault> {
        self.ask(|reply| Job::Apply { part, generation, reply }).await?
    }

    /// Runs SQL on the writer's thread and commits it.
    ///
    /// # Errors
    /// SQLite's message, a limit, or the store's fault.
    pub async fn exec(&self, statement: Statement) -> Result<ExecAnswer, ApiError> {
        Ok(self.ask(|reply| Job::Exec { statement, reply }).await??)
    }

    /// A page of the quarantine, and how many changes are in it.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn quarantine(&self, offset: usize, limit: usize) -> Result<(Vec<Shelved>, u64), Fault> {
        self.readers.with(move |reader| reader.quarantine(offset, limit)).await
    }

    /// How many changes are in quarantine, and how many held aside; nothing where that can't be told soon.
    pub async fn aside_counts(&self) -> Option<(u64, u64)> {
        let counted = self.readers.with(engine::Reader::aside_counts);
        tokio::time::timeout(COUNT_WAIT, counted).await.ok()?.ok()
    }

    /// How many deleted rows the clocks remember. Reads all of them.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn tombstones(&self) -> Result<u64, Fault> {
        self.readers.with(engine::Reader::tombstones).await
    }

    /// The length of its file and of its write-ahead log, in bytes.
    pub fn sizes(&self) -> (u64, u64) {
        let file = self.readers.file();
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let length = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |facts| facts.len());
        (length(file), length(std::path::Path::new(&log)))
    }

    /// Tries changes in quarantine again, and commits those that can be applied.
    ///
    /// # Errors
    /// The store's fault; nothing was changed.
    pub async fn retry_quarantined(&self, ids: Vec<ShelvedId>) -> Result<Retried, Fault> {
        self.ask(|reply| Job::Retry { ids, reply }).await?
    }

    /// Drops changes in quarantine for ever: those that were there, and the names of those that were not.
    ///
    /// # Errors
    /// The store's fault; nothing was changed.
    pub async fn drop_quarantined(&self, ids: Vec<ShelvedId>) -> Result<(Vec<Shelved>, Vec<ShelvedId>), Fault> {
        self.ask(|reply| Job::Drop { ids, reply }).await?
    }

    /// Empties the database and gives it a new lineage; sockets are told.
    ///
    /// # Errors
    /// The store's fault; nothing was changed.
    pub async fn reset(&self) -> Result<ServerFacts, Fault> {
        let facts = self.ask(|reply| Job::Reset { reply }).await??;
        self.pages.clear();
        self.roster.tell_all(&Control::Reset);
        Ok(facts)
    }

    /// Writes a consistent copy to a file that isn't there, and tells what it holds.
    ///
    /// # Errors
    /// The store's fault.
    pub async fn snapshot(&self, to: std::path::PathBuf) -> Result<ServerFacts, Fault> {
        self.readers.with(move |reader| reader.snapshot(&to)).await
    }

    /// Has the writer look for writes by others. Returns at once; looks that are not done yet are not doubled.
    pub fn notice(&self) {
        self.writer.notice();
    }

    /// Asks the writer for its word, by a real commit where none happened lately. Silence for a heartbeat is a word.
    pub async fn pulse(&self) -> WriterState {
        self.last_commit().await;
        *self.state.borrow()
    }

    /// Asks the writer for its word, and when it last committed. `None` where it can't, or doesn't say, which is a word
    /// as well.
    async fn last_commit(&self) -> Option<Instant> {
        let word = tokio::time::timeout(HEARTBEAT, self.ask(|reply| Job::Heartbeat { reply })).await;
        let silent = match word {
            Ok(Ok(committed)) => return committed.map(Instant::from),
            Ok(Err(fault)) if fault.kind != FaultKind::Busy => WriterState::Failing,
            Ok(Err(_)) | Err(_) => WriterState::Busy,
        };
        self.state.send_replace(silent);
        None
    }

    /// Whether the writer is there after it has looked at the file.
    pub async fn is_alive_now(&self) -> bool {
        self.pulse().await;
        self.is_alive()
    }

    /// Jobs that wait for its writer.
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Lets the writer finish what waits, and closes it. Later requests are refused. The writer goes last: the last
    /// connection to close folds the write-ahead log into the file, and a reader can't. Whether all is closed.
    pub async fn close(&self, within: Duration) -> bool {
        self.readers.close();
        let are_gone = self.readers.are_gone(within).await;
        self.writer.close(within).await && are_gone
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, Fault> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.writer.send(job(reply)).await?;
            answer.await.map_err(|_| writer::gone())
        };
        tokio::time::timeout(WRITER_WAIT, asked).await.unwrap_or_else(|_| {
            let message = "the writer did not answer in time; what was asked may be done yet".to_owned();
            Err(Fault { kind: FaultKind::Busy, message })
        })
    }
}

/// While sockets are on a database its writer is asked for a word a heartbeat after its last commit, and looks for
/// writes by others, whose events may have been missed. Its file is looked at in any case. When the writer ends, who is
/// there is told at once.
async fn beat(database: std::sync::Weak<Database>) {
    let mut due = Instant::now();
    let Some(ended) = database.upgrade().map(|database| database.writer.watch_end()) else { return };
    loop {
        let mut end = ended.clone();
        tokio::select! {
            () = tokio::time::sleep_until(due) => {}
            _ = end.wait_for(|ended| *ended) => {}
        }
        let Some(database) = database.upgrade() else { return };
        if !database.is_alive() {
            database.readers.close();
            database.state.send_replace(WriterState::Failing);
            let word = if database.writer.replaced().is_some() { Control::Replaced } else { Control::Lost };
            database.roster.tell_all(&word);
            return;
        }
        let asked = Instant::now();
        let committed = if database.roster.is_empty() {
            database.writer.look();
            None
        } else {
            database.last_commit().await
        };
        due = committed.unwrap_or(asked) + HEARTBEAT;
    }
}
