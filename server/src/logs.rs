//! How the log is written: lines for people, or JSON for programs, to standard error.
//!
//! Where in the flow: set up once by the command, before anything is done. Never lets other crates tell of what passes
//! through them: at their finest they would write down whole messages.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogForm {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Crates that see requests, messages and SQL, and what they may tell at most.
const CAPPED: [&str; 5] = ["hyper=info", "hyper_util=info", "tungstenite=info", "tokio_tungstenite=info", "axum=info"];

/// Begins. `RUST_LOG` says what is told; `info` where it doesn't.
pub fn start(form: LogForm) {
    let mut filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    for directive in CAPPED.iter().filter_map(|text| text.parse().ok()) {
        filter = filter.add_directive(directive);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match form {
        LogForm::Text => lines.with_ansi(std::io::stderr().is_terminal()).init(),
        LogForm::Json => lines.json().flatten_event(true).with_span_list(false).init(),
    }
}
