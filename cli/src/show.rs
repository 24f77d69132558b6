//! What a person sees in the terminal: one line per state, and a bar on long work.
//!
//! Where in the flow: fed with statuses. Never shown where the output is no terminal, but for the lines of `watch`.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use greenlight_core::status::{Direction, Progress, Reason, Status, StatusState};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use crate::output::{Light, say, waits};
use crate::{ClientError, Outcome, Remote};

/// Draws statuses.
#[derive(Debug)]
pub(crate) struct Display {
    quiet: bool,
    /// Lines of JSON on standard output instead.
    json: bool,
    /// What was shown last.
    shown: Option<Status>,
    line: String,
    bar: Option<ProgressBar>,
}

impl Display {
    pub(crate) fn new(quiet: bool, json: bool) -> Self {
        Self { quiet, json, shown: None, line: String::new(), bar: None }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// What was shown last.
    pub(crate) fn shown(&self) -> Option<&Status> {
        self.shown.as_ref()
    }

    pub(crate) fn show(&mut self, status: &Status) -> Result<(), ClientError> {
        if self.json {
            self.print(status)?;
        } else if !self.quiet {
            self.draw_status(status);
        }
        self.shown = Some(status.clone());
        Ok(())
    }

    /// A status that says the same as the last one but for its ages is no news.
    fn print(&self, status: &Status) -> Result<(), ClientError> {
        let news = |status: &Status| {
            let Status { state, reason, pending, progress, quarantined, held_aside, left_out, read_only, .. } = status;
            let counts = (pending.changes, *quarantined, *held_aside, *left_out);
            (*state, *reason, counts, *read_only, *progress, status.diverged.clone())
        };
        if self.shown.as_ref().is_some_and(|shown| news(shown) == news(status)) {
            return Ok(());
        }
        let line = serde_json::to_string(&json(status)?).map_err(|error| ClientError::Print(error.to_string()))?;
        say!("{line}");
        Ok(())
    }

    fn draw_status(&mut self, status: &Status) {
        match status.progress.filter(|progress| progress.changes.done < progress.changes.total) {
            Some(progress) => self.draw(&progress),
            None => self.finish(),
        }
        let line = describe(status);
        if self.bar.is_none() && line != self.line {
            eprintln!("{line}");
            self.line = line;
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn draw(&mut self, progress: &Progress) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix} {bar:32} {msg}")
                .expect("the template is a constant that the tests draw with");
            ProgressBar::new(progress.changes.total).with_style(style)
        });
        bar.set_prefix(match progress.direction {
            Direction::Down => "Fetching",
            Direction::Up => "Sending ",
        });
        bar.set_length(progress.changes.total);
        bar.set_position(progress.changes.done);
        bar.set_message(measure(progress));
    }
}

/// What `sync now --json` prints.
#[derive(Serialize)]
struct Exchanged<'a> {
    ended: &'static str,
    local_path: String,
    remote_path: &'a str,
    status: Option<Value>,
}

/// A status as every command prints it: a page of a browser has the same with names in its own spelling.
fn json(status: &Status) -> Result<Value, ClientError> {
    let status = serde_json::to_value(status).map_err(|error| ClientError::Print(error.to_string()))?;
    Ok(snake_case(status))
}

/// Keys as `last_synced_at` instead of `lastSyncedAt`. None of them is data.
fn snake_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (spelled(&key), snake_case(value))).collect(),
        Value::Array(items) => items.into_iter().map(snake_case).collect(),
        plain => plain,
    }
}

fn spelled(key: &str) -> String {
    let mut spelled = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        if letter.is_ascii_uppercase() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_lowercase());
    }
    spelled
}

/// How an exchange with a server ended, as JSON.
pub(crate) fn exchanged(
    outcome: &Outcome,
    status: Option<&Status>,
    db: &Path,
    remote: &Remote,
) -> Result<String, ClientError> {
    let ended = match outcome {
        Outcome::InStep => "in_step",
        Outcome::Interrupted => "interrupted",
        Outcome::Halted(..) => "halted",
        Outcome::Unreachable(_) => "unreachable",
    };
    let status = status.map(json).transpose()?;
    let exchanged = Exchanged { ended, local_path: db.display().to_string(), remote_path: remote.shown(), status };
    serde_json::to_string_pretty(&exchanged).map_err(|error| ClientError::Print(error.to_string()))
}

/// `12,000 of 70,000 changes, 1.2 MiB of 7.0 MiB, 3 s left`.
fn measure(progress: &Progress) -> String {
    let left = progress
        .eta_ms
        .map_or(String::new(), |ms| format!(", {} left", indicatif::HumanDuration(Duration::from_millis(ms))));
    format!(
        "{} of {} changes, {} of {}{left}",
        HumanCount(progress.changes.done),
        HumanCount(progress.changes.total),
        HumanBytes(progress.bytes.done),
        HumanBytes(progress.bytes.total)
    )
}

/// What who may only read is told of changes that wait here.
pub(crate) fn read_only(status: &Status) -> String {
    let waiting = waits(status.pending.changes, "change");
    format!("This token may only read: {waiting} here, and nothing of it is lost. A token that may write sends it.")
}

/// A mark that says it without its colour too, the label of the footer, and the sentence.
fn describe(status: &Status) -> String {
    let (mark, light) = match status.state {
        StatusState::Synced => ("●", Light::Green),
        StatusState::Syncing => ("○", Light::Green),
        StatusState::Connecting => ("◌", Light::Yellow),
        StatusState::Disconnected => ("×", Light::Red),
        StatusState::Stuck | StatusState::Incompatible => ("!", Light::Red),
    };
    let mark = light.colour_error(mark);
    let pending = match status.pending.changes {
        0 => String::new(),
        count => format!(" ({count} pending)"),
    };
    let is_read_only = if status.read_only { " (read only)" } else { "" };
    let sentence = match status.reason {
        Reason::Forbidden if status.read_only => read_only(status),
        _ => status.sentence.clone(),
    };
    format!("{mark} Remote DB{pending}{is_read_only}: {sentence}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use greenlight_core::status::Share;

    #[test]
    fn measures_in_changes_bytes_and_time() {
        let progress = Progress {
            direction: Direction::Down,
            changes: Share { done: 12_000, total: 70_000 },
            bytes: Share { done: 1 << 20, total: 7 << 20 },
            per_second: 1_000.0,
            eta_ms: Some(58_000),
        };
        assert_eq!(measure(&progress), "12,000 of 70,000 changes, 1.00 MiB of 7.00 MiB, 58 seconds left");
        let mut display = Display::new(false, false);
        display.draw(&progress);
        display.finish();
    }
}
