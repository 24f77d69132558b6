//! The rules of the house, as functions from a file to what is wrong in it. `tests/house.rs` applies them to every file
//! that git tracks, so they run with all other tests; each rule also has a test that it sees a breach.
//! Never changes a file, and never looks at what is fetched or built.

pub mod crates;
pub mod files;
pub mod rust;
pub mod words;

use std::fmt;

/// One tracked text file.
#[derive(Debug)]
pub struct File {
    /// Relative to the repository's root, with `/` between the parts.
    pub path: String,
    /// The whole content.
    pub text: String,
}

impl File {
    /// The part of the name behind its last dot, or nothing.
    pub fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path.rsplit_once('/').map_or(&self.path, |(_, name)| name)
    }

    /// Written by a package manager, so nobody's style.
    pub fn is_lock(&self) -> bool {
        matches!(self.name(), "Cargo.lock" | "package-lock.json")
    }

    /// A complaint about one line, counted from 1.
    pub fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }
}

/// One breach of a rule, with a sentence that says what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the root.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}
