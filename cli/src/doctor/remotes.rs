//! Whether each remote can be reached, and holds what it says.
//!
//! Where in the flow: last, since it may take its time. Asks servers what anybody may ask, and writes into no folder.

use std::path::Path;
use std::time::{Duration, SystemTime};

use greenlight_store::portable::ClientSide;

use super::places::is_writable;
use super::{DoctorArguments, Findings};
use crate::address::{Address, Chosen};
use crate::ask::{self, Asked};
use crate::home::Home;
use crate::misfit::{self, Misfit};
use crate::sync::{FolderRemote, S3Place, S3Remote, SnapshotRemote as _};
use crate::{Remote, Token, command};

/// How far two clocks may be apart without being worth a word.
const SKEW: Duration = Duration::from_secs(60);

/// How a sync ends that meets nobody.
const NO_CONNECTION: u8 = 4;

/// What a remote is looked at with.
struct Asking<'a> {
    token_file: Option<&'a Path>,
    /// The database here, where it is a client's.
    client: Option<&'a ClientSide>,
    /// How far a server's clock was from the one here.
    clock: Option<Duration>,
}

pub(super) fn look(home: &Home, client: Option<&ClientSide>, arguments: &DoctorArguments, findings: &mut Findings) {
    let mut asking = Asking { token_file: arguments.token_file.as_deref(), client, clock: None };
    for name in home.config.remotes.keys() {
        one(&format!("remote {name}"), Chosen::find(home, Some(name)), &mut asking, findings);
    }
    let meant = Chosen::find(home, arguments.remote.as_deref());
    if !matches!(&meant, Ok(Chosen { name: Some(_), .. })) {
        one("remote", meant, &mut asking, findings);
    }
    match asking.clock {
        None => findings.ok("clock", "no server told its time, so this machine's was not compared"),
        Some(apart) if apart > SKEW => {
            let says = format!("this machine's clock and a server's are {} s apart", apart.as_secs());
            findings.warn("clock", says, "set the clock: times in logs and of pushes are wrong, and TLS may fail");
        }
        Some(_) => findings.ok("clock", "agrees with a server's"),
    }
}

fn one(
    check: &str,
    chosen: Result<Chosen, crate::address::AddressError>,
    asking: &mut Asking<'_>,
    findings: &mut Findings,
) {
    match chosen.map(|chosen| (chosen.token(asking.token_file), chosen.name, chosen.address)) {
        Err(error) => {
            let remedy = "name another, or take it away with `greenlight remote remove` and add it again";
            findings.problem(check, error.to_string(), remedy);
        }
        Ok((_, name, Address::Folder(path))) => folder(check, &path, name.is_some(), findings),
        Ok((_, _, Address::S3(place))) => bucket(check, &place, findings),
        Ok((token, _, Address::Live(remote))) => server(check, &remote, &token, asking, findings),
    }
}

fn folder(check: &str, path: &Path, is_named: bool, findings: &mut Findings) {
    let shown = path.display();
    if !path.exists() {
        if is_named {
            let remedy = "mount it, or plug it in; the first push makes it where it is meant to be new";
            findings.warn(check, format!("the folder {shown} is not there"), remedy);
        } else {
            findings.ok(check, format!("none is named; {shown} is made by the first push"));
        }
        return;
    }
    let remote = FolderRemote::new(path);
    let meta = match remote.meta() {
        Err(error) => return findings.problem(check, error.to_string(), "look at what is in the folder"),
        Ok(meta) => meta,
    };
    let holds = match &meta {
        None => "holds nothing yet".to_owned(),
        Some(meta) => match remote.flaw(meta) {
            Ok(None) => format!("holds generation {}", meta.generation),
            Ok(Some(why)) => return unfinished(check, &shown.to_string(), &why, findings),
            Err(error) => return findings.problem(check, error.to_string(), "look at what is in the folder"),
        },
    };
    let kept = remote.kept();
    let holds = match kept.len() {
        0 => holds,
        _ => format!("{holds}; what pushes by force replaced is kept in {}", kept.join(", ")),
    };
    if is_writable(path) {
        findings.ok(check, format!("the folder {shown} {holds}"));
    } else {
        let remedy = "pulls work; for pushes give yourself the right to write there";
        findings.warn(check, format!("the folder {shown} {holds}, and can't be written"), remedy);
    }
}

fn unfinished(check: &str, shown: &str, why: &str, findings: &mut Findings) {
    let says = format!("the snapshot at {shown} is not the one that its meta names: {why}");
    let remedy = "it is being written or copied; if that stays so, push again from a machine with the data";
    findings.problem(check, says, remedy);
}

fn bucket(check: &str, place: &S3Place, findings: &mut Findings) {
    let look = |remote: S3Remote| {
        let there = remote.meta()?;
        let flaw = there.as_ref().map_or(Ok(None), |there| remote.flaw(there))?;
        Ok((remote.shown(), there, flaw))
    };
    match S3Remote::new(place).and_then(look) {
        Ok((shown, None, _)) => findings.ok(check, format!("{shown} answers, and holds nothing yet")),
        Ok((shown, Some(_), Some(why))) => unfinished(check, &shown, &why, findings),
        Ok((shown, Some(meta), None)) => findings.ok(check, format!("{shown} holds generation {}", meta.generation)),
        Err(error) if error.exit_code() == NO_CONNECTION => {
            let remedy = "see the network and the endpoint; what is written here is kept, and pushed later";
            findings.warn(check, error.to_string(), remedy);
        }
        Err(error) => findings.problem(check, error.to_string(), "see the address, the endpoint and the credentials"),
    }
}

fn server(check: &str, remote: &Remote, token: &Token, asking: &mut Asking<'_>, findings: &mut Findings) {
    let shown = remote.shown();
    let asked = token.read().and_then(|token| command::ask(ask::database(remote, &token)));
    let (asked, date) = match asked {
        Ok(answer) => answer,
        Err(error) => return findings.problem(check, error.to_string(), "mend that first"),
    };
    if let Some(date) = date {
        let apart = date.duration_since(SystemTime::now()).unwrap_or_else(|error| error.duration());
        asking.clock = asking.clock.max(Some(apart));
    }
    match asked {
        Asked::Meta(meta, identity) => {
            let says = format!("{shown} is well: schema {} {}", meta.schema_name, meta.schema_version);
            match asking.client.and_then(|client| misfit::find(&client.identity, &identity)) {
                None => findings.ok(check, format!("{says}, version {}", meta.head)),
                Some(Misfit { why, remedy }) => {
                    findings.problem(check, format!("{shown} refuses the database here. {why}"), remedy);
                }
            }
        }
        Asked::Unknown => {
            let remedy = "the first sync makes it where the server allows that; else see the name";
            findings.warn(check, format!("{shown} answers, and knows no database of this name"), remedy);
        }
        Asked::Refused(why) => {
            let remedy =
                "name the file of your token as `token_file` of the remote, with --token-file, or set GREENLIGHT_TOKEN";
            findings.problem(check, format!("{shown} does not let this client in: {why}"), remedy);
        }
        Asked::Unwell(why) => {
            let remedy = "tell whoever keeps the server; what is written here is kept";
            findings.problem(check, format!("{shown} answers, and can't serve this database: {why}"), remedy);
        }
        Asked::Unreachable(why) => {
            let remedy = "see the network and the address; what is written here is kept, and sent later";
            findings.warn(check, format!("{shown} is not reachable: {why}"), remedy);
        }
    }
}
