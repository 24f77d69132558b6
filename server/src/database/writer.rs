//! The one thread that writes to a database, and the queue to it.
//!
//! Where in the flow: step 5 of a write. It takes what is waiting, commits what can share a commit, publishes the
//! head and then answers: an acknowledgement never precedes its commit.
//! Never waits for a socket or for another database.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use greenlight_core::limits::HEARTBEAT;
use greenlight_core::protocol::WriterState;
use greenlight_core::replica::{Applied, Fault, FaultKind, ServerFacts, UploadPart};
use greenlight_store::crash::{self, Point};
use tokio::sync::{mpsc, oneshot, watch};

use super::engine::{
    Dropped, Engine, EngineSource, ExecAnswer, ExecError, Opening, Replaced, Retried, ShelvedId, Statement,
};
use super::{Hold, Published};
use crate::limits::{BATCH_JOBS, WRITER_QUEUE};
use crate::metrics::Metrics;
use crate::name::DatabaseName;

/// What the writer is asked to do; each with a line for the answer.
pub(super) enum Job {
    Apply {
        part: UploadPart,
        generation: u64,
        reply: oneshot::Sender<Result<Applied, Fault>>,
    },
    Exec {
        statement: Statement,
        reply: oneshot::Sender<Result<ExecAnswer, ExecError>>,
    },
    Reset {
        reply: oneshot::Sender<Result<ServerFacts, Fault>>,
    },
    Retry {
        ids: Vec<ShelvedId>,
        reply: oneshot::Sender<Result<Retried, Fault>>,
    },
    Drop {
        ids: Vec<ShelvedId>,
        reply: oneshot::Sender<Result<Dropped, Fault>>,
    },
    /// Answered with when it last committed; `None` while it can't.
    Heartbeat {
        reply: oneshot::Sender<Option<Instant>>,
    },
    /// Only looks whether the file is still the one that was opened.
    Look,
    Notice,
}

/// The queue's near end.
#[derive(Debug)]
pub(super) struct Writer {
    queue: std::sync::Mutex<Option<mpsc::Sender<Job>>>,
    /// Whether a look for writes by others is waiting in the queue already.
    noticing: Arc<AtomicBool>,
    ended: watch::Receiver<bool>,
    /// Why it ended, where another file came into the place of its own.
    replaced: Arc<OnceLock<Replaced>>,
}

impl Writer {
    /// Opens the database on a new thread and waits until that is done.
    pub(super) async fn start(
        name: &DatabaseName,
        source: EngineSource,
        opening: Opening,
        state: Arc<watch::Sender<WriterState>>,
        suspect: Arc<AtomicBool>,
        hold: Arc<Hold>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, watch::Receiver<Published>), String> {
        let (queue, jobs) = mpsc::channel(WRITER_QUEUE);
        let (opened, open) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        let noticing = Arc::new(AtomicBool::new(false));
        let flag = noticing.clone();
        let replaced = Arc::new(OnceLock::new());
        let fate = replaced.clone();
        let span = tracing::info_span!("writer", database = %name);
        let work = move || {
            let _in_its_name = span.enter();
            let opening = source.writer(opening).and_then(|mut engine| {
                let head = engine.head().map_err(|fault| fault.message)?;
                Ok((head, engine))
            });
            match opening {
                Ok((head, engine)) => {
                    let (published, reader) = watch::channel(Published { head, generation: first_generation() });
                    if opened.send(Ok(reader)).is_ok() {
                        let committed = Instant::now();
                        Thread { engine, jobs, published, state, committed, noticing: flag, metrics, fate, suspect }
                            .run();
                    }
                }
                Err(why) => {
                    // Whoever asked for the database may have gone; then nobody needs to know.
                    drop(opened.send(Err(why)));
                }
            }
            // The file is closed by now, and not before.
            drop(hold);
            end.send_replace(true);
        };
        let thread = std::thread::Builder::new().name(format!("writer {name}"));
        thread.spawn(work).map_err(|error| format!("no thread for its writer: {error}"))?;
        let published = open.await.unwrap_or_else(|_| Err("its writer ended at once".to_owned()))?;
        Ok((Self { queue: std::sync::Mutex::new(Some(queue)), noticing, ended, replaced }, published))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.sender().is_some_and(|queue| !queue.is_closed())
    }

