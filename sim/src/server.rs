//! The server's machine: one database, one real session for each socket, one writer, slow readers.
//!
//! Where in the flow: drives the server's sessions as the real server does. An answer never precedes its commit,
//! but in builds that are broken on purpose.

mod reader;
mod writer;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastrand::Rng;
use greenlight_core::limits::HEARTBEAT;
use greenlight_core::protocol::{Hello, Refuse, RefuseCode, WriterState};
use greenlight_core::replica::{Fault, FaultKind, UploadPart};
use greenlight_core::server::{Greeting, Output, ServerSession};
use greenlight_core::{Lineage, Now, SiteId};

use crate::breakage::{self, Breakage};
use crate::clock::{Clock, Time};
use crate::disk::{Disk, Opening};
use crate::event::{Event, Life};
use crate::network::{Way, WireId};
use crate::oracle::{Check, Log, Violation};
use crate::stores::{ServerMachine, Stores, Task};
use crate::workload::Write;
use crate::world::World;

/// Parts and statements that share one commit.
const BATCH: usize = 32;
/// How long the writer waits for company, at most.
const COMMIT_MS: u64 = 10;
/// How long a read takes, at most.
const READ_MS: u64 = 10;

/// A socket's session.
pub(crate) struct Seat {
    pub(crate) session: ServerSession,
    site: Option<SiteId>,
}

/// What waits for the writer.
struct Job {
    task: Task,
    /// Who is told; `None` for the server's own app.
    wire: Option<WireId>,
}

/// A copy of the file, with what the oracle knew of it.
struct Backup {
    disk: Disk,
    commits: usize,
}

/// The server's machine.
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) database: Option<Box<dyn ServerMachine>>,
    pub(crate) life: Life,
    pub(crate) sessions: BTreeMap<WireId, Seat>,
    pub(crate) held: VecDeque<Event>,
    pub(crate) clock: Clock,
    wall: Arc<AtomicI64>,
    random: Rng,
    queue: VecDeque<Job>,
    commit_due: bool,
    writer: WriterState,
    /// When it last committed, or was opened.
    pub(crate) last_commit: Time,
    frozen_until: Time,
    full_until: Time,
    reads_until: Time,
    pub(crate) writer_ms: u64,
    crash_at_commit: Option<u64>,
    backup: Option<Backup>,
    restoring: bool,
    pub(crate) lineage: Option<Lineage>,
    /// When the database last became another one, by a restore or a reset.
    pub(crate) replaced: Option<Time>,
    /// What was committed when.
    pub(crate) log: Log,
}

impl Server {
    pub(crate) fn new(rng: &mut Rng, stores: Stores) -> Result<Self, Violation> {
        Ok(Self {
            disk: Disk::new(stores)?,
            database: None,
            life: 0,
            sessions: BTreeMap::new(),
            held: VecDeque::new(),
            clock: Clock::default(),
            wall: Arc::default(),
            random: rng.fork(),
            queue: VecDeque::new(),
            commit_due: false,
            writer: WriterState::Commits,
            last_commit: Time::default(),
            frozen_until: Time::default(),
            full_until: Time::default(),
            reads_until: Time::default(),
            writer_ms: 0,
            crash_at_commit: None,
            backup: None,
            restoring: false,
            lineage: None,
            replaced: None,
            log: Log::default(),
        })
    }

    pub(crate) fn is_frozen(&self, now: Time) -> bool {
        self.frozen_until > now
    }

    pub(crate) fn wake_at(&self, now: Time) -> Option<Time> {
        if self.is_frozen(now) {
            return None;
        }
        let moments = self.sessions.values().filter_map(|seat| seat.session.wake_at());
        moments.map(|moment| self.clock.time_of(moment)).min()
    }

    /// Every fault that lasts ends.
    pub(crate) fn heal(&mut self) {
        self.frozen_until = Time::default();
        self.full_until = Time::default();
        self.reads_until = Time::default();
        self.writer_ms = 0;
        self.crash_at_commit = None;
    }

    fn now(&self, time: Time) -> Now {
        let now = self.clock.read(time);
        self.wall.store(now.wall_ms, Ordering::Relaxed);
        now
    }
}

