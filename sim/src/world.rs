//! The world of one schedule: machines, network, time, and the loop that moves them.
//!
//! Where in the flow: made from a schedule, run to its end, then asked for its counts. Single-threaded, and repeats
//! to the bit: every random number comes from the seed, every time from the virtual clock.

use std::collections::BTreeMap;

use fastrand::Rng;
use greenlight_store::Schema;

use crate::breakage::Breakage;
use crate::client::Client;
use crate::clock::Time;
use crate::event::{Event, Place};
use crate::network::Wire;
use crate::oracle::{Check, Violation};
use crate::report::Counts;
use crate::schedule::Schedule;
use crate::server::Server;
use crate::stores::Stores;

/// Things that may happen in one millisecond; more means that somebody goes round in circles.
const CIRCLES: u32 = 20_000;

/// Everything there is.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) rng: Rng,
    pub(crate) stores: Stores,
    pub(crate) schema: Schema,
    pub(crate) part_bytes: usize,
    pub(crate) shared_pages: bool,
    pub(crate) breakage: Option<Breakage>,
    pub(crate) events: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    circles: u32,
    pub(crate) wires: Vec<Wire>,
    pub(crate) server: Server,
    pub(crate) clients: Vec<Client>,
    pub(crate) counts: Counts,
    /// What happened, if somebody wants to read it.
    trace: Option<Vec<String>>,
}

impl World {
    /// A server and its clients, all with empty databases.
    pub(crate) fn new(
        schedule: &Schedule,
        stores: Stores,
        breakage: Option<Breakage>,
        traced: bool,
    ) -> Result<Self, Violation> {
        crate::disk::without_accounts();
        let mut rng = Rng::with_seed(schedule.seed ^ 0x6772_6565_6e6c_6967);
        let schema = Schema::parse(crate::workload::SCHEMA)
            .map_err(|error| Violation::at(Time::default(), Check::StoreFault, error.to_string()))?;
        let server = Server::new(&mut rng, stores)?;
        let mut world = Self {
            now: Time::default(),
            rng,
            stores,
            schema,
            part_bytes: schedule.part_bytes,
            shared_pages: schedule.shared_pages,
            breakage,
            events: BTreeMap::new(),
            sequence: 0,
            circles: 0,
            wires: Vec::new(),
            server,
            clients: Vec::new(),
            counts: Counts::default(),
            trace: traced.then(Vec::new),
        };
        world.start_server()?;
        for _ in 0..schedule.clients {
            world.add_client(None)?;
        }
        Ok(world)
    }

    /// Queues an event.
    pub(crate) fn at(&mut self, time: Time, event: Event) {
        self.sequence += 1;
        self.events.insert((time, self.sequence), event);
    }

    /// Queues an event so many milliseconds from now.
    pub(crate) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now.after_ms(ms), event);
    }

    /// Lets time pass, and everything happen that is due.
    pub(crate) fn run_until(&mut self, end: Time) -> Result<(), Violation> {
        loop {
            let event = self.events.first_key_value().map(|(key, _)| key.0);
            let wake = self.next_wake();
            let next = [event, wake].into_iter().flatten().min().filter(|next| *next <= end);
            let Some(next) = next else { break };
            self.pass_to(next)?;
            if wake.is_some_and(|wake| wake <= next) {
                self.wake()?;
            } else if let Some((_, event)) = self.events.pop_first() {
                self.happen(event)?;
            }
            self.check()?;
        }
        self.pass_to(end)?;
        self.check()
    }

    fn pass_to(&mut self, time: Time) -> Result<(), Violation> {
        if time > self.now {
            self.now = time;
            self.circles = 0;
        }
        self.circles += 1;
        if self.circles > CIRCLES {
            return Err(self.violation(Check::Circles, "the same millisecond never ends".to_owned()));
        }
        Ok(())
    }

    fn next_wake(&self) -> Option<Time> {
        let clients = self.clients.iter().filter_map(|client| client.wake_at(self.now));
        clients.chain(self.server.wake_at(self.now)).min()
    }

    /// Tells every session whose time has come.
    fn wake(&mut self) -> Result<(), Violation> {
        for client in 0..self.clients.len() {
            if self.clients[client].wake_at(self.now).is_some_and(|wake| wake <= self.now) {
                self.wake_client(client)?;
            }
        }
        self.wake_sessions()
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        let client = match event.place() {
            Place::Server if self.server.is_frozen(self.now) => {
                self.server.held.push_back(event);
                return Ok(());
            }
            Place::ClientOf(wire) => Some(self.wires[wire.0].client),
            Place::Client(client) => Some(client),
            Place::Server | Place::Nowhere => None,
        };
        if let Some(client) = client
            && self.clients[client].is_asleep(self.now)
        {
            self.clients[client].held.push_back(event);
            return Ok(());
        }
        self.take(event)
    }

    fn take(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Dialled(wire) => self.accept(wire),
            Event::Up(wire, frame) => self.server_hears(wire, &frame),
            Event::UpClosed(wire) => {
                self.server.sessions.remove(&wire);
                Ok(())
            }
            Event::Greet(life, wire, hello) => self.greet(life, wire, &hello),
            Event::Read(life, wire, request) => self.read(life, wire, request),
            Event::Commit(life) => self.commit(life),
            Event::Beat(life) => self.server_beats(life),
            Event::Notice(life) => self.notice(life),
            Event::ServerStarts => self.start_server(),
            Event::ServerThaws => self.thaw_server(),
            Event::ServerDiskFree => self.free_server(),
            Event::Opened(wire) => self.client_connected(wire),
            Event::DialFailed(wire) => self.client_closed(wire, 1006, "the connection could not be made"),
            Event::Down(wire, frame) => self.client_hears(wire, frame),
            Event::DownClosed(wire, code, reason) => self.client_closed(wire, code, &reason),
            Event::ClientStarts(client) => self.start_client(client),
            Event::ClientWakes(client) => self.client_wakes(client),
            Event::ClientDiskFree(client) => self.free_client(client),
            Event::Online(client) => self.retry(client),
        }
    }

    /// What a machine could not take while it stood still comes now, in its order.
    pub(crate) fn take_held(&mut self, held: Vec<Event>) -> Result<(), Violation> {
        for event in held {
            self.happen(event)?;
        }
        Ok(())
    }

    /// Writes down what happens, if somebody wants to read it.
    pub(crate) fn note(&mut self, line: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>8} {}", self.now.0, line(self));
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }

    /// Whether somebody wants to read it.
    pub(crate) fn is_traced(&self) -> bool {
        self.trace.is_some()
    }

    /// What was written down.
    pub(crate) fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    /// A promise was broken.
    pub(crate) fn violation(&self, check: Check, detail: String) -> Violation {
        Violation::at(self.now, check, detail)
    }
}
