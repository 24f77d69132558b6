//! A digest of all that a plain database holds: its schema and its rows.
//!
//! Where in the flow: judges whether a plain database has moved. Equal for the same content however the file is laid
//! out: a checkpoint, a vacuum or another order of rows changes nothing. Never reads statistics of the planner.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};

use super::{PortableError, hex};
use crate::tables::quote;

/// 64 hexadecimal digits. Reads every row once.
pub(crate) fn digest(conn: &Connection) -> Result<String, PortableError> {
    let mut whole = Sha256::new();
    for pragma in ["user_version", "application_id"] {
        let number: i64 = conn.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        whole.update(number.to_be_bytes());
    }
    let mut definitions = conn.prepare(
        "SELECT type, name, ifnull(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'
         ORDER BY type, name",
    )?;
    let mut rows = definitions.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..3 {
            part(&mut whole, row.get_ref(column)?);
        }
    }
    // Virtual tables are views of the tables that they keep, and may need what is not loaded here.
    let mut tables = conn.prepare(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')
           AND name NOT IN ('sqlite_schema') AND name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY name",
    )?;
    let names = tables.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    for name in names {
        whole.update((name.len() as u64).to_be_bytes());
        whole.update(name.as_bytes());
        for half in table(conn, &name)? {
            whole.update(half.to_be_bytes());
        }
    }
    Ok(hex(&whole.finalize()))
}

/// The sum of the rows' digests, in two halves of 128 bits: the order of rows, which SQLite doesn't promise, doesn't
/// count, and two equal rows count twice.
fn table(conn: &Connection, name: &str) -> Result<[u128; 2], PortableError> {
    let mut statement = conn.prepare(&format!("SELECT * FROM {}", quote(name)))?;
    let columns = statement.column_count();
    let mut sum = [0u128; 2];
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut hash = Sha256::new();
        for column in 0..columns {
            part(&mut hash, row.get_ref(column)?);
        }
        let full: [u8; 32] = hash.finalize().into();
        for (index, half) in sum.iter_mut().enumerate() {
            *half = half.wrapping_add(u128::from_be_bytes(std::array::from_fn(|at| full[16 * index + at])));
        }
    }
    Ok(sum)
}

/// A value with its type and length, so that no two rows run together.
fn part(hash: &mut Sha256, value: ValueRef<'_>) {
    let number: [u8; 8];
    let (kind, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(value) => {
            number = value.to_be_bytes();
            (1, &number)
        }
        ValueRef::Real(value) => {
            number = value.to_bits().to_be_bytes();
            (2, &number)
        }
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    hash.update([kind]);
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(sql: &str) -> String {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(sql).unwrap();
        digest(&conn).unwrap()
    }

    #[test]
    fn content_counts_and_layout_does_not() {
        let rows = "INSERT INTO a VALUES (1, 'x'), (2, 'y')";
        let plain = of(&format!("CREATE TABLE a (n, t); {rows}"));
        let other =
            "CREATE TABLE a (n, t); INSERT INTO a VALUES (2, 'y'), (3, 'z'), (1, 'x'); DELETE FROM a WHERE n = 3;
                     VACUUM; ANALYZE";
        assert_eq!(of(other), plain);
        for differs in [
            "INSERT INTO a VALUES (1, 'x')",
            "INSERT INTO a VALUES (1, 'x'), (2, 'y'), (2, 'y')",
            "INSERT INTO a VALUES (1, 'x'), ('2', 'y')",
            "INSERT INTO a VALUES (1, 'x'), (2.0, 'y')",
            "INSERT INTO a VALUES (1, 'x'), (2, NULL)",
            "INSERT INTO a VALUES (1, 'y'), (2, 'x')",
            "INSERT INTO a VALUES (1, 'x'), (2, 'y'); CREATE INDEX i ON a (n)",
            "INSERT INTO a VALUES (1, 'x'), (2, 'y'); PRAGMA user_version = 3",
        ] {
            assert_ne!(of(&format!("CREATE TABLE a (n, t); {differs}")), plain, "{differs}");
        }
    }
}
