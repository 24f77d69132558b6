//! Where everything is: whether it is there, can be written, is hidden from others, and has room.
//!
//! Where in the flow: first, since all else is found by these paths. Never makes what is missing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use greenlight_server::settings::FileSettings;
use indicatif::HumanBytes;

use super::Findings;
use crate::home::{Home, HomeFlags};
use crate::room;

/// With less room than this nothing can be relied on, in bytes.
const ROOM_NEEDED: u64 = 16 * 1024 * 1024;
/// How often the database should fit into what is free: a pull keeps the old one, and brings the new one.
const ROOM_DATABASES: u64 = 3;
/// The longest configuration that is searched for names of secret files, in bytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;
/// The longest folder of logs that is no surprise, in bytes: the log, and those that were put aside.
const LOGS_EXPECTED: u64 = 32 * 1024 * 1024;

/// A path, and by what it came to be this one.
struct Place<'a> {
    check: &'static str,
    path: &'a Path,
    is_folder: bool,
    origin: &'static str,
}

pub(super) fn look(flags: &HomeFlags, home: &Home, secrets: &[PathBuf], findings: &mut Findings) {
    if !home.folder.is_dir() {
        let says = format!("there is no home at {} yet", home.folder.display());
        findings.warn("home", says, "`greenlight init` makes it, and so does the first sync");
    }
    // Of a home that is not there nothing more is to be said.
    for place in places(flags, home).iter().filter(|place| place.check != "home" || home.folder.exists()) {
        at(place, findings);
    }
    for file in secrets {
        hidden(file, findings);
    }
    room(home, findings);
    logs(home, findings);
    server(home, findings);
}

fn places<'a>(flags: &HomeFlags, home: &'a Home) -> [Place<'a>; 7] {
    let origin = |flag: &Option<PathBuf>, variable: &str, key: bool| match flag {
        Some(path) if std::env::var_os(variable).as_deref() == Some(path.as_os_str()) => "environment",
        Some(_) => "flag",
        None if key => "configuration",
        None => "default",
    };
    let config = &home.config;
    let place = |check, path: &'a PathBuf, is_folder, origin| Place { check, path, is_folder, origin };
    [
        place("home", &home.folder, true, origin(&flags.home, "GREENLIGHT_HOME", false)),
        place("config", &home.config_file, false, origin(&flags.config, "GREENLIGHT_CLIENT_CONFIG", false)),
        place("db", &home.db, false, origin(&flags.db, "GREENLIGHT_DB", config.db.is_some())),
        place(
            "sync_meta",
            &home.sync_meta,
            false,
            origin(&flags.sync_meta, "GREENLIGHT_SYNC_META", config.sync_meta.is_some()),
        ),
        place(
            "sync_lock",
            &home.sync_lock,
            false,
            origin(&flags.sync_lock, "GREENLIGHT_SYNC_LOCK", config.sync_lock.is_some()),
        ),
        place("logs", &home.logs, true, origin(&flags.logs, "GREENLIGHT_LOGS", config.logs.is_some())),
        place("data", &home.data, true, origin(&flags.data, "GREENLIGHT_DATA", config.data.is_some())),
    ]
}

fn at(place: &Place<'_>, findings: &mut Findings) {
    let Place { check, path, is_folder, origin } = place;
    let shown = format!("{} ({origin})", path.display());
    match std::fs::metadata(path) {
        Ok(facts) if facts.is_dir() != *is_folder => {
            let (is, should) = if *is_folder { ("a file", "a folder") } else { ("a folder", "a file") };
            let remedy = "name another path, or move away what is there";
            findings.problem(check, format!("{shown} is {is} and should be {should}"), remedy);
        }
        Ok(_) if !is_writable(path) => {
            findings.problem(check, format!("{shown} can't be written"), "give yourself the right to write it (chmod)");
        }
        Ok(_) => findings.ok(check, shown),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let above = nearest(path);
            if is_writable(&above) {
                findings.ok(check, format!("{shown} is not there yet"));
            } else {
                let says = format!("{shown} is not there, and {} can't be written", above.display());
                findings.problem(check, says, "give yourself the right to write there, or name another path");
            }
        }
        Err(error) => findings.problem(check, format!("{shown}: {error}"), "name another path"),
    }
}

/// The nearest folder above that is there.
fn nearest(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|above| above.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(unix)]
pub(super) fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

#[cfg(not(unix))]
pub(super) fn is_writable(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|facts| !facts.permissions().readonly())
}

