//! The bounds of a client's uploads, each with its random tag, on disk before it is sent.
//!
//! Where in the flow: between the outbox and the transport. A local commit prepares the bound that it will be sent
//! with in its own transaction, so that sending it costs no second wait for the disk. Never hands out a bound whose
//! tag is not on disk.

use greenlight_core::replica::{Author, Fault, ReadRequest, UploadPlan};
use greenlight_core::{Bound, Cursor, Tag, Version};
use rusqlite::Connection;

use crate::database::Database;
use crate::limits::SENT_LIMIT;
use crate::state::{self, key};

/// Whether this database ever sent, or prepared to send, this bound.
pub(crate) fn was_sent(conn: &Connection, bound: Bound) -> Result<bool, Fault> {
    let sql = "SELECT 1 FROM greenlight_bound WHERE version = ?1 AND tag = ?2";
    Ok(bound == Bound::ZERO
        || bound == prepared(conn)?
        || state::exists(conn, sql, (bound.version.to_sql(), bound.tag.to_sql()))?)
}

/// Within a local transaction: prepares the bound that covers it. What was prepared before is kept when it may have
/// been sent.
pub(crate) fn prepare(database: &mut Database, version: Version, keep_last: bool) -> Result<(), Fault> {
    let tag = database.fresh_tag();
    let conn = &database.conn;
    let last = prepared(conn)?;
    if keep_last && last != Bound::ZERO {
        remember(conn, last)?;
    }
    state::set(conn, key::PREPARED_VERSION, version.to_sql())?;
    state::set(conn, key::PREPARED_TAG, tag.to_sql())
}

/// The plan of an upload up to `head` whose bound is on disk already; `None` when there is none, or everything is to
/// be offered.
pub(crate) fn ready(conn: &Connection, head: Version, settled: Version) -> Result<Option<UploadPlan>, Fault> {
    let (since, until) = (state::acknowledged(conn)?, prepared(conn)?);
    let is_ready = until.version == head && until != Bound::ZERO && head > since.version && !must_offer(conn)?;
    Ok(is_ready.then(|| plan(since, until, settled)))
}

/// Draws a tag for the bound at `head`, stores it, and plans the upload. The caller holds the transaction.
pub(crate) fn begin(database: &mut Database, head: Version, settled: Version) -> Result<UploadPlan, Fault> {
    let until = Bound { version: head, tag: database.fresh_tag() };
    let conn = &database.conn;
    let offer = must_offer(conn)?;
    // Only an acknowledgement of this very upload clears the note.
    state::set(conn, key::OFFERED, if offer { until.tag.to_sql() } else { 0 })?;
    remember(conn, until)?;
    if !offer {
        return Ok(plan(state::acknowledged(conn)?, until, settled));
    }
    let to = Cursor { version: database.largest_version()?, tag: until.tag };
    let read = ReadRequest { since: Version::ZERO, until: Some(to), after: None, author: Author::Any };
    Ok(UploadPlan { since: Bound::ZERO, until, offer, read })
}

/// Takes note of an acknowledgement: an offer that arrived need not be made again.
pub(crate) fn acknowledged(conn: &Connection, bound: Bound) -> Result<(), Fault> {
    if bound.tag != Tag::ZERO && state::tag(conn, key::OFFERED)? == bound.tag {
        state::set(conn, key::MUST_OFFER, 0)?;
    }
    Ok(())
}

/// Forgets every bound: another identity never sent them.
pub(crate) fn forget(conn: &Connection) -> Result<(), Fault> {
    state::run(conn, "DELETE FROM greenlight_bound", [])?;
    state::set(conn, key::PREPARED_VERSION, 0)?;
    state::set(conn, key::PREPARED_TAG, 0)
}

fn plan(since: Bound, until: Bound, settled: Version) -> UploadPlan {
    let to = Cursor { version: until.version, tag: until.tag };
    let from = since.version.max(settled).min(until.version);
    let read = ReadRequest { since: from, until: Some(to), after: None, author: Author::Own };
    UploadPlan { since, until, offer: false, read }
}

fn prepared(conn: &Connection) -> Result<Bound, Fault> {
    Ok(Bound { version: state::version(conn, key::PREPARED_VERSION)?, tag: state::tag(conn, key::PREPARED_TAG)? })
}

fn must_offer(conn: &Connection) -> Result<bool, Fault> {
    // Who may only read offers nothing, and the note stays for a time when it may.
    Ok(state::must_offer(conn)? && !state::is_read_only(conn)?)
}

fn remember(conn: &Connection, bound: Bound) -> Result<(), Fault> {
    let sql = "INSERT INTO greenlight_bound (version, tag) VALUES (?1, ?2)";
    state::run(conn, sql, (bound.version.to_sql(), bound.tag.to_sql()))?;
    let prune = "DELETE FROM greenlight_bound WHERE number <= (SELECT max(number) FROM greenlight_bound) - ?1";
    state::run(conn, prune, [SENT_LIMIT as i64]).map(drop)
}
