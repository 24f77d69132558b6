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
    remote_path: String,
    local: LocalSide,
    remote: Option<ServerMeta>,
}

#[derive(Debug, Serialize)]
struct LocalSide {
    path: String,
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
        local: LocalSide { path: home.db.display().to_string(), db_bytes, client },
        remote: match asked {
            Asked::Meta(meta) => Some(meta),
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
    let meta = match asked {
        Asked::Meta(meta) => meta,
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
    if let Some(why) = incompatible(client, meta) {
        return (Relation::Incompatible, Some(why));
    }
    // After a restore its numbers may be lower, and everything is compared again.
    let was_restored = client.server_epoch.as_ref().is_some_and(|epoch| *epoch != meta.epoch);
    let why = if was_restored {
        Some("the server's database was put back from a copy; the next sync mends that".to_owned())
    } else {
        is_older(client, meta).then(|| {
            format!(
                "{}: that is no matter as long as the server's has all that the one here has",
                schemas(client, meta)
            )
        })
    };
    let is_behind = meta.head != client.cursor || was_restored;
    (
        match (client.pending > 0, is_behind) {
            (false, false) => Relation::Equal,
            (true, false) => Relation::Ahead,
            (false, true) => Relation::Behind,
            (true, true) => Relation::Diverged,
        },
        why,
    )
}

fn incompatible(client: &ClientSide, meta: &ServerMeta) -> Option<String> {
    let (here, there) = (client, meta);
    if here.server_site_id.as_ref().is_some_and(|site| *site != there.site_id) {
        return Some(
            "it is another database than the one that is followed here: it was reset, or another is in its place"
                .to_owned(),
        );
    }
    if (&here.schema_name, here.schema_number, &here.schema_digest)
        == (&there.schema_name, there.schema_version, &there.schema_digest)
        || is_older(client, meta)
    {
        return None;
    }
    let form = if here.schema_number == there.schema_version { ", of another form" } else { "" };
    Some(format!("{}{form}", schemas(client, meta)))
}

/// Whether the server has gone on to a newer schema, which it does first. An exchange compares the tables and columns,
/// which nobody can ask for, and goes on where the newer one has all of the older.
fn is_older(client: &ClientSide, meta: &ServerMeta) -> bool {
    client.schema_name == meta.schema_name && client.schema_number < meta.schema_version
}

fn schemas(client: &ClientSide, meta: &ServerMeta) -> String {
    format!(
        "the schema here is `{} {}`, and the server's `{} {}`",
        client.schema_name,
        client.schema_number,
        meta.schema_name.replace(char::is_control, " "),
        meta.schema_version
    )
}

/// A server merges: that both sides have moved needs nobody's decision.
fn light(relation: Relation) -> Light {
    match relation {
        Relation::Equal => Light::Green,
        Relation::Ahead | Relation::Behind | Relation::Diverged => Light::Yellow,
        Relation::Incompatible | Relation::Refused | Relation::Unreachable => Light::Red,
    }
}

fn describe(status: &LiveStatus) -> String {
    let sentence = match status.status {
        Relation::Equal => "Equal: everything is on both sides.",
        Relation::Ahead => "Ahead: what was written here is not on the server yet. `greenlight sync now` sends it.",
        Relation::Behind => "Behind: the server has changes that are not here. `greenlight sync now` fetches them.",
        Relation::Diverged => {
            "Diverged: both sides have changes. `greenlight sync now` merges them; nothing is lost by that."
        }
        Relation::Incompatible => "Incompatible: what is here and the server can't be brought in step.",
        Relation::Refused => "Refused: the server does not let this client in.",
        Relation::Unreachable => "Not reachable: nothing is known of the server. What is written here is kept.",
    };
    let local = &status.local;
    let client = &local.client;
    let mut text = match &status.why {
        Some(why) => format!("{sentence} ({why})"),
        None => sentence.to_owned(),
    };
    text += &format!(
        "\n  here    {} ({}, schema {} {})\n          {} pending, up to version {} of the server",
        local.path,
        HumanBytes(local.db_bytes),
        client.schema_name,
        client.schema_number,
        counted(client.pending, "change"),
        client.cursor
    );
    if client.quarantined > 0 {
        text += &format!("\n          {} could not be applied (quarantined)", counted(client.quarantined, "change"));
    }
    text += &format!("\n  remote  {}", status.remote_path);
    if let Some(meta) = &status.remote {
        text += &format!("\n          at version {}", meta.head);
    }
    text
}

#[cfg(test)]
mod tests {
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
            quarantined: 0,
            held_aside: 0,
            left_out: 0,
            read_only: false,
        }
    }

    fn server(head: u64) -> ServerMeta {
        ServerMeta {
            site_id: "s".to_owned(),
            epoch: "e".to_owned(),
            schema_name: "shop".to_owned(),
            schema_version: 1,
            schema_digest: "d".to_owned(),
            head,
        }
    }

    fn judged(client: &ClientSide, meta: ServerMeta) -> Relation {
        judge(client, &Asked::Meta(meta)).0
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
    fn another_server_or_schema_is_incompatible() {
        let here = client(0, 5);
        assert_eq!(judged(&here, ServerMeta { site_id: "t".to_owned(), ..server(5) }), Relation::Incompatible);
        assert_eq!(judged(&here, ServerMeta { schema_version: 0, ..server(5) }), Relation::Incompatible);
        let newer = ServerMeta { schema_version: 2, schema_digest: "x".to_owned(), ..server(6) };
        let other = ServerMeta { schema_name: "notes".to_owned(), ..newer.clone() };
        assert_eq!(judged(&here, other), Relation::Incompatible);
        let (relation, why) = judge(&here, &Asked::Meta(newer));
        assert_eq!(relation, Relation::Behind, "a newer one holds what is here");
        assert_eq!(why.map(|why| why.contains("the server's `shop 2`")), Some(true));
        assert_eq!(judged(&here, ServerMeta { schema_digest: "x".to_owned(), ..server(5) }), Relation::Incompatible);
        let never = ClientSide { server_site_id: None, server_epoch: None, ..here };
        assert_eq!(judged(&never, ServerMeta { site_id: "t".to_owned(), ..server(5) }), Relation::Equal);
    }

    #[test]
    fn a_server_that_does_not_answer_says_nothing_of_the_rest() {
        let (relation, why) = judge(&client(3, 5), &Asked::Unreachable("refused".to_owned()));
        assert_eq!((relation, why.as_deref()), (Relation::Unreachable, Some("refused")));
        assert_eq!(judge(&client(0, 5), &Asked::Unknown).0, Relation::Refused);
    }
}
