//! `greenlight doctor`: what is well, what is not, and what helps, one line each.
//!
//! Where in the flow: beside everything; asks what the other commands would use. Never changes anything, but for the
//! archive that it is told to write.

mod archive;
mod contents;
mod places;
mod redact;
mod remotes;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use greenlight_store::portable::{self, Inspected};
use serde::Serialize;

use self::redact::Redactor;
use crate::home::{Home, HomeError, HomeFlags};
use crate::output::{self, Light, counted, say};

/// What `doctor` is told.
#[derive(Args, Clone, Debug)]
pub struct DoctorArguments {
    /// Also write what a maintainer needs into this file, a .tar.gz that is not there yet: this report, configurations,
    /// logs, the schema and the number of rows. No rows, and no secrets as far as they can be told.
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// A remote to look at besides the configured ones: the one that is meant where nobody says which.
    #[arg(long, env = "GREENLIGHT_SYNC_REMOTE", value_name = "REMOTE")]
    pub remote: Option<String>,
    /// A file that holds the access token of a server; else the environment variable GREENLIGHT_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
    /// Where everything is.
    #[command(flatten)]
    pub home: HomeFlags,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// It works, and may not for long, or not as it is meant.
    Warning,
    /// It does not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    /// What was looked at, in one word or two.
    check: String,
    level: Level,
    /// What was found, a sentence.
    says: String,
    /// What helps; null where nothing is to be done.
    remedy: Option<String>,
}

/// All of it: what `doctor --json` prints.
#[derive(Clone, Debug, Serialize)]
struct Report {
    ok: bool,
    problems: usize,
    warnings: usize,
    greenlight: &'static str,
    sqlite: &'static str,
    crsqlite: &'static str,
    system: String,
    /// The names of this program's variables that are set, never what they say.
    environment: Vec<String>,
    checks: Vec<Finding>,
    database: Option<Inspected>,
    /// The archive that was written.
    bundle: Option<PathBuf>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn ok(&mut self, check: &str, says: impl Into<String>) {
        self.add(check, Level::Ok, says.into(), None);
    }

    fn warn(&mut self, check: &str, says: impl Into<String>, remedy: &str) {
        self.add(check, Level::Warning, says.into(), Some(remedy.to_owned()));
    }

    fn problem(&mut self, check: &str, says: impl Into<String>, remedy: &str) {
        self.add(check, Level::Problem, says.into(), Some(remedy.to_owned()));
    }

    fn add(&mut self, check: &str, level: Level, says: String, remedy: Option<String>) {
        self.0.push(Finding { check: check.to_owned(), level, says, remedy });
    }

    fn count(&self, level: Level) -> usize {
        self.0.iter().filter(|finding| finding.level == level).count()
    }
}

/// Looks at everything, and prints what it found.
pub(crate) fn run(arguments: &DoctorArguments) -> ExitCode {
    let ended = examine(arguments).and_then(|(home, mut report, redactor)| {
        if let Some(file) = &arguments.bundle {
            archive::write(file, &home, &report, &redactor).map_err(|error| error.to_string())?;
            report.bundle = Some(file.clone());
        }
        if arguments.json {
            output::text(&redactor.clean_file(&json(&report)?));
        } else {
            say!("{}", redactor.clean(&describe(&report)));
        }
        Ok(report.ok)
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("greenlight: {error}");
            ExitCode::FAILURE
        }
    }
}

fn examine(arguments: &DoctorArguments) -> Result<(Home, Report, Redactor), String> {
    let mut findings = Findings::default();
    let (sqlite, crsqlite) = portable::versions();
    let greenlight = env!("CARGO_PKG_VERSION");
    findings.ok("versions", format!("greenlight {greenlight}, SQLite {sqlite}, cr-sqlite {crsqlite}"));
    let home = find(&arguments.home, &mut findings)?;
    let secrets = places::secret_files(&home, arguments.token_file.as_deref());
    places::look(&arguments.home, &home, &secrets, &mut findings);
    let database = contents::look(&home, &mut findings);
    let client = database.as_ref().and_then(|database| database.client.as_ref());
    remotes::look(&home, client, arguments, &mut findings);
    let (problems, warnings) = (findings.count(Level::Problem), findings.count(Level::Warning));
    let environment = places::variables();
    let redactor = Redactor::new(&secrets)?;
    let report = Report {
        ok: problems == 0,
        problems,
        warnings,
        greenlight,
        sqlite,
        crsqlite,
        system: places::system(),
        environment,
        checks: findings.0,
        database,
        bundle: None,
    };
    Ok((home, report, redactor))
}

/// The paths, also where the configuration can't be used.
fn find(flags: &HomeFlags, findings: &mut Findings) -> Result<Home, String> {
    match Home::find(flags) {
        Ok(home) => {
            let (file, count) = (home.config_file.display(), home.config.remotes.len());
            findings.ok(
                "configuration",
                match home.config_file.exists() {
                    true => format!("{file}, remotes: {count}"),
                    false => format!("none at {file}; everything has its default"),
                },
            );
            Ok(home)
        }
        Err(HomeError::Config(error)) => {
            let remedy = "every command stops here: mend the file, or move it away; docs/cli.md has every key. What \
                          follows is without it";
            findings.problem("configuration", error.to_string(), remedy);
            Home::without_configuration(flags).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn json(report: &Report) -> Result<String, String> {
    serde_json::to_string_pretty(report).map_err(|error| error.to_string())
}

fn describe(report: &Report) -> String {
    let mut lines = Vec::new();
    for Finding { check, level, says, remedy } in &report.checks {
        let (word, light) = match level {
            Level::Ok => ("ok", Light::Green),
            Level::Warning => ("warning", Light::Yellow),
            Level::Problem => ("PROBLEM", Light::Red),
        };
        let mark = light.colour(&format!("{word:8}"));
        // What a file or a server says must not write on the terminal.
        let line = |text: &str| text.replace(char::is_control, " ");
        lines.push(format!("{mark} {check:14} {}", line(says)));
        lines.extend(remedy.iter().map(|remedy| format!("{:24}{}", "", line(remedy))));
    }
    lines.push(match (report.problems, report.warnings) {
        (0, 0) => "All is well.".to_owned(),
        (problems, warnings) => {
            format!("{}, {}.", counted(problems as u64, "problem"), counted(warnings as u64, "warning"))
        }
    });
    if let Some(bundle) = &report.bundle {
        lines.push(format!("Wrote {}. Look into it before you hand it on: {}.", bundle.display(), redact::PROMISE));
    }
    lines.join("\n")
}
