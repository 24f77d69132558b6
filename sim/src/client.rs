//! A client's machine: one database, one real session, clocks, and a way to the server.
//!
//! Where in the flow: drives the client's session as the browser's worker and the native client do. Never repairs
//! what a session gets wrong.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fastrand::Rng;
use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::limits::FRESHNESS;
use greenlight_core::replica::{Fault, FaultKind, StoreReply, StoreRequest, perform};
use greenlight_core::status::Diverged;
use greenlight_core::{Now, PackedKey, StatusState, status};

use crate::breakage::{self, BrokenClient, Memory};
use crate::clock::{Clock, Time};
use crate::content::Cell;
use crate::disk::{Disk, Opening};
use crate::event::Event;
use crate::network::{Link, Way, WireId};
use crate::oracle::{Check, Violation};
use crate::stores::ClientMachine;
use crate::workload::Write;
use crate::world::World;

/// A cell that an app wrote here, and whether the server was seen to hold it.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) cell: Cell,
    pub(crate) proven: bool,
}

/// What runs on a client's machine.
pub(crate) struct Process {
    pub(crate) database: Box<dyn ClientMachine>,
    pub(crate) session: ClientSession,
}

/// A client's machine.
pub(crate) struct Client {
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    pub(crate) clock: Clock,
    wall: Arc<AtomicI64>,
    random: Rng,
    pub(crate) link: Link,
    pub(crate) wire: Option<WireId>,
    pub(crate) past: VecDeque<(Way, Vec<u8>)>,
    pub(crate) held: VecDeque<Event>,
    /// The one timer that its driver set after the session last ran, by the monotonic clock.
    timer: Option<Now>,
    asleep: Option<(Time, Time)>,
    /// Until when only one of its clocks may be wrong. A wall clock that is set back and a monotonic one that stands
    /// still within one freshness deadline would leave nobody who knows how much time has passed.
    jumped_until: Time,
    slept_until: Time,
    full_until: Time,
    crash_at_apply: Option<u64>,
    paused: bool,
    /// What the light shows a person.
    pub(crate) shown: StatusState,
    /// The clock was set since the session last ran: no timer can have told it.
    pub(crate) unaware: bool,
    /// Something happened since the last check.
    pub(crate) touched: bool,
    /// What was written here, in order.
    pub(crate) own: Vec<Own>,
    /// How much of the server's log this database was seen to hold.
    pub(crate) followed: usize,
    pub(crate) memory: Memory,
}

impl Client {
    fn new(disk: Disk, mut random: Rng, memory: Memory) -> Self {
        let random = random.fork();
        Self {
            disk,
            process: None,
            clock: Clock::default(),
            wall: Arc::default(),
            random,
            link: Link::default(),
            wire: None,
            past: VecDeque::new(),
            held: VecDeque::new(),
            timer: None,
            asleep: None,
            jumped_until: Time::default(),
            slept_until: Time::default(),
            full_until: Time::default(),
            crash_at_apply: None,
            paused: false,
            shown: StatusState::Connecting,
            unaware: false,
            touched: true,
            own: Vec::new(),
            followed: 0,
            memory,
        }
    }

    pub(crate) fn is_asleep(&self, now: Time) -> bool {
        self.asleep.is_some_and(|(_, until)| until > now)
    }

    /// Whether it sleeps, or is about to wake at this very moment.
    pub(crate) fn has_not_woken(&self) -> bool {
        self.asleep.is_some()
    }

    pub(crate) fn wake_at(&self, now: Time) -> Option<Time> {
        if self.is_asleep(now) {
            return None;
        }
        self.timer.map(|moment| self.clock.time_of(moment).max(now))
    }

    pub(crate) fn now(&self, time: Time) -> Now {
        let now = self.clock.read(time);
        self.wall.store(now.wall_ms, Ordering::Relaxed);
        now
    }

    /// Every fault that lasts ends.
    pub(crate) fn heal(&mut self, now: Time) {
        if let Some((_, until)) = &mut self.asleep {
            *until = now;
        }
        self.full_until = Time::default();
        self.crash_at_apply = None;
        self.link = Link::default();
    }