impl World {
    /// The server's process starts, after a crash or with a backup in place of its file.
    pub(crate) fn start_server(&mut self) -> Result<(), Violation> {
        if self.server.database.is_some() {
            return Ok(());
        }
        self.server.now(self.now);
        let (random, wall) = (self.server.random.fork(), self.server.wall.clone());
        let opening = Opening { schema: &self.schema, part_bytes: self.part_bytes, random, wall };
        let mut database = self
            .server
            .disk
            .open_server(opening)
            .map_err(|error| self.violation(Check::StoreFault, format!("the server does not open: {error}")))?;
        if std::mem::take(&mut self.server.restoring) {
            database.renew_epoch().map_err(|fault| self.fault("renew the epoch", &fault))?;
        }
        let facts = database.facts().map_err(|fault| self.fault("read the facts", &fault))?;
        self.server.lineage = Some(facts.lineage);
        self.server.database = Some(database);
        self.server.writer = WriterState::Commits;
        self.server.last_commit = self.now;
        let life = self.server.life;
        self.note(|_| format!("server starts: {:?} head {:?}", facts.lineage, facts.head));
        self.capture(0)?;
        self.after(HEARTBEAT.as_millis() as u64, Event::Beat(life));
        Ok(())
    }

    /// The process ends. Sockets are closed by the operating system, unless the machine went silently.
    pub(crate) fn crash_server(&mut self, off_ms: u64, silent: bool) {
        if self.server.database.take().is_none() {
            return;
        }
        self.note(|_| format!("server crashes, silently: {silent}"));
        self.server.life += 1;
        self.server.queue.clear();
        self.server.commit_due = false;
        self.server.held.clear();
        self.server.frozen_until = Time::default();
        self.server.full_until = Time::default();
        self.server.crash_at_commit = None;
        for (wire, _) in std::mem::take(&mut self.server.sessions) {
            if !silent {
                self.close_wire(wire, Way::Down, 1006, "the server is gone".to_owned());
            }
        }
        self.after(off_ms, Event::ServerStarts);
    }

    pub(crate) fn crash_server_at_commit(&mut self, off_ms: u64) {
        self.server.crash_at_commit = Some(off_ms);
    }

    pub(crate) fn freeze_server(&mut self, ms: u64) {
        self.server.frozen_until = self.server.frozen_until.max(self.now.after_ms(ms));
        self.at(self.server.frozen_until, Event::ServerThaws);
    }

    pub(crate) fn thaw_server(&mut self) -> Result<(), Violation> {
        if self.server.is_frozen(self.now) {
            return Ok(());
        }
        let held = std::mem::take(&mut self.server.held);
        self.take_held(held.into())
    }

    pub(crate) fn slow_reads(&mut self, ms: u64) {
        self.server.reads_until = self.now.after_ms(ms);
    }

    /// No page can be added to the file any more.
    pub(crate) fn fill_server(&mut self, ms: u64) -> Result<(), Violation> {
        let Some(database) = &mut self.server.database else { return Ok(()) };
        database.set_full(true)?;
        self.server.full_until = self.server.full_until.max(self.now.after_ms(ms));
        self.at(self.server.full_until, Event::ServerDiskFree);
        Ok(())
    }

    pub(crate) fn free_server(&mut self) -> Result<(), Violation> {
        if self.server.full_until > self.now {
            return Ok(());
        }
        let Some(database) = &mut self.server.database else { return Ok(()) };
        Ok(database.set_full(false)?)
    }

    pub(crate) fn back_up(&mut self) -> Result<(), Violation> {
        if self.server.database.is_some() {
            let disk = self.server.disk.copy()?;
            self.server.backup = Some(Backup { disk, commits: self.server.log.len() });
        }
        Ok(())
    }

    /// Stops the server, and has it come back with the last backup.
    pub(crate) fn restore(&mut self, off_ms: u64) -> Result<bool, Violation> {
        let Some(backup) = &self.server.backup else { return Ok(false) };
        let (disk, commits) = (backup.disk.copy()?, backup.commits);
        self.crash_server(off_ms, false);
        // A server that is down already comes back when it was going to.
        self.server.disk = disk;
        self.server.restoring = true;
        self.server.lineage = None;
        self.server.replaced = Some(self.now);
        self.server.log.truncate(commits, self.server.disk.largest_version()?);
        for client in &mut self.clients {
            client.forget_proofs(commits);
        }
        Ok(true)
    }

