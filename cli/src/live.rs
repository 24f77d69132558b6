//! `greenlight sync status` with a server: what waits here, and whether the server has more.
//!
//! Where in the flow: beside sync. Looks at the database and asks the server over HTTP; never connects a session, since
//! that is an exchange, and never writes.

use std::path::Path;
use std::process::ExitCode;

use greenlight_store::portable::{self, ClientSide};
use indicatif::HumanBytes;
use serde::Serialize;

use crate::ask::{self, Asked, ServerMeta};
use crate::command::PLAIN;
use crate::home::Home;
use crate::misfit::{self, Misfit};
use crate::output::{Light, counted, say};
use crate::{ClientError, Remote, Token};

/// How a database and a server's stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Relation {
    Equal,
    Ahead,
    Behind,
    Diverged,
    Stuck,
    Incompatible,
    Refused,
    Unreachable,
}

/// What `sync status --json` prints with a server.
#[derive(Debug, Serialize)]
struct LiveStatus {
    status: Relation,
    why: Option<String>,
    diverged: bool,
    project: String,
    local_path: String,
    remote_path: String,
    local: LocalSide,
    remote: Option<ServerMeta>,
}

#[derive(Debug, Serialize)]
struct LocalSide {
    db_bytes: u64,
    #[serde(flatten)]
    client: ClientSide,
}

/// Shows how both stand to each other.
pub(crate) async fn status(home: &Home, remote: &Remote, token: &Token, json: bool) -> Result<ExitCode, ClientError> {
    let status = look(home, remote, token).await?;
    let text = if json {
        serde_json::to_string_pretty(&status).map_err(|error| ClientError::Print(error.to_string()))?
    } else {
        light(status.status).headline(&describe(&status))
    };
    say!("{text}");
    Ok(ExitCode::from(match status.status {
        Relation::Equal => 0,
        Relation::Incompatible | Relation::Refused => 3,
        Relation::Unreachable => 4,
        Relation::Stuck => 5,
        Relation::Behind => 6,
        Relation::Ahead => 7,
        Relation::Diverged => 8,
    }))
}

async fn look(home: &Home, remote: &Remote, token: &Token) -> Result<LiveStatus, ClientError> {
    let (db_bytes, client) = local(&home.db)?;
    let (asked, _) = ask::database(remote, &token.read()?).await;
    let (status, why) = judge(&client, &asked);
    Ok(LiveStatus {
        status,
        why,
        diverged: status == Relation::Diverged,
        project: home.project.clone(),
        remote_path: remote.shown().to_owned(),
        local_path: home.db.display().to_string(),
        local: LocalSide { db_bytes, client },
        remote: match asked {
            Asked::Meta(meta, _) => Some(*meta),
            _ => None,
        },
    })
}

fn local(db: &Path) -> Result<(u64, ClientSide), ClientError> {
    if !db.exists() {
        return Err(ClientError::NoDatabase(db.to_owned()));
    }
    let failed = |why: String| ClientError::NotAClient { file: db.to_owned(), why };
    let found = portable::inspect(db).map_err(|error| failed(error.to_string()))?;
    if found.role == PLAIN {
        return Err(ClientError::Plain(db.to_owned()));
    }
    let client = found.client.ok_or_else(|| failed(format!("its role is `{}`", found.role)))?;
    Ok((std::fs::metadata(db).map_or(0, |facts| facts.len()), client))
}