    /// The server has become another: what it was seen to hold has to be seen again.
    pub(crate) fn forget_proofs(&mut self, commits: usize) {
        self.followed = self.followed.min(commits);
        for own in &mut self.own {
            own.proven = false;
        }
    }
}

impl World {
    /// A new machine: with an empty database, or with a copy of another's.
    pub(crate) fn add_client(&mut self, twin_of: Option<usize>) -> Result<(), Violation> {
        let random = self.rng.fork();
        let client = match twin_of {
            None => Client::new(Disk::new(self.stores)?, random, Memory::default()),
            Some(original) => {
                let original = &self.clients[original];
                let copy = Client::new(original.disk.copy()?, random, original.memory.clone());
                Client { own: original.own.clone(), followed: original.followed, ..copy }
            }
        };
        self.clients.push(client);
        self.start_client(self.clients.len() - 1)
    }

    /// The process starts; its database is as the disk has it.
    pub(crate) fn start_client(&mut self, index: usize) -> Result<(), Violation> {
        if self.clients[index].process.is_some() {
            return Ok(());
        }
        let client = &mut self.clients[index];
        let now = client.now(self.now);
        let (random, wall) = (client.random.fork(), client.wall.clone());
        let seed = client.random.u64(..);
        let opening = Opening { schema: &self.schema, part_bytes: self.part_bytes, random, wall };
        let database = client
            .disk
            .open_client(opening)
            .map_err(|error| self.violation(Check::StoreFault, format!("client {index} does not open: {error}")))?;
        let session = ClientSession::new(now, ClientConfig { agent: format!("sim {index}"), seed });
        let client = &mut self.clients[index];
        client.process = Some(Process { database, session });
        client.paused = false;
        self.drain_client(index)
    }

    /// The process ends; what was committed is on the disk.
    pub(crate) fn crash_client(&mut self, index: usize, off_ms: u64) {
        if self.clients[index].process.take().is_none() {
            return;
        }
        self.note(|_| format!("client {index} crashes"));
        let client = &mut self.clients[index];
        client.timer = None;
        client.asleep = None;
        client.held.clear();
        client.full_until = Time::default();
        client.crash_at_apply = None;
        client.shown = StatusState::Connecting;
        if let Some(wire) = self.leave_wire(index) {
            self.close_wire(wire, Way::Up, 1006, String::new());
        }
        self.after(off_ms, Event::ClientStarts(index));
    }

    pub(crate) fn crash_client_at_apply(&mut self, index: usize, off_ms: u64) {
        self.clients[index].crash_at_apply = Some(off_ms);
    }

    /// Nothing runs until it wakes.
    pub(crate) fn sleep(&mut self, index: usize, ms: u64) {
        let until = self.now.after_ms(ms);
        let client = &mut self.clients[index];
        if client.process.is_some() && client.asleep.is_none() && client.jumped_until <= self.now {
            client.asleep = Some((self.now, until));
            self.at(until, Event::ClientWakes(index));
        }
    }

    pub(crate) fn client_wakes(&mut self, index: usize) -> Result<(), Violation> {
        let Some((since, until)) = self.clients[index].asleep else { return Ok(()) };
        if until > self.now {
            return Ok(());
        }
        let client = &mut self.clients[index];
        client.asleep = None;
        client.clock.slept(until.0 - since.0);
        client.slept_until = self.now.after(FRESHNESS);
        let held = std::mem::take(&mut client.held);
        // Timers that are due run first when a machine wakes.
        self.wake_client(index)?;
        self.take_held(held.into())
    }

    pub(crate) fn wake_client(&mut self, index: usize) -> Result<(), Violation> {
        self.with_session(index, |session, now| session.handle_timeout(now))
    }

    pub(crate) fn pause(&mut self, index: usize) -> Result<(), Violation> {
        self.clients[index].paused = true;
        self.with_session(index, ClientSession::pause)
    }

