//! What is counted, in one documented struct.
//!
//! Where in the flow: counted where it happens, read by `/metrics` and for the history. Never holds names or contents of
//! databases. How it is written down, and what each number means, is in [`families`].

pub mod families;

use std::sync::atomic::{AtomicU64, Ordering};

use greenlight_core::protocol::RefuseCode;

use families::Text;

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

/// Upper bounds of the times of commits, in seconds: from a fast disk's to what a person notices.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
/// Upper bounds of the parts that share a commit; the last is the most that a turn of the writer takes.
const PARTS: [f64; 6] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

/// How often a value fell below each of some bounds.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    bounds: [f64; N],
    counts: [AtomicU64; N],
    count: AtomicU64,
    /// In millionths.
    sum: AtomicU64,
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [f64; N]) -> Self {
        Self { bounds, counts: [const { AtomicU64::new(0) }; N], count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts one value.
    pub fn observe(&self, value: f64) {
        if let Some(at) = self.bounds.iter().position(|bound| value <= *bound) {
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        // What is negative or too large for this is no time and no number of parts.
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn write(&self, name: &str, text: &mut Text) {
        let mut below = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            below += count.load(Ordering::Relaxed);
            text.bucket(name, &bound.to_string(), below);
        }
        // Counted beside the buckets, so never less than they say, whatever is counted at this moment.
        let count = self.count().max(below);
        text.bucket(name, "+Inf", count);
        text.sum_and_count(name, self.sum.load(Ordering::Relaxed) as f64 / 1e6, count);
    }
}

/// Classes of answers, by the first digit of their status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Everything that is counted since the start.
#[derive(Debug)]
pub struct Metrics {
    /// HTTP requests, sockets included.
    pub requests: Counter,
    responses: [Counter; CLASSES.len()],
    refusals: [Counter; RefuseCode::ALL.len()],
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
    /// Time of each commit of parts from sockets, its flush to disk included.
    pub commit_seconds: Histogram<{ SECONDS.len() }>,
    /// Parts that shared each of these commits.
    pub commit_parts: Histogram<{ PARTS.len() }>,
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

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            responses: Default::default(),
            refusals: Default::default(),
            sockets_opened: Counter::default(),
            sockets_closed: Counter::default(),
            frames_in: Counter::default(),
            frames_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            changes_in: Counter::default(),
            commit_seconds: Histogram::new(SECONDS),
            commit_parts: Histogram::new(PARTS),
            external: Counter::default(),
            replaced: Counter::default(),
            idle_closed: Counter::default(),
            pages_read: Counter::default(),
            pages_served: Counter::default(),
        }
    }
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, status: u16) {
        // 100 to 599 by HTTP's own rules.
        if let Some(class) = usize::from(status / 100).checked_sub(1).and_then(|class| self.responses.get(class)) {
            class.add(1);
        }
    }

    /// Counts a refusal on a socket.
    pub fn refused(&self, code: RefuseCode) {
        let index = usize::try_from(code.number()).ok().and_then(|number| number.checked_sub(1));
        if let Some(counter) = index.and_then(|index| self.refusals.get(index)) {
            counter.add(1);
        }
    }

    /// Refusals of all kinds.
    pub fn refusals(&self) -> u64 {
        self.refusals.iter().map(Counter::get).sum()
    }

    /// Sockets that are open.
    pub fn sockets(&self) -> u64 {
        self.sockets_opened.get().saturating_sub(self.sockets_closed.get())
    }

    /// Writes down everything that is counted.
    pub fn write(&self, text: &mut Text) {
        for (name, counter) in [
            ("requests_total", &self.requests),
            ("sockets_opened_total", &self.sockets_opened),
            ("sockets_closed_total", &self.sockets_closed),
            ("frames_in_total", &self.frames_in),
            ("frames_out_total", &self.frames_out),
            ("bytes_in_total", &self.bytes_in),
            ("bytes_out_total", &self.bytes_out),
            ("changes_in_total", &self.changes_in),
            ("external_writes_total", &self.external),
            ("files_replaced_total", &self.replaced),
            ("idle_closed_total", &self.idle_closed),
            ("pages_read_total", &self.pages_read),
            ("pages_served_total", &self.pages_served),
        ] {
            text.put(name, None, counter.get());
        }
        for (class, counter) in CLASSES.iter().zip(&self.responses) {
            text.put("http_responses_total", Some(class), counter.get());
        }
        for (code, counter) in RefuseCode::ALL.iter().zip(&self.refusals) {
            text.put("refusals_total", Some(code.word()), counter.get());
        }
        self.commit_seconds.write("commit_seconds", text);
        self.commit_parts.write("commit_parts", text);
        text.put("sockets", None, self.sockets());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_what_exceeds_all_is_counted() {
        let histogram = Histogram::new(PARTS);
        for value in [1.0, 1.0, 3.0, 32.0, 1_000.0] {
            histogram.observe(value);
        }
        let mut text = Text::default();
        histogram.write("commit_parts", &mut text);
        let text = text.finish();
        for line in
            ["le=\"1\"} 2", "le=\"2\"} 2", "le=\"4\"} 3", "le=\"32\"} 4", "le=\"+Inf\"} 5", "_sum 1037", "_count 5"]
        {
            assert!(text.contains(&format!("{line}\n")), "{line}: {text}");
        }
    }

    #[test]
    fn every_refusal_is_counted_under_its_word() {
        let metrics = Metrics::default();
        for code in RefuseCode::ALL {
            metrics.refused(code);
        }
        let mut text = Text::default();
        metrics.write(&mut text);
        let text = text.finish();
        for code in RefuseCode::ALL {
            assert!(text.contains(&format!("refusals_total{{code=\"{}\"}} 1\n", code.word())), "{text}");
        }
    }
}