fn judge(client: &ClientSide, asked: &Asked) -> (Relation, Option<String>) {
    let (meta, server) = match asked {
        Asked::Meta(meta, identity) => (meta, identity),
        Asked::Unknown if client.server_site_id.is_some() => {
            let why = "the server knows no database of this name, and there was one: it was removed, or renamed";
            return (Relation::Refused, Some(why.to_owned()));
        }
        Asked::Unknown => {
            let why = "the server has no database of this name yet; the first sync makes it, where it may be made";
            return (Relation::Ahead, Some(why.to_owned()));
        }
        Asked::Refused(why) => return (Relation::Refused, Some(why.clone())),
        Asked::Unwell(why) | Asked::Unreachable(why) => return (Relation::Unreachable, Some(why.clone())),
    };
    if let Some(Misfit { why, .. }) = misfit::find(&client.identity, server) {
        return (Relation::Incompatible, Some(why));
    }
    if client.quarantined > 0 {
        let why = format!("{} could not be applied", counted(client.quarantined, "incoming change"));
        return (Relation::Stuck, Some(why));
    }
    // After a restore its numbers may be lower, and everything is compared again.
    let was_restored = client.server_epoch.as_ref().is_some_and(|epoch| *epoch != meta.epoch);
    let why = if was_restored {
        Some("the server's database was put back from a copy; the next sync mends that".to_owned())
    } else if client.must_offer {
        Some("nobody knows what of all that is here the server has; the next sync offers it once".to_owned())
    } else {
        misfit::difference(&client.identity, server)
    };
    let is_behind = meta.head != client.cursor || was_restored;
    (
        match (client.pending > 0 || client.must_offer, is_behind) {
            (false, false) => Relation::Equal,
            (true, false) => Relation::Ahead,
            (false, true) => Relation::Behind,
            (true, true) => Relation::Diverged,
        },
        why,
    )
}

/// A server merges: that both sides have moved needs nobody's decision.
fn light(relation: Relation) -> Light {
    match relation {
        Relation::Equal => Light::Green,
        Relation::Ahead | Relation::Behind | Relation::Diverged => Light::Yellow,
        Relation::Stuck | Relation::Incompatible | Relation::Refused | Relation::Unreachable => Light::Red,
    }
}

fn describe(status: &LiveStatus) -> String {
    let sentence = match status.status {
        Relation::Equal => "Equal: everything is on both sides.",
        Relation::Ahead => "Ahead: what is here is not all on the server yet. `greenlight sync now` sends it.",
        Relation::Behind => "Behind: the server has changes that are not here. `greenlight sync now` fetches them.",
        Relation::Diverged => {
            "Diverged: both sides have changes. `greenlight sync now` merges them; nothing is lost by that."
        }
        Relation::Stuck => {
            "Stuck: not all that came from the server could be applied. `greenlight doctor` says what helps."
        }
        Relation::Incompatible => "Incompatible: what is here and the server can't be brought in step.",
        Relation::Refused => "Refused: the server does not let this client in.",
        Relation::Unreachable => "Not reachable: nothing is known of the server. What is written here is kept.",
    };
    let local = &status.local;
    let client = &local.client;
    let sentence = match status.status {
        Relation::Equal if client.held_aside > 0 => {
            "Equal, but for what came from the server and waits for a newer schema."
        }
        Relation::Equal if client.left_out > 0 => "Equal, but for what was left out by hand.",
        Relation::Ahead | Relation::Diverged if client.read_only => {
            "This token may only read, as the server said last: what was written here waits for one that may write."
        }
        _ => sentence,
    };
    let mut text = match &status.why {
        Some(why) => format!("{sentence} ({why})"),
        None => sentence.to_owned(),
    };
    text += &format!(
        "\n  here    {} ({}, schema {} {})\n          {} pending, up to version {} of the server",
        status.local_path,
        HumanBytes(local.db_bytes),
        client.schema_name,
        client.schema_number,
        counted(client.pending, "change"),
        client.cursor
    );
    for (count, what) in [
        (client.quarantined, "could not be applied (quarantined)"),
        (client.held_aside, "held aside for a newer schema"),
        (client.left_out, "left out by hand"),
    ] {
        if count > 0 {
            text += &format!("\n          {} {what}", counted(count, "change"));
        }
    }
    text += &format!("\n  remote  {}", status.remote_path);
    if let Some(meta) = &status.remote {
        text += &format!("\n          at version {}", meta.head);
    }
    text
}

#[cfg(test)]
mod tests {
    use greenlight_core::compatibility::Identity;
    use greenlight_core::{SchemaId, SchemaShape, SiteId};

    use super::*;

    fn client(pending: u64, cursor: u64) -> ClientSide {
        ClientSide {
            schema_name: "shop".to_owned(),
            schema_number: 1,
            schema_digest: "d".to_owned(),
            server_site_id: Some("s".to_owned()),
            server_epoch: Some("e".to_owned()),
            cursor,
            acknowledged: 0,
            version: 9,
            pending,
            must_offer: false,
            quarantined: 0,
            held_aside: 0,
            left_out: 0,
            read_only: false,
            identity: identity(1),
        }
    }