    pub(crate) fn resume(&mut self, index: usize) -> Result<(), Violation> {
        self.clients[index].paused = false;
        self.with_session(index, ClientSession::resume)
    }

    pub(crate) fn retry(&mut self, index: usize) -> Result<(), Violation> {
        self.with_session(index, ClientSession::retry)
    }

    /// Drops the database and begins with an empty one.
    pub(crate) fn nuke(&mut self, index: usize) -> Result<(), Violation> {
        if self.clients[index].process.is_none() {
            return Ok(());
        }
        self.crash_client(index, 0);
        let client = &mut self.clients[index];
        client.disk = Disk::new(self.stores)?;
        client.own.clear();
        client.followed = 0;
        client.memory = Memory::default();
        self.start_client(index)
    }

    pub(crate) fn jump(&mut self, index: usize, ms: i64) {
        let client = &mut self.clients[index];
        let back = ms < 0;
        if client.asleep.is_none() && !(back && client.slept_until > self.now) {
            client.clock.jump(ms);
            client.unaware = true;
            if back {
                client.jumped_until = self.now.after(FRESHNESS);
            }
        }
    }

    pub(crate) fn fill_client(&mut self, index: usize, ms: u64) -> Result<(), Violation> {
        let client = &mut self.clients[index];
        let Some(process) = &mut client.process else { return Ok(()) };
        process.database.set_full(true)?;
        client.full_until = client.full_until.max(self.now.after_ms(ms));
        let until = client.full_until;
        self.at(until, Event::ClientDiskFree(index));
        Ok(())
    }

    pub(crate) fn free_client(&mut self, index: usize) -> Result<(), Violation> {
        let client = &mut self.clients[index];
        if client.full_until > self.now {
            return Ok(());
        }
        let Some(process) = &mut client.process else { return Ok(()) };
        Ok(process.database.set_full(false)?)
    }

    /// An app writes, all in one transaction; what collides leaves nothing behind.
    pub(crate) fn write(&mut self, index: usize, writes: &[Write]) -> Result<(), Violation> {
        if self.clients[index].is_asleep(self.now) {
            return Ok(());
        }
        let client = &mut self.clients[index];
        client.now(self.now);
        let Some(process) = &mut client.process else { return Ok(()) };
        let before = client.disk.largest_version()?;
        let operations: Vec<_> = writes.iter().flat_map(Write::operations).collect();
        let result = process.database.write(&operations);
        if let Ok(Some(mut outbox)) = result {
            let cells = client.disk.cells_above(before, true)?;
            client.own.extend(cells.into_iter().map(|cell| Own { cell, proven: false }));
            let breakage = self.breakage;
            breakage::after_local_commit(breakage, &mut *process.database, before, &client.memory, &mut outbox)?;
            self.note(|_| format!("client {index} writes {writes:?}: {} pending", outbox.changes));
            return self.with_session(index, |session, now| session.handle_local_commit(now, outbox));
        }
        match result {
            Err(fault) if fault.kind == FaultKind::Full => {
                self.expect_fault("write", &fault)?;
                self.with_session(index, |session, now| session.handle_local_fault(now, fault))
            }
            Err(fault) => Err(self.fault("write", &fault)),
            Ok(_) => Ok(()),
        }
    }

    /// The socket is open.
    pub(crate) fn client_connected(&mut self, wire: WireId) -> Result<(), Violation> {
        let index = self.wires[wire.0].client;
        if self.clients[index].wire != Some(wire) {
            return Ok(());
        }
        self.with_session(index, |session, now| session.handle_connected(now, String::new()))
    }

    pub(crate) fn client_hears(&mut self, wire: WireId, frame: Vec<u8>) -> Result<(), Violation> {
        let index = self.wires[wire.0].client;
        if self.clients[index].wire != Some(wire) {
            return Ok(());
        }
        let memory = &mut self.clients[index].memory;
        let Some(frame) = breakage::to_client(self.breakage, memory, frame) else { return Ok(()) };
        self.with_session(index, |session, now| session.handle_frame(now, &frame))
    }

