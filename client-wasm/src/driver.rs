//! Drives core's session: carries out what it asks of the store on the spot, and gathers what is for the worker.
//!
//! Where in the flow: between the session and everything else. While an app's transaction is open, what the session
//! asks of the store waits, since it must not see what may be rolled back. Never opens a socket and sets no timer.

use std::collections::BTreeSet;

use greenlight_core::client::{ClientConfig, ClientSession, Output};
use greenlight_core::replica::{Fault, FaultKind, StoreReply, StoreRequest, perform};
use greenlight_core::status::Reason;
use greenlight_core::{Now, Status, StatusState};
use greenlight_store::{ClientDatabase, LocalCommit};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;

use crate::boundary::{Failure, object, strings};

/// What the operator sees of this client.
const AGENT: &str = concat!("greenlight-client/", env!("CARGO_PKG_VERSION"));

/// The session, and what it wants done.
pub(crate) struct Driver {
    session: ClientSession,
    /// The store's turn, put off by an app's transaction.
    parked: Option<StoreRequest>,
    /// For the socket, in order.
    actions: Array,
    /// Tables whose rows changed since the worker was told.
    touched: BTreeSet<String>,
    /// The status as it was published last, without what changes by time alone.
    shown: Option<Status>,
    /// Why the last local write failed, while none has succeeded since.
    write_fault: Option<Fault>,
}

impl Driver {
    pub(crate) fn new(seed: u64) -> Self {
        let session = ClientSession::new(now(), ClientConfig { agent: AGENT.to_owned(), seed });
        Self { session, parked: None, actions: Array::new(), touched: BTreeSet::new(), shown: None, write_fault: None }
    }

    /// Lets the session know of something, and does what follows from it.
    pub(crate) fn tell(&mut self, database: &mut ClientDatabase, event: impl FnOnce(&mut ClientSession, Now)) {
        event(&mut self.session, now());
        self.pump(database);
    }

    /// A local transaction was committed.
    pub(crate) fn wrote(&mut self, database: &mut ClientDatabase, commit: LocalCommit) {
        self.write_fault = None;
        self.touched.extend(commit.tables);
        self.tell(database, |session, now| session.handle_local_commit(now, commit.outbox));
    }

    /// A local transaction could not be committed. The session tries whether there is room again.
    pub(crate) fn could_not_write(&mut self, fault: Fault) {
        // The light is for what stands in the way of every write; any other refusal is only about the one.
        if fault.kind == FaultKind::Full {
            self.session.handle_local_fault(now(), fault.clone());
        }
        self.write_fault = Some(fault);
    }

    /// Rows of these tables changed otherwise.
    pub(crate) fn touch(&mut self, tables: impl IntoIterator<Item = String>) {
        self.touched.extend(tables);
    }

    /// The database was replaced by another.
    pub(crate) fn start_over(&mut self, database: &mut ClientDatabase) {
        self.write_fault = None;
        self.tell(database, ClientSession::reload);
    }

    /// Does what the session wants done: the store's part on the spot, unless an app's transaction is open.
    pub(crate) fn pump(&mut self, database: &mut ClientDatabase) {
        if !database.in_transaction()
            && let Some(request) = self.parked.take()
        {
            self.carry_out(database, request);
        }
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Store(request) if database.in_transaction() => self.parked = Some(request),
                Output::Store(request) => self.carry_out(database, request),
                Output::Diverged(tables, rows) => {
                    self.warn(&greenlight_core::status::describe(&tables, &rows));
                }
                Output::Connect => self.act([("kind", "connect".into())]),
                Output::Send(frame) => {
                    self.act([("kind", "send".into()), ("frame", Uint8Array::from(&frame[..]).into())]);
                }
                Output::Close(code, reason) => {
                    self.act([("kind", "close".into()), ("code", code.number().into()), ("reason", reason.into())]);
                }
            }
        }
    }

    fn carry_out(&mut self, database: &mut ClientDatabase, request: StoreRequest) {
        let reply = match request {
            // The store's own method, since it tells which tables were changed.
            StoreRequest::Apply(part) => match database.apply_part(&part) {
                Ok((applied, outbox, tables)) => {
                    self.touched.extend(tables);
                    StoreReply::Applied(applied, outbox)
                }
                Err(fault) => StoreReply::Failed(fault),
            },
            StoreRequest::Probe => {
                let reply = perform(database, StoreRequest::Probe);
                if matches!(reply, StoreReply::Probed) {
                    self.write_fault = None;
                }
                reply
            }
            other => perform(database, other),
        };
        self.session.handle_store(now(), reply);
    }

    /// For the page's console.
    fn warn(&mut self, message: &str) {
        self.act([("kind", "warn".into()), ("message", message.into())]);
    }

    fn act<const N: usize>(&mut self, fields: [(&str, JsValue); N]) {
        self.actions.push(&object(fields));
    }

    /// Everything to be done since this was asked last.
    pub(crate) fn take_effects(&mut self) -> Result<JsValue, Failure> {
        let now = now();
        let actions = std::mem::replace(&mut self.actions, Array::new());
        let wake = self.session.wake_at(now);
        let wake =
            wake.map_or(JsValue::NULL, |at| JsValue::from_f64(at.monotonic_ms.saturating_sub(now.monotonic_ms) as f64));
        let touched = strings(std::mem::take(&mut self.touched));
        let status = match self.news(now) {
            Some(status) => to_js(&status)?,
            None => JsValue::NULL,
        };
        Ok(object([("actions", actions.into()), ("wakeInMs", wake), ("status", status), ("touched", touched.into())]))
    }

    /// The status as of now.
    pub(crate) fn status(&self) -> Status {
        let mut status = self.session.status(now());
        let Some(fault) = &self.write_fault else { return status };
        status.diagnostics.last_error = Some(fault.message.clone());
        if fault.kind == FaultKind::Full && status.state != StatusState::Incompatible {
            status.state = StatusState::Stuck;
            status.reason = Reason::StorageFull;
            status.sentence = Reason::StorageFull.sentence().to_owned();
            status.remedy = Reason::StorageFull.remedy();
        }
        status
    }

    /// The status, when it differs from the one shown last by more than the time that has passed.
    fn news(&mut self, now: Now) -> Option<Status> {
        let status = self.status();
        let mut lasting = status.clone();
        lasting.freshness_ms = None;
        lasting.pending.oldest_age_ms = None;
        // Until a change has lasted it begins anew with each look.
        if self.shown.as_ref().is_some_and(|shown| (shown.state, shown.reason) == (status.state, status.reason)) {
            lasting.since = self.shown.as_ref().map_or(now.wall_ms, |shown| shown.since);
        }
        if self.shown.as_ref() == Some(&lasting) {
            return None;
        }
        self.shown = Some(lasting);
        Some(status)
    }
}

/// A value as a JavaScript object, by way of JSON.
pub(crate) fn to_js(what: &impl serde::Serialize) -> Result<JsValue, Failure> {
    let text = serde_json::to_string(what)?;
    js_sys::JSON::parse(&text).map_err(|_| Failure::new("storage", "what is to be shown is no JSON"))
}

/// Both clocks of the worker.
pub(crate) fn now() -> Now {
    Now { monotonic_ms: monotonic_ms() as u64, wall_ms: js_sys::Date::now() as i64 }
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn monotonic_ms() -> f64;
}
