//! A person's device: one database, one session, at most one socket.
//!
//! Where in the flow: does for a client's session what its driver does. Has clocks of its own, which may stand still or
//! be set.

use std::time::Duration;

use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::replica::{StoreRequest, perform};
use greenlight_core::server::ServerSession;
use greenlight_core::status::{Diverged, Reason};
use greenlight_core::{Now, StatusState};

use crate::model::ClientModel;
use crate::network::{Down, Line, Wire};

/// How often it is looked what has passed over a slow line.
const LINE_STEP_MS: u64 = 50;

/// A person's device.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) session: ClientSession,
    pub(crate) model: ClientModel,
    pub(crate) wire: Option<Wire>,
    pub(crate) line: Line,
    pub(crate) token: String,
    pub(crate) dials: u32,
    /// Its database is slow: requests wait until this ends.
    pub(crate) drowsy: bool,
    waiting: Option<StoreRequest>,
    /// How long the monotonic clock stood still.
    slept: Duration,
    /// How far the wall clock was set.
    pub(crate) set_ms: i64,
    /// Every light that was shown, without repeats.
    pub(crate) lights: Vec<(StatusState, Reason)>,
    /// The tables of every difference that was reported.
    pub(crate) diverged: Vec<Vec<Diverged>>,
}

impl Client {
    pub(crate) fn new(name: &'static str, model: ClientModel, seed: u64, now: Now) -> Self {
        Self {
            name,
            session: ClientSession::new(now, ClientConfig { agent: name.into(), seed }),
            model,
            wire: None,
            line: Line::Works,
            token: String::new(),
            dials: 0,
            drowsy: false,
            waiting: None,
            slept: Duration::ZERO,
            set_ms: 0,
            lights: Vec::new(),
            diverged: Vec::new(),
        }
    }

    /// Its own reading of the clocks.
    pub(crate) fn clock(&self, now: Now) -> Now {
        let slept = self.slept.as_millis() as u64;
        Now { monotonic_ms: now.monotonic_ms - slept, wall_ms: now.wall_ms + self.set_ms }
    }

    /// The server's end of its connection.
    pub(crate) fn server_end(&mut self) -> Option<&mut ServerSession> {
        self.wire.as_mut()?.server.as_mut()
    }

    /// When one of its ends wants to be woken, by the world's monotonic clock.
    pub(crate) fn wake_at(&self, now: Now) -> Option<u64> {
        let slept = self.slept.as_millis() as u64;
        let own = self.session.wake_at(self.clock(now)).map(|due| due.monotonic_ms + slept);
        let server = self.wire.as_ref().and_then(|wire| wire.server.as_ref()).and_then(ServerSession::wake_at);
        let line = self.wire.as_ref().filter(|wire| wire.is_at_work()).map(|_| now.monotonic_ms + LINE_STEP_MS);
        own.into_iter().chain(server.map(|due| due.monotonic_ms)).chain(line).min()
    }

    /// Its monotonic clock did not count this.
    pub(crate) fn stood_still(&mut self, time: Duration) {
        self.slept += time;
    }

    /// The app is killed, or its tab closed, and opened again: the database is all that stays.
    pub(crate) fn restarts(&mut self, now: Now) {
        self.wire = None;
        self.waiting = None;
        let config = ClientConfig { agent: self.name.into(), seed: u64::from(self.dials) };
        self.session = ClientSession::new(self.clock(now), config);
    }

    /// Whether its database has answered everything.
    pub(crate) fn is_awake(&self) -> bool {
        self.waiting.is_none()
    }

    /// Its database answers the one thing that it was asked.
    pub(crate) fn answers(&mut self, now: Now) {
        if let Some(request) = self.waiting.take() {
            let reply = perform(&mut self.model, request);
            self.session.handle_store(self.clock(now), reply);
        }
    }

    /// Notes what its light shows.
    pub(crate) fn note_light(&mut self, now: Now) {
        let status = self.session.status(self.clock(now));
        let light = (status.state, status.reason);
        if self.lights.last() != Some(&light) {
            self.lights.push(light);
        }
    }

    /// Carries out what the session asks for; whether it asked for anything.
    pub(crate) fn drive(&mut self, now: Now) -> bool {
        let mut moved = false;
        let own = self.clock(now);
        while let Some(output) = self.session.poll_output() {
            moved = true;
            match output {
                Output::Connect => self.dial(now),
                Output::Close(..) => self.wire = None,
                Output::Send(frame) => {
                    if let Some(wire) = &mut self.wire {
                        wire.send_up(frame);
                    }
                }
                Output::Diverged(tables, _) => self.diverged.push(tables),
                Output::Store(request) if self.drowsy => self.waiting = Some(request),
                Output::Store(request) => {
                    let reply = perform(&mut self.model, request);
                    self.session.handle_store(own, reply);
                }
            }
        }
        moved
    }

    fn dial(&mut self, now: Now) {
        let own = self.clock(now);
        self.dials += 1;
        assert!(self.wire.is_none(), "a second socket");
        let mut wire = Wire::new((self.line == Line::Works).then(|| ServerSession::new(now)));
        match self.line {
            Line::Hangs => return,
            Line::Refuses => return self.session.handle_closed(own, 1006, "refused"),
            Line::Closes(code) => wire.down.push_back(Down::Close(code, "not now".to_owned())),
            Line::Works | Line::Swallows => {}
        }
        self.wire = Some(wire);
        self.session.handle_connected(own, self.token.clone());
    }

    /// Delivers what has arrived; whether anything has.
    pub(crate) fn carry(&mut self, now: Now) -> bool {
        let own = self.clock(now);
        let Some(wire) = &mut self.wire else { return false };
        let mut moved = false;
        while !wire.holds_up
            && let Some(frame) = wire.next_up()
        {
            moved = true;
            if let Some(server) = &mut wire.server {
                server.handle_frame(now, &frame);
            }
        }
        if wire.holds_down {
            return moved;
        }
        match wire.next_down() {
            Some(Down::Frame(frame)) => self.session.handle_frame(own, &frame),
            Some(Down::Close(code, reason)) => {
                self.wire = None;
                self.session.handle_closed(own, code, &reason);
            }
            None => return moved,
        }
        true
    }
}
