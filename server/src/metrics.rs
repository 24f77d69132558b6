//! What is counted, in one documented struct, and how Prometheus reads it.
//!
//! Where in the flow: counted where it happens, read by `/metrics`. Never holds names or contents of databases.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Everything that is counted since the start.
#[derive(Debug, Default)]
pub struct Metrics {
    /// HTTP requests, sockets included.
    pub requests: Counter,
    /// Sockets that were opened.
    pub sockets_opened: Counter,
    /// Sockets that were closed.
    pub sockets_closed: Counter,
    /// Messages from sockets.
    pub frames_in: Counter,
    /// Messages to sockets.
    pub frames_out: Counter,
    /// Bytes from sockets.
    pub bytes_in: Counter,
    /// Bytes to sockets.
    pub bytes_out: Counter,
    /// Changes that were committed for sockets.
    pub changes_in: Counter,
    /// Commits of one or more parts.
    pub batches: Counter,
    /// Time in these commits, microseconds.
    pub commit_micros: Counter,
    /// Times that writes by others were found.
    pub external: Counter,
    /// Times that another file was found in an open database's place.
    pub replaced: Counter,
    /// Databases that were closed since nobody used them.
    pub idle_closed: Counter,
    /// Shared pages that were read and encoded.
    pub pages_read: Counter,
    /// Shared pages that were handed to a socket.
    pub pages_served: Counter,
}

impl Metrics {
    /// The text that Prometheus reads; `gauges` are name, help and value of what is now.
    pub fn text(&self, gauges: &[(&str, &str, u64)]) -> String {
        let counters: [(&str, &str, &Counter); 15] = [
            ("requests", "HTTP requests.", &self.requests),
            ("sockets_opened", "Sockets opened.", &self.sockets_opened),
            ("sockets_closed", "Sockets closed.", &self.sockets_closed),
            ("frames_in", "Messages from sockets.", &self.frames_in),
            ("frames_out", "Messages to sockets.", &self.frames_out),
            ("bytes_in", "Bytes from sockets.", &self.bytes_in),
            ("bytes_out", "Bytes to sockets.", &self.bytes_out),
            ("changes_in", "Changes committed for sockets.", &self.changes_in),
            ("batches", "Commits of one or more parts.", &self.batches),
            ("commit_microseconds", "Time in these commits.", &self.commit_micros),
            ("external_writes", "Times that writes by others were found.", &self.external),
            ("files_replaced", "Times that another file was found in an open database's place.", &self.replaced),
            ("idle_closed", "Databases closed since nobody used them.", &self.idle_closed),
            ("pages_read", "Shared pages read and encoded.", &self.pages_read),
            ("pages_served", "Shared pages handed to a socket.", &self.pages_served),
        ];
        let mut text = String::new();
        for (name, help, counter) in counters {
            put(&mut text, &format!("{name}_total"), help, "counter", counter.get());
        }
        for (name, help, value) in gauges {
            put(&mut text, name, help, "gauge", *value);
        }
        text
    }
}

fn put(text: &mut String, name: &str, help: &str, kind: &str, value: u64) {
    let name = format!("greenlight_{name}");
    // Writing to a string can't fail.
    let _written = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}
