//! The names of all metrics, what each means, and the text that Prometheus reads.
//!
//! Where in the flow: written for `/metrics`. The format is a page of rules, and a crate for it would bring its own
//! registry beside the table that is needed anyhow for the manual; so it is written here. Never writes a metric that is
//! not in the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One metric, with all its labels' values.
#[derive(Debug)]
pub struct Family {
    /// Its name, without `greenlight_`.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The name of its one label, if it has one.
    pub label: Option<&'static str>,
    /// What it means.
    pub help: &'static str,
}

const fn family(name: &'static str, kind: &'static str, help: &'static str) -> Family {
    Family { name, kind, label: None, help }
}

const fn labelled(name: &'static str, label: &'static str, kind: &'static str, help: &'static str) -> Family {
    Family { name, kind, label: Some(label), help }
}

/// All metrics. `docs/server.md` has the same table, which a test checks.
pub const FAMILIES: [Family; 36] = [
    labelled("build_info", "version", "gauge", "1, with the server's version"),
    family("start_time_seconds", "gauge", "When the server started, seconds since 1970"),
    family("requests_total", "counter", "HTTP requests, sockets included"),
    labelled("http_responses_total", "class", "counter", "Answers by the class of their status, such as 2xx"),
    family("sockets", "gauge", "Sockets that are open"),
    family("sockets_opened_total", "counter", "Sockets that were opened"),
    family("sockets_closed_total", "counter", "Sockets that were closed"),
    labelled("refusals_total", "code", "counter", "Sockets that were refused, by the protocol's code"),
    family("frames_in_total", "counter", "Messages from sockets"),
    family("frames_out_total", "counter", "Messages to sockets"),
    family("bytes_in_total", "counter", "Bytes of messages from sockets"),
    family("bytes_out_total", "counter", "Bytes of messages to sockets"),
    family("changes_in_total", "counter", "Changes that were committed for sockets"),
    family("commit_seconds", "histogram", "Time of a commit of parts from sockets, its flush to disk included"),
    family("commit_parts", "histogram", "Parts from sockets that shared a commit"),
    family("external_writes_total", "counter", "Times that writes by other processes were found"),
    family("files_replaced_total", "counter", "Times that another file was found in an open database's place"),
    family("pages_read_total", "counter", "Pages of changes that were read and encoded for several sockets"),
    family("pages_served_total", "counter", "Such pages that were handed to a socket"),
    family("databases_open", "gauge", "Databases that are open"),
    family("databases_idle", "gauge", "Databases that are closed since nobody uses them"),
    family("databases_failed", "gauge", "Databases that could not be opened, or are being opened"),
    family("idle_closed_total", "counter", "Databases that were closed since nobody used them"),
    family("quarantined_changes", "gauge", "Changes that could not be applied, over all open databases"),
    family("held_aside_changes", "gauge", "Changes for tables or columns that are not in the schema yet, likewise"),
    labelled("database_sockets", "database", "gauge", "Sockets on an open database"),
    labelled("database_clients_behind", "database", "gauge", "Clients that have not received its head yet"),
    labelled("database_lag_versions", "database", "gauge", "How many versions the one furthest behind lacks"),
    labelled(
        "database_pending_changes",
        "database",
        "gauge",
        "Changes that its clients say they have not had acknowledged",
    ),
    labelled("database_writer_queue", "database", "gauge", "Jobs that wait for its writer"),
    labelled("database_bytes", "database", "gauge", "Length of its file"),
    labelled("database_log_bytes", "database", "gauge", "Length of its write-ahead log"),
    labelled(
        "database_tombstones",
        "database",
        "gauge",
        "Deleted rows that are remembered; counted every 10 minutes at most",
    ),
    labelled(
        "backup_last_success_seconds",
        "database",
        "gauge",
        "When its last backup was made, or found to hold everything still",
    ),
    labelled("backup_bytes", "database", "gauge", "Length of its last backup"),
    labelled("backup_failures_total", "database", "counter", "Scheduled backups of it that failed"),
];

/// The text, as it is put together: samples of one metric in any order.
#[derive(Debug, Default)]
pub struct Text(BTreeMap<&'static str, String>);

impl Text {
    /// One number; with the value of its label, if it has one.
    pub fn put(&mut self, name: &str, label: Option<&str>, value: u64) {
        match label {
            Some(label) => self.line(name, "", label, value),
            None => self.line(name, "", "", value),
        }
    }

    /// How many values of a histogram were at or below a bound.
    pub fn bucket(&mut self, name: &str, bound: &str, count: u64) {
        self.line(name, "_bucket", bound, count);
    }

    /// The rest of a histogram.
    pub fn sum_and_count(&mut self, name: &str, sum: f64, count: u64) {
        self.line(name, "_sum", "", sum);
        self.line(name, "_count", "", count);
    }

    /// All of it, in the order of the table.
    pub fn finish(&self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, .. } in &FAMILIES {
            if let Some(lines) = self.0.get(name) {
                text += &format!("# HELP greenlight_{name} {help}.\n# TYPE greenlight_{name} {kind}\n{lines}");
            }
        }
        text
    }

    fn line(&mut self, name: &str, ending: &str, label: &str, value: impl std::fmt::Display) {
        let Some(family) = FAMILIES.iter().find(|family| family.name == name) else {
            debug_assert!(false, "{name} is not in the table");
            return;
        };
        let key = if ending == "_bucket" { Some("le") } else { family.label };
        let lines = self.0.entry(family.name).or_default();
        // Writing to a string can't fail.
        let _written = match key.filter(|_| !label.is_empty()) {
            Some(key) => writeln!(lines, "greenlight_{name}{ending}{{{key}=\"{}\"}} {value}", escaped(label)),
            None => writeln!(lines, "greenlight_{name}{ending} {value}"),
        };
    }
}

/// A label's value. Names of databases and codes need nothing of this; a version might.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for Family { name, kind, label, help } in &FAMILIES {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
            assert!(*kind != "histogram" || label.is_none(), "{name}");
            assert!(!help.ends_with('.') && !help.contains('|'), "{name}: {help}");
        }
    }

    #[test]
    fn the_manual_has_the_same_table() {
        let manual = include_str!("../../../docs/server.md");
        let section = manual.split("\n### metrics\n").nth(1).expect("a section on metrics");
        let section = section.split("\n#").next().unwrap_or_default();
        let rows: Vec<String> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(str::trim).collect::<Vec<_>>().join("|"))
            .collect();
        let table: Vec<String> = FAMILIES
            .iter()
            .map(|Family { name, kind, label, help }| {
                let label = label.map_or(String::new(), |label| format!("`{label}`"));
                format!("|`greenlight_{name}`|{kind}|{label}|{help}|")
            })
            .collect();
        assert_eq!(rows, table);
    }
}