    /// Another lineage; live sockets are told at once.
    pub(crate) fn reset(&mut self) -> Result<(), Violation> {
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let lineage = match database.reset() {
            Ok(lineage) => lineage,
            Err(fault) if fault.kind == FaultKind::Full => return Ok(()),
            Err(fault) => return Err(self.fault("reset", &fault)),
        };
        self.server.lineage = Some(lineage);
        self.server.replaced = Some(self.now);
        self.server.log.truncate(0, 0);
        self.server.backup = None;
        self.server.queue.clear();
        for client in &mut self.clients {
            client.forget_proofs(0);
        }
        let sentence = "the database was reset".to_owned();
        let refuse = Refuse { code: RefuseCode::Lineage, sentence };
        let now = self.server.now(self.now);
        for wire in self.server.sessions.keys().copied().collect::<Vec<_>>() {
            if let Some(seat) = self.server.sessions.get_mut(&wire) {
                seat.session.handle_refuse(now, refuse.clone());
            }
            self.drain_session(wire)?;
        }
        Ok(())
    }

    /// A socket opens.
    pub(crate) fn accept(&mut self, wire: WireId) -> Result<(), Violation> {
        if self.server.database.is_none() {
            self.after(5, Event::DialFailed(wire));
            return Ok(());
        }
        let now = self.server.now(self.now);
        self.server.sessions.insert(wire, Seat { session: ServerSession::new(now), site: None });
        let latency = self.clients[self.wires[wire.0].client].link.latency_ms;
        self.after(latency, Event::Opened(wire));
        Ok(())
    }

    pub(crate) fn server_hears(&mut self, wire: WireId, frame: &[u8]) -> Result<(), Violation> {
        let now = self.server.now(self.now);
        if let Some(seat) = self.server.sessions.get_mut(&wire) {
            seat.session.handle_frame(now, frame);
        }
        self.drain_session(wire)
    }

    pub(crate) fn wake_sessions(&mut self) -> Result<(), Violation> {
        if self.server.is_frozen(self.now) {
            return Ok(());
        }
        let now = self.server.now(self.now);
        for wire in self.server.sessions.keys().copied().collect::<Vec<_>>() {
            if let Some(seat) = self.server.sessions.get_mut(&wire) {
                seat.session.handle_timeout(now);
            }
            self.drain_session(wire)?;
        }
        Ok(())
    }

    /// Who says hello was looked up. An older socket of the same site is told that it was superseded, and what it has
    /// handed to the writer is committed first.
    pub(crate) fn greet(&mut self, life: Life, wire: WireId, hello: &Hello) -> Result<(), Violation> {
        if life != self.server.life {
            return Ok(());
        }
        let now = self.server.now(self.now);
        let older =
            |(other, seat): (&WireId, &Seat)| (*other != wire && seat.site == Some(hello.site)).then_some(*other);
        for other in self.server.sessions.iter().filter_map(older).collect::<Vec<_>>() {
            if let Some(seat) = self.server.sessions.get_mut(&other) {
                let sentence = "another connection took over".to_owned();
                seat.session.handle_refuse(now, Refuse { code: RefuseCode::Superseded, sentence });
            }
            self.drain_session(other)?;
        }
        // What was handed to the writer before is done before anything is looked up.
        while !self.server.queue.is_empty() && life == self.server.life {
            self.commit(life)?;
        }
        let writer = self.server.writer;
        let Some(database) = &mut self.server.database else { return Ok(()) };
        let looked_up = database.facts().and_then(|facts| Ok((facts, database.peer(hello.site, hello.cursor)?)));
        let (facts, mut peer) = looked_up.map_err(|fault| self.fault("look a client up", &fault))?;
        if self.breakage == Some(Breakage::TagIgnored) {
            peer.cursor_known = true;
        }
        self.note(|_| format!("server greets {:?} at {:?}: {peer:?} head {:?}", hello.site, hello.cursor, facts.head));
        if let Some(seat) = self.server.sessions.get_mut(&wire) {
            seat.site = Some(hello.site);
            seat.session.handle_greeting(now, Ok(Greeting { facts, peer, writer, may_write: true }));
        }
        self.drain_session(wire)
    }