    pub(crate) fn client_closed(&mut self, wire: WireId, code: u16, reason: &str) -> Result<(), Violation> {
        let index = self.wires[wire.0].client;
        if self.clients[index].wire != Some(wire) {
            return Ok(());
        }
        self.leave_wire(index);
        self.with_session(index, |session, now| session.handle_closed(now, code, reason))
    }

    fn with_session(&mut self, index: usize, run: impl FnOnce(&mut ClientSession, Now)) -> Result<(), Violation> {
        let client = &mut self.clients[index];
        if client.is_asleep(self.now) {
            return Ok(());
        }
        let now = client.now(self.now);
        let Some(process) = &mut client.process else { return Ok(()) };
        run(&mut process.session, now);
        self.drain_client(index)
    }

    /// Carries out what the session asks for, then shows the light.
    fn drain_client(&mut self, index: usize) -> Result<(), Violation> {
        let now = self.clients[index].now(self.now);
        while let Some(output) = self.clients[index].process.as_mut().and_then(|process| process.session.poll_output())
        {
            match output {
                Output::Connect => self.clients[index].wire = Some(self.dial(index)),
                Output::Close(code, reason) => {
                    self.note(|_| format!("client {index} closes: {code:?} {reason}"));
                    if let Some(wire) = self.leave_wire(index) {
                        self.close_wire(wire, Way::Up, code.number(), reason);
                    }
                }
                Output::Send(frame) => {
                    let Some(wire) = self.clients[index].wire else { continue };
                    let echo = breakage::own_echo(self.breakage, &self.clients[index].memory, &frame);
                    self.send(wire, Way::Up, frame)?;
                    if let (Some(echo), Some(process)) = (echo, &mut self.clients[index].process) {
                        process.session.handle_frame(now, &echo);
                    }
                }
                Output::Store(request) => self.perform(index, request)?,
                Output::Diverged(tables, rows) => return Err(self.differs(index, &tables, &rows)),
            }
        }
        let client = &mut self.clients[index];
        if let Some(process) = &client.process {
            let (shown, reason) = status::judge(&process.session.facts(), now);
            let differs = std::mem::replace(&mut client.shown, shown) != shown;
            client.timer = process.session.wake_at(now);
            client.unaware = false;
            client.touched = true;
            if differs {
                self.note(|_| format!("client {index} shows {} ({reason:?})", shown.name()));
            }
        }
        Ok(())
    }

    /// Nothing here damages a database but a defect, so whatever a comparison finds is one.
    fn differs(&self, index: usize, tables: &[Diverged], rows: &[(String, PackedKey)]) -> Violation {
        self.violation(Check::Diverged, format!("client {index}: {}", status::describe(tables, rows)))
    }

    fn perform(&mut self, index: usize, request: StoreRequest) -> Result<(), Violation> {
        let what = if self.is_traced() { format!("{request:?}") } else { String::new() };
        let breakage = self.breakage;
        let client = &mut self.clients[index];
        let now = client.now(self.now);
        let Some(process) = &mut client.process else { return Ok(()) };
        let crash = if matches!(request, StoreRequest::Apply(_)) { client.crash_at_apply.take() } else { None };
        let mut store = BrokenClient {
            database: &mut *process.database,
            breakage,
            memory: &mut client.memory,
            crashes: crash.is_some(),
        };
        let reply = perform(&mut store, request);
        self.note(|_| {
            let short = |text: String| text.chars().take(2_000).collect::<String>();
            format!("client {index} store: {} -> {}", short(what), short(format!("{reply:?}")))
        });
        if let StoreReply::Failed(fault) = &reply {
            self.expect_fault("use a client's database", &Fault::clone(fault))?;
        }
        if let Some(off_ms) = crash {
            self.crash_client(index, off_ms);
            return Ok(());
        }
        if let Some(process) = &mut self.clients[index].process {
            process.session.handle_store(now, reply);
        }
        Ok(())
    }
}