/// The files that hold a token or a passphrase: the one that was named, and those that a configuration names under a key
/// that ends with `_file`.
pub(super) fn secret_files(home: &Home, token_file: Option<&Path>) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = token_file.map(Path::to_owned).into_iter().collect();
    for config in [&home.config_file, &home.folder.join("server.toml")] {
        let is_short = std::fs::metadata(config).is_ok_and(|facts| facts.len() <= MAX_CONFIG_BYTES);
        // One that can't be read is told of as a configuration.
        let text = if is_short { std::fs::read_to_string(config).unwrap_or_default() } else { String::new() };
        let beside = config.parent().unwrap_or(Path::new(""));
        if let Ok(table) = text.parse::<toml::Table>() {
            collect(&toml::Value::Table(table), beside, &mut files);
        }
    }
    files
}

fn collect(value: &toml::Value, beside: &Path, files: &mut Vec<PathBuf>) {
    let toml::Value::Table(table) = value else { return };
    for (key, value) in table {
        match value {
            toml::Value::String(path) if key.ends_with("_file") => files.push(beside.join(path)),
            other => collect(other, beside, files),
        }
    }
}

fn hidden(file: &Path, findings: &mut Findings) {
    let shown = file.display();
    match std::fs::metadata(file) {
        Err(error) => {
            findings.problem("secret", format!("{shown}: {error}"), "write the secret there, or name another")
        }
        Ok(facts) if is_seen_by_others(&facts) => {
            let remedy = format!("`chmod 600 {shown}` hides it");
            findings.warn("secret", format!("others at this machine can read {shown}"), &remedy);
        }
        Ok(_) => findings.ok("secret", format!("{shown} is hidden from others")),
    }
}

#[cfg(unix)]
fn is_seen_by_others(facts: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    facts.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_seen_by_others(_: &std::fs::Metadata) -> bool {
    false
}

fn room(home: &Home, findings: &mut Findings) {
    let folder = if home.folder.is_dir() { home.folder.clone() } else { nearest(&home.folder) };
    let needed = std::fs::metadata(&home.db).map_or(0, |facts| facts.len().saturating_mul(ROOM_DATABASES));
    match room::free(&folder) {
        None => findings.ok("room", "this system does not tell how much is free"),
        Some(free) if free < ROOM_NEEDED => {
            let says = format!("only {} are free at {}", HumanBytes(free), folder.display());
            findings.problem("room", says, "make room: nothing can be relied on with so little");
        }
        Some(free) if free < needed => {
            let says = format!("{} are free, less than {ROOM_DATABASES} times the database", HumanBytes(free));
            findings.warn("room", says, "make room before a push or a pull, which copy all of it");
        }
        Some(free) => findings.ok("room", format!("{} are free", HumanBytes(free))),
    }
}

fn logs(home: &Home, findings: &mut Findings) {
    let entries = std::fs::read_dir(&home.logs).into_iter().flatten().flatten();
    let bytes: u64 = entries.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.len()).sum();
    if bytes > LOGS_EXPECTED {
        let says = format!("{} are in {}", HumanBytes(bytes), home.logs.display());
        findings.warn("logs", says, "`greenlight` keeps less than that; remove what is not its");
    }
}

/// The server's configuration, where there is one.
fn server(home: &Home, findings: &mut Findings) {
    let file = home.folder.join("server.toml");
    if !file.exists() {
        return;
    }
    match FileSettings::read(&file) {
        Ok(_) => findings.ok("server", format!("{} can be read", file.display())),
        Err(error) => {
            let says = format!("{}: {error}", file.display());
            findings.problem("server", says, "`greenlight serve` stops here: mend it; docs/server.md has every key");
        }
    }
}

/// The names of this program's variables that are set.
pub(super) fn variables() -> Vec<String> {
    let ours = |(name, _): (std::ffi::OsString, std::ffi::OsString)| {
        name.to_str().filter(|name| name.starts_with("GREENLIGHT_")).map(str::to_owned)
    };
    let mut names: Vec<String> = std::env::vars_os().filter_map(ours).collect();
    names.sort();
    names
}

/// The system and the machine's kind.
pub(super) fn system() -> String {
    #[cfg(unix)]
    {
        let facts = rustix::system::uname();
        let words = [facts.sysname(), facts.release(), facts.machine()];
        words.map(|word| OsStr::to_string_lossy(OsStr::new(&*word.to_string_lossy())).into_owned()).join(" ")
    }
    #[cfg(not(unix))]
    {
        format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)
    }
}