    /// The heartbeat: foreign writes are looked for, and an idle or failed writer is tried.
    pub(crate) fn server_beats(&mut self, life: Life) -> Result<(), Violation> {
        if life != self.server.life {
            return Ok(());
        }
        self.notice(life)?;
        let idle = self.server.last_commit.after(HEARTBEAT) <= self.now;
        if idle || self.server.writer != WriterState::Commits {
            self.server.now(self.now);
            let Some(database) = &mut self.server.database else { return Ok(()) };
            match database.probe() {
                Ok(()) => self.committed()?,
                Err(fault) => self.failed(&fault)?,
            }
        }
        let due = self.server.last_commit.after(HEARTBEAT);
        self.at(if due > self.now { due } else { self.now.after(HEARTBEAT) }, Event::Beat(life));
        Ok(())
    }

    /// Foreign writes are looked for.
    pub(crate) fn notice(&mut self, life: Life) -> Result<(), Violation> {
        if life != self.server.life {
            return Ok(());
        }
        let Some(database) = &mut self.server.database else { return Ok(()) };
        match database.notice_external() {
            Ok(true) => {
                self.capture(0)?;
                self.committed()
            }
            Ok(false) => Ok(()),
            Err(fault) => self.failed(&fault),
        }
    }

    /// Another process writes into the file.
    pub(crate) fn write_externally(&mut self, writes: &[Write], noticed_ms: Option<u64>) -> Result<(), Violation> {
        let operations: Vec<_> = writes.iter().flat_map(Write::operations).collect();
        let written = self.server.disk.write_as_other(&operations);
        written.map_err(|error| self.violation(Check::StoreFault, format!("another process can't write: {error}")))?;
        // Clients owe it only once it can have been noticed.
        self.capture(HEARTBEAT.as_millis() as u64)?;
        if let Some(ms) = noticed_ms {
            self.after(ms, Event::Notice(self.server.life));
        }
        Ok(())
    }

    /// Notes what is committed now and was not before, for the oracle.
    fn capture(&mut self, noticed_ms: u64) -> Result<(), Violation> {
        let due = self.now.after_ms(noticed_ms);
        self.server.log.capture(&self.server.disk, due)?;
        Ok(())
    }

    /// Carries out what a session asks for.
    fn drain_session(&mut self, wire: WireId) -> Result<(), Violation> {
        let life = self.server.life;
        while let Some(output) = self.server.sessions.get_mut(&wire).and_then(|seat| seat.session.poll_output()) {
            match output {
                Output::Greet(hello) => {
                    let ms = self.rng.u64(..=READ_MS);
                    self.after(ms, Event::Greet(life, wire, hello));
                }
                Output::Read(request) => {
                    let ms = self.rng.u64(..=READ_MS);
                    let at = self.now.after_ms(ms).max(self.server.reads_until);
                    self.at(at, Event::Read(life, wire, request));
                }
                Output::Digest(scope) => self.digest(wire, &scope)?,
                Output::Apply(part) => self.apply(wire, part),
                Output::Send(frame) => {
                    let frame = breakage::of_server(self.breakage, frame);
                    self.send(wire, Way::Down, frame)?;
                }
                Output::Close(code, reason) => {
                    self.note(|_| format!("server closes {wire:?}: {code:?} {reason}"));
                    self.close_wire(wire, Way::Down, code.number(), reason);
                    self.server.sessions.remove(&wire);
                }
            }
        }
        Ok(())
    }

    fn apply(&mut self, wire: WireId, part: UploadPart) {
        self.enqueue(Job { task: Task::Upload(part), wire: Some(wire) });
        if self.breakage == Some(Breakage::AcknowledgedBeforeCommit) {
            let now = self.server.now(self.now);
            if let Some(seat) = self.server.sessions.get_mut(&wire) {
                seat.session.handle_applied(now, Ok(greenlight_core::replica::Applied::default()));
            }
        }
    }

    /// A fault that a full disk or a stale message explains is part of the game.
    pub(crate) fn expect_fault(&mut self, what: &str, fault: &Fault) -> Result<(), Violation> {
        match fault.kind {
            FaultKind::Full | FaultKind::OutOfOrder => {
                *self.counts.faults.entry(format!("{:?}", fault.kind)).or_default() += 1;
                Ok(())
            }
            _ => Err(self.fault(what, fault)),
        }
    }

    pub(crate) fn fault(&self, what: &str, fault: &Fault) -> Violation {
        self.violation(Check::StoreFault, format!("could not {what}: {:?}: {fault}", fault.kind))
    }
}