    fn identity(site: u8) -> Identity {
        let schema = SchemaId { name: "shop".to_owned(), number: 1, digest: [0; 16] };
        Identity { server: Some(SiteId([site; 16])), schema, shape: Some(SchemaShape::default()) }
    }

    fn server(head: u64) -> ServerMeta {
        ServerMeta {
            site_id: "s".to_owned(),
            epoch: "e".to_owned(),
            schema_name: "shop".to_owned(),
            schema_version: 1,
            schema_digest: "d".to_owned(),
            tables: None,
            head,
        }
    }

    fn answer(meta: ServerMeta, identity: Identity) -> Asked {
        Asked::Meta(Box::new(meta), Box::new(identity))
    }

    fn judged(client: &ClientSide, meta: ServerMeta) -> Relation {
        judge(client, &answer(meta, identity(1))).0
    }

    #[test]
    fn both_sides_are_compared_by_where_they_are() {
        assert_eq!(judged(&client(0, 5), server(5)), Relation::Equal);
        assert_eq!(judged(&client(1, 5), server(5)), Relation::Ahead);
        assert_eq!(judged(&client(0, 5), server(6)), Relation::Behind);
        assert_eq!(judged(&client(1, 5), server(6)), Relation::Diverged);
        assert_eq!(judged(&client(0, 5), ServerMeta { epoch: "f".to_owned(), ..server(5) }), Relation::Behind);
    }

    #[test]
    fn what_is_to_be_offered_is_ahead_and_what_could_not_be_applied_is_stuck() {
        let offers = |cursor| ClientSide { must_offer: true, ..client(0, cursor) };
        assert_eq!(judged(&offers(5), server(5)), Relation::Ahead);
        assert_eq!(judged(&offers(0), server(5)), Relation::Diverged);
        for (pending, cursor) in [(0, 5), (1, 5), (0, 4)] {
            let quarantined = ClientSide { quarantined: 2, ..client(pending, cursor) };
            let (relation, why) = judge(&quarantined, &answer(server(5), identity(1)));
            assert_eq!((relation, why.as_deref()), (Relation::Stuck, Some("2 incoming changes could not be applied")));
        }
        let aside = ClientSide { held_aside: 1, left_out: 1, ..client(0, 5) };
        assert_eq!(judged(&aside, server(5)), Relation::Equal);
    }

    #[test]
    fn another_server_is_incompatible() {
        let here = client(0, 5);
        assert_eq!(judge(&here, &answer(server(5), identity(2))).0, Relation::Incompatible);
        let never = ClientSide { identity: Identity { server: None, ..identity(1) }, ..here };
        assert_eq!(judge(&never, &answer(server(5), identity(2))).0, Relation::Equal);
    }

    /// The tables, where they are told, decide: see what `sync now` says, in `tests/tools`.
    #[test]
    fn of_a_server_that_tells_no_tables_its_schemas_name_and_number_are_known() {
        let told = |name: &str, number, digest| {
            let schema = SchemaId { name: name.to_owned(), number, digest };
            judge(&client(0, 5), &answer(server(5), Identity { schema, shape: None, ..identity(1) }))
        };
        assert_eq!(told("shop", 1, [0; 16]), (Relation::Equal, None));
        assert_eq!(told("shop", 1, [9; 16]).0, Relation::Incompatible);
        assert_eq!(told("notes", 1, [0; 16]).0, Relation::Incompatible);
        for number in [0, 2] {
            let (relation, why) = told("shop", number, [9; 16]);
            assert_eq!(relation, Relation::Equal);
            assert!(
                why.is_some_and(|why| why.contains(&format!("`shop {number}`")) && why.contains("a sync finds out"))
            );
        }
    }

    #[test]
    fn a_server_that_does_not_answer_says_nothing_of_the_rest() {
        let (relation, why) = judge(&client(3, 5), &Asked::Unreachable("refused".to_owned()));
        assert_eq!((relation, why.as_deref()), (Relation::Unreachable, Some("refused")));
        assert_eq!(judge(&client(0, 5), &Asked::Unknown).0, Relation::Refused);
    }
}
