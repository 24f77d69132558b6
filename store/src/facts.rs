//! What a server database is and knows of its clients, by the writer's connection or a reader's.
//!
//! Where in the flow: at each handshake and heartbeat. Never writes.

use greenlight_core::replica::{Fault, PeerFacts, ServerFacts};
use greenlight_core::{Bound, Cursor, Lineage, SchemaId, SchemaShape, SiteId, Tag};
use rusqlite::{Connection, OptionalExtension};

use crate::fault::{from_sqlite, internal};
use crate::state;

/// What the database is.
pub(crate) fn server(conn: &Connection, schema: SchemaId, shape: SchemaShape) -> Result<ServerFacts, Fault> {
    Ok(ServerFacts { lineage: lineage(conn)?, schema, shape, head: state::head(conn)? })
}

/// Its lineage: its own site id and its epoch.
pub(crate) fn lineage(conn: &Connection) -> Result<Lineage, Fault> {
    let read = |row: &rusqlite::Row<'_>| Ok(SiteId::from_slice(row.get_ref(0)?.as_blob()?));
    let site = state::one(conn, "SELECT site_id FROM crsql_site_id WHERE ordinal = 0", [], read)?;
    let site_id = site.ok_or_else(|| internal("the database's site id is not 16 bytes long"))?;
    Ok(Lineage { site_id, epoch: state::epoch(conn)? })
}

/// What it knows of a client.
pub(crate) fn peer(conn: &Connection, site: SiteId, cursor: Cursor) -> Result<PeerFacts, Fault> {
    let tagged = "SELECT 1 FROM greenlight_tag WHERE version = ?1 AND tag = ?2";
    let cursor_known = cursor == Cursor::ZERO
        || cursor == state::head(conn)?
        || state::exists(conn, tagged, (cursor.version.to_sql(), cursor.tag.to_sql()))?;
    Ok(PeerFacts { held: held(conn, site)?, cursor_known })
}

/// Up to where it holds a client's own changes.
pub(crate) fn held(conn: &Connection, site: SiteId) -> Result<Bound, Fault> {
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Option<(i64, i64)> = conn
        .prepare_cached("SELECT bound, tag FROM greenlight_peer WHERE site = ?1")
        .and_then(|mut statement| statement.query_row([&site.0[..]], read).optional())
        .map_err(from_sqlite)?;
    let Some((version, tag)) = found else { return Ok(Bound::ZERO) };
    Ok(Bound { version: state::read_version(version)?, tag: Tag::from_sql(tag) })
}
