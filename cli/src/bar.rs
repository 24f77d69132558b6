//! A progress bar on what takes longer than a moment.
//!
//! Where in the flow: told by commands how far they are. Never drawn where the errors' output is no terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar is drawn for what takes longer.
const PATIENCE: Duration = Duration::from_secs(1);
const CHANGES: &str = "{prefix} {bar:32} {human_pos} of {human_len} changes, {eta} left";
const BYTES: &str = "{prefix} {bar:32} {bytes} of {total_bytes}, {eta} left";
const ROWS: &str = "{prefix} {bar:32} {human_pos} of {human_len} rows, {eta} left";

/// One stage after another, each with a bar of its own.
pub(crate) struct Bar {
    quiet: bool,
    begun: Instant,
    shown: Option<(&'static str, ProgressBar)>,
}

impl Bar {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet: quiet || !std::io::stderr().is_terminal(), begun: Instant::now(), shown: None }
    }

    /// So many bytes are done, of so many.
    pub(crate) fn bytes(&mut self, stage: &'static str, done: u64, of: u64) {
        self.show(stage, BYTES, done, of);
    }

    /// So many changes are done, of so many.
    pub(crate) fn changes(&mut self, stage: &'static str, done: u64, of: u64) {
        self.show(stage, CHANGES, done, of);
    }

    /// So many rows are done, of so many.
    pub(crate) fn rows(&mut self, stage: &'static str, done: u64, of: u64) {
        self.show(stage, ROWS, done, of);
    }

    fn show(&mut self, stage: &'static str, template: &str, done: u64, of: u64) {
        if self.quiet || self.begun.elapsed() < PATIENCE {
            return;
        }
        if self.shown.as_ref().is_none_or(|(shown, _)| *shown != stage) {
            self.finish();
            let style =
                ProgressStyle::with_template(template).expect("the templates are constants that a test draws with");
            let bar = ProgressBar::new(of).with_style(style);
            bar.set_prefix(stage);
            self.shown = Some((stage, bar));
        }
        if let Some((_, bar)) = &self.shown {
            bar.set_position(done);
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some((_, bar)) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_drawn_after_a_moment_and_not_before() {
        let mut bar = Bar { quiet: false, begun: Instant::now(), shown: None };
        bar.bytes("Copying ", 1, 2);
        assert!(bar.shown.is_none());
        bar.begun -= PATIENCE;
        bar.bytes("Copying ", 1, 2);
        assert_eq!(bar.shown.as_ref().map(|(stage, bar)| (*stage, bar.position())), Some(("Copying ", 1)));
        bar.changes("Merging ", 2, 2);
        assert_eq!(bar.shown.as_ref().map(|(stage, _)| *stage), Some("Merging "));
        bar.rows("Checking", 2, 2);
        assert_eq!(bar.shown.as_ref().map(|(stage, _)| *stage), Some("Checking"));
        bar.finish();
        assert!(bar.shown.is_none());
    }
}