    pub(super) async fn send(&self, job: Job) -> Result<(), Fault> {
        let queue = self.sender().ok_or_else(gone)?;
        queue.send(job).await.map_err(|_| gone())
    }

    /// Waits until the thread has ended and the database is closed.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        // An error means that the thread has ended without saying so.
        drop(ended.wait_for(|ended| *ended).await);
    }

    /// Becomes true when the thread has ended.
    pub(super) fn watch_end(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// What came into the file's place, where the thread has ended because of that.
    pub(super) fn replaced(&self) -> Option<Replaced> {
        self.replaced.get().copied()
    }

    /// Has the file looked at. A full queue does that with its next job.
    pub(super) fn look(&self) {
        drop(self.sender().map(|queue| queue.try_send(Job::Look)));
    }

    pub(super) fn notice(&self) {
        if self.noticing.swap(true, Ordering::AcqRel) {
            return;
        }
        let sent = self.sender().is_some_and(|queue| queue.try_send(Job::Notice).is_ok());
        if !sent {
            // A full queue looks for writes by others with the next heartbeat.
            self.noticing.store(false, Ordering::Release);
        }
    }

    /// Jobs that wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.sender().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Takes no more jobs, and waits until those that wait are done and the database is closed. Whether it is.
    pub(super) async fn close(&self, within: Duration) -> bool {
        drop(self.lock().take());
        let mut ended = self.ended.clone();
        // An error means that the thread has ended without saying so.
        let in_time = tokio::time::timeout(within, ended.wait_for(|ended| *ended)).await.is_ok();
        if !in_time {
            tracing::warn!("a writer did not end in time");
        }
        in_time
    }

    fn sender(&self) -> Option<mpsc::Sender<Job>> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        // Only cloned and taken under the lock, neither of which can panic.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What is answered in the name of a writer that isn't there any more.
pub(super) fn gone() -> Fault {
    Fault { kind: FaultKind::Io, message: "the database's writer has ended".to_owned() }
}

/// Generations of one opening are apart from those of every other, so that nothing that was kept of a database is taken
/// for one of the file that came into its place.
fn first_generation() -> u64 {
    static OPENED: AtomicU64 = AtomicU64::new(0);
    OPENED.fetch_add(1, Ordering::Relaxed) << 32
}

/// What is answered once another file came into the place of the one that was opened.
fn fenced() -> Fault {
    Fault { kind: FaultKind::Io, message: "another file came into the database's place".to_owned() }
}

/// The queue's far end.
struct Thread {
    engine: Engine,
    jobs: mpsc::Receiver<Job>,
    published: watch::Sender<Published>,
    state: Arc<watch::Sender<WriterState>>,
    /// When the writer last committed anything.
    committed: Instant,
    noticing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    /// Set once another file came into the place of this one: nothing is done or acknowledged any more.
    fate: Arc<OnceLock<Replaced>>,
    /// Set when the file is found to be damaged, here or by a reader.
    suspect: Arc<AtomicBool>,
}

/// Jobs of one kind that wait to share a commit.
#[derive(Default)]
struct Batch {
    parts: Vec<UploadPart>,
    applied: Vec<oneshot::Sender<Result<Applied, Fault>>>,
    statements: Vec<Statement>,
    answered: Vec<oneshot::Sender<Result<ExecAnswer, ExecError>>>,
}

impl Thread {
    fn run(mut self) {
        while let Some(job) = self.jobs.blocking_recv() {
            let mut batch = Batch::default();
            self.take(job, &mut batch);
            for _ in 1..BATCH_JOBS {
                match self.jobs.try_recv() {
                    Ok(job) => self.take(job, &mut batch),
                    Err(_) => break,
                }
            }
            self.commit_parts(&mut batch);
            self.commit_statements(&mut batch);
            if self.fate.get().is_some() {
                tracing::error!("another file came into the database's place: it is closed, and opened again");
                self.say(WriterState::Failing);
                return;
            }
            if self.suspect.load(Ordering::Acquire) {
                tracing::error!("the file seems to be damaged: it is closed, and all of it is looked at");
                self.say(WriterState::Failing);
                return;
            }
        }
    }

    /// Looks at the file: before a commit, that nothing is written into another's, and after it, that nothing is
    /// acknowledged which nobody will find again.
    fn is_fenced(&mut self) -> bool {
        if self.fate.get().is_none()
            && let Some(replaced) = self.engine.look()
        {
            tracing::error!(replacement = ?replaced.replacement, "the file is not the one that was opened");
            self.metrics.replaced.add(1);
            self.fate.get_or_init(|| replaced);
        }
        self.fate.get().is_some()
    }

    /// Does something with the file, unless it is another's; and if it became that meanwhile, nothing counts.
    fn guarded<T>(&mut self, work: impl FnOnce(&mut Engine) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.is_fenced() {
            return Err(fenced());
        }
        let result = work(&mut self.engine);
        if self.is_fenced() { Err(fenced()) } else { result }
    }

    /// Puts a job into the batch, or does it at once; always after what came before it.
    fn take(&mut self, job: Job, batch: &mut Batch) {
        match job {
            // Whoever asked was told that it took too long, or is gone. A part is taken all the same: its session
            // has ended with it, and the next one finds what is held.
            Job::Exec { reply, .. } if reply.is_closed() => {}
            Job::Reset { reply } if reply.is_closed() => {}
            Job::Apply { part, generation, reply } if generation == self.published.borrow().generation => {
                self.commit_statements(batch);
                batch.parts.push(part);
                batch.applied.push(reply);
            }
            Job::Apply { reply, .. } => {
                let message = "the database was reset meanwhile".to_owned();
                answer(reply, Err(Fault { kind: FaultKind::OutOfOrder, message }));
            }
            Job::Exec { statement, reply } => {
                self.commit_parts(batch);
                batch.statements.push(statement);
                batch.answered.push(reply);
            }
            Job::Reset { reply } => {
                self.commit_parts(batch);
                self.commit_statements(batch);
                self.reset(reply);
            }
            Job::Retry { reply, .. } if reply.is_closed() => {}
            Job::Drop { reply, .. } if reply.is_closed() => {}
            Job::Retry { ids, reply } => self.alone(batch, reply, |engine| engine.retry(&ids)),
            Job::Drop { ids, reply } => self.alone(batch, reply, |engine| engine.drop_quarantined(&ids)),
            Job::Heartbeat { reply } => {
                self.commit_parts(batch);
                self.commit_statements(batch);
                self.beat();
                let commits = *self.state.borrow() == WriterState::Commits;
                answer(reply, commits.then_some(self.committed));
            }
            Job::Look => drop(self.is_fenced()),
            Job::Notice => {
                self.noticing.store(false, Ordering::Release);
                self.notice();
            }
        }
    }

    /// A transaction of its own, after what came before it.
    fn alone<T>(
        &mut self,
        batch: &mut Batch,
        reply: oneshot::Sender<Result<T, Fault>>,
        work: impl FnOnce(&mut Engine) -> Result<T, Fault>,
    ) {
        self.commit_parts(batch);
        self.commit_statements(batch);
        let result = self.guarded(work);
        match &result {
            Ok(_) => self.committed(),
            Err(fault) => self.failed(fault),
        }
        answer(reply, result);
    }

    fn reset(&mut self, reply: oneshot::Sender<Result<ServerFacts, Fault>>) {
        let result = self.guarded(Engine::reset);
        match &result {
            Ok(facts) => {
                let head = facts.head;
                self.published.send_modify(|published| {
                    *published = Published { head, generation: published.generation + 1 };
                });
                self.committed();
                crash::point(Point::ResetPublished);
            }
            Err(fault) => self.failed(fault),
        }
        answer(reply, result);
    }

    /// Gives the word on whether it can commit, by a real commit where none happened lately.
    fn beat(&mut self) {
        self.notice();
        if self.committed.elapsed() >= HEARTBEAT || *self.state.borrow() != WriterState::Commits {
            match self.guarded(Engine::probe) {
                Ok(()) => self.committed(),
                Err(fault) => self.failed(&fault),
            }
        }
    }

    /// One transaction for all parts that wait.
    fn commit_parts(&mut self, batch: &mut Batch) {
        if batch.parts.is_empty() {
            return;
        }
        let (parts, replies) = (std::mem::take(&mut batch.parts), std::mem::take(&mut batch.applied));
        let changes: u64 = parts.iter().map(|part| part.changes.len() as u64).sum();
        let (begun, together) = (Instant::now(), parts.len());
        let results = self.guarded(|engine| engine.apply(parts));
        if results.is_ok() {
            self.metrics.changes_in.add(changes);
            self.metrics.commit_seconds.observe(begun.elapsed().as_secs_f64());
            self.metrics.commit_parts.observe(f64::from(u32::try_from(together).unwrap_or(u32::MAX)));
        }
        self.settle([Point::UploadPublished, Point::UploadAnswered], results, replies);
    }

    /// One transaction for all statements that wait.
    fn commit_statements(&mut self, batch: &mut Batch) {
        if batch.statements.is_empty() {
            return;
        }
        let (statements, replies) = (std::mem::take(&mut batch.statements), std::mem::take(&mut batch.answered));
        let results = self.guarded(|engine| engine.exec(statements));
        if results.iter().flatten().any(|result| result.as_ref().is_err_and(ExecError::is_damage)) {
            self.suspect.store(true, Ordering::Release);
        }
        self.settle([Point::ExecPublished, Point::ExecAnswered], results, replies);
    }

    /// After a transaction: first the head goes out, then the answers.
    fn settle<T, E: From<Fault>>(
        &mut self,
        [published, answered]: [Point; 2],
        results: Result<Vec<Result<T, E>>, Fault>,
        replies: Vec<oneshot::Sender<Result<T, E>>>,
    ) {
        match results {
            Ok(results) => {
                self.committed();
                crash::point(published);
                for (reply, result) in replies.into_iter().zip(results) {
                    answer(reply, result);
                }
                crash::point(answered);
            }
            Err(fault) => {
                self.failed(&fault);
                for reply in replies {
                    answer(reply, Err(fault.clone().into()));
                }
            }
        }
    }

    fn notice(&mut self) {
        match self.guarded(Engine::notice_external) {
            Ok(true) => {
                self.metrics.external.add(1);
                self.committed();
            }
            Ok(false) => {}
            Err(fault) => self.failed(&fault),
        }
    }

    /// After a commit: the head goes out, and the writer's word is good.
    fn committed(&mut self) {
        self.committed = Instant::now();
        self.say(WriterState::Commits);
        match self.engine.head() {
            Ok(head) => {
                self.published.send_if_modified(|published| {
                    let moved = published.head != head;
                    published.head = head;
                    moved
                });
            }
            Err(fault) => self.failed(&fault),
        }
    }

    fn failed(&mut self, fault: &Fault) {
        let state = match fault.kind {
            FaultKind::Full => WriterState::Full,
            FaultKind::ReadOnly => WriterState::ReadOnly,
            FaultKind::Busy => WriterState::Busy,
            FaultKind::OutOfOrder | FaultKind::Forbidden => return,
            FaultKind::Corrupt | FaultKind::Io | FaultKind::Internal => WriterState::Failing,
        };
        if fault.kind == FaultKind::Corrupt {
            self.suspect.store(true, Ordering::Release);
        }
        tracing::warn!(?state, "the writer failed: {fault}");
        self.say(state);
    }

    fn say(&self, state: WriterState) {
        self.state.send_if_modified(|said| std::mem::replace(said, state) != state);
    }
}

/// Whoever asked may have gone; what was done stays done.
fn answer<T>(reply: oneshot::Sender<T>, answer: T) {
    drop(reply.send(answer));
}
