//! The standard output: the one way in which answers are printed.
//!
//! Where in the flow: below every command. Never ends one: what was done is done, whether or not anybody reads of it.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};

use console::Style;
use indicatif::HumanCount;

/// Everything was taken so far.
const OPEN: u8 = 0;
/// Whoever reads has seen enough, as `head` has.
const CLOSED: u8 = 1;
/// It can't be printed, and that was told.
const FAILED: u8 = 2;

/// How well something stands. A colour goes with a word or a mark that says the same, and only to a terminal where
/// `NO_COLOR` is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Light {
    /// Nothing is to be done.
    Green,
    /// Something is at work, or waits.
    Yellow,
    /// Somebody has to decide or to mend something.
    Red,
}

impl Light {
    /// A text in the light's colour, on the standard output.
    pub(crate) fn colour(self, text: &str) -> String {
        self.style().apply_to(text).to_string()
    }

    /// The same on the standard error.
    pub(crate) fn colour_error(self, text: &str) -> String {
        self.style().for_stderr().apply_to(text).to_string()
    }

    /// A sentence that begins with the word for how things stand, as `Equal: both hold the same.`
    pub(crate) fn headline(self, text: &str) -> String {
        let is_word = |word: &str| word.chars().all(|letter| letter.is_alphabetic() || letter == ' ');
        match text.split_once(": ").filter(|(word, _)| is_word(word)) {
            Some((word, rest)) => format!("{}: {rest}", self.colour(word)),
            None => text.to_owned(),
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Green => Style::new().green().bold(),
            Self::Yellow => Style::new().yellow().bold(),
            Self::Red => Style::new().red().bold(),
        }
    }
}

/// How printing went so far; nothing is printed any more once it is not open.
static STATE: AtomicU8 = AtomicU8::new(OPEN);

/// Prints a line, as `println!` does, without its panic.
macro_rules! say {
    () => { $crate::output::text("\n") };
    ($($argument:tt)*) => { $crate::output::text(&format!("{}\n", format_args!($($argument)*))) };
}
pub(crate) use say;

/// Prints a text as it is.
pub(crate) fn text(text: &str) {
    if !is_open() {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        STATE.store(judge(&error), Ordering::Relaxed);
    }
}

/// Whether everything was taken so far.
pub(crate) fn is_open() -> bool {
    STATE.load(Ordering::Relaxed) == OPEN
}

/// How a command ends: as it would, or with 1 where what it says got lost.
pub(crate) fn ended(code: ExitCode) -> ExitCode {
    if STATE.load(Ordering::Relaxed) == FAILED { ExitCode::FAILURE } else { code }
}

/// `1 change`, `2,000 changes`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{} {what}s", HumanCount(count)) }
}

/// `1 change waits`, `2,000 changes wait`.
pub(crate) fn waits(count: u64, what: &str) -> String {
    format!("{} {}", counted(count, what), if count == 1 { "waits" } else { "wait" })
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-./+:@%,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn judge(error: &io::Error) -> u8 {
    if error.kind() == ErrorKind::BrokenPipe {
        return CLOSED;
    }
    eprintln!("greenlight: the answer can't be printed: {error}");
    FAILED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_a_word_stays_one() {
        assert_eq!([counted(1, "row"), counted(2_000, "row"), counted(0, "row")], ["1 row", "2,000 rows", "0 rows"]);
        assert_eq!(
            [quoted("/a/b-1.db"), quoted("my notes.db"), quoted("it's")],
            ["/a/b-1.db", "'my notes.db'", r"'it'\''s'"]
        );
    }
}
