//! What hostile peers say: changes, keys, values, names and numbers out of the fuzzer's bytes.
//!
//! Where in the flow: below both sessions' targets. Leans towards what is nearly right, since what is far off is
//! refused at the first look, and towards the edges of every limit.

use arbitrary::{Result, Unstructured};
use greenlight_core::change::SENTINEL;
use greenlight_core::limits::{MAX_COLUMN_VERSION, MAX_SEQUENCE, MAX_VERSION};
use greenlight_core::{Change, PackedKey, SiteId, Tag, Value, Version};

/// The schema of both ends: every kind of key, a check, a trigger that refuses, one that rolls all back.
pub(crate) const SCHEMA: &str = "-- schema: fuzz 1
CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a, b TEXT);
CREATE TABLE pair (x TEXT NOT NULL, y BLOB NOT NULL, n INTEGER NOT NULL DEFAULT 0 CHECK (n < 100), PRIMARY KEY (x, y));
CREATE TABLE mark (id TEXT NOT NULL PRIMARY KEY);
CREATE TABLE strict (id INTEGER NOT NULL PRIMARY KEY, v INTEGER);
CREATE TRIGGER refuses BEFORE INSERT ON strict WHEN new.id % 10 = 3 BEGIN SELECT RAISE(ABORT, 'no such row'); END;
CREATE TRIGGER undoes BEFORE INSERT ON strict WHEN new.id % 10 = 7 BEGIN SELECT RAISE(ROLLBACK, 'all undone'); END;
";
/// Its tables.
pub(crate) const TABLES: [&str; 4] = ["mark", "pair", "strict", "t"];
/// Its columns, and some that it doesn't have.
const COLUMNS: [&str; 9] = [SENTINEL, "a", "b", "n", "v", "id", "x", "later", "\"; DROP TABLE t; --"];
/// Who may have written something.
pub(crate) const SITES: [SiteId; 3] = [SiteId([1; 16]), SiteId([2; 16]), SiteId([0xff; 16])];

/// Small mostly, else at an edge of `limit` or of the type.
pub(crate) fn number(input: &mut Unstructured<'_>, limit: u64) -> Result<u64> {
    Ok(match input.int_in_range(0..=15u8)? {
        0 => limit,
        1 => limit - 1,
        2 => limit.saturating_add(1),
        3 => *input.choose(&[0, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX, 1 << 32, 127, 128])?,
        4 => input.arbitrary()?,
        _ => u64::from(input.int_in_range(0..=9u8)?),
    })
}

/// As [`number`], never above the limit: what can be written down at all.
pub(crate) fn version(input: &mut Unstructured<'_>) -> Result<Version> {
    Ok(Version::new(number(input, MAX_VERSION)?.min(MAX_VERSION)).unwrap_or_default())
}

pub(crate) fn tag(input: &mut Unstructured<'_>) -> Result<Tag> {
    Ok(Tag(u64::from(input.int_in_range(0..=5u8)?)))
}

pub(crate) fn site(input: &mut Unstructured<'_>) -> Result<SiteId> {
    if input.ratio(1, 16u8)? { Ok(SiteId(input.arbitrary()?)) } else { Ok(*input.choose(&SITES)?) }
}

pub(crate) fn text(input: &mut Unstructured<'_>) -> Result<String> {
    Ok(match input.int_in_range(0..=7u8)? {
        0 => String::new(),
        1 => "x".repeat(usize::from(input.arbitrary::<u16>()?)),
        2 => String::from_utf8_lossy(input.arbitrary::<&[u8]>()?).into_owned(),
        _ => (*input.choose(&["a", "b", "5", "t", "\0", "É", "a'\""])?).to_owned(),
    })
}

pub(crate) fn value(input: &mut Unstructured<'_>) -> Result<Value> {
    const EDGES: [i64; 9] = [0, 1, -1, 5, 127, 128, 255, i64::MIN, i64::MAX];
    Ok(match input.int_in_range(0..=6u8)? {
        0 => Value::Null,
        1 => Value::Integer(*input.choose(&EDGES)?),
        2 => Value::Real(*input.choose(&[0.0, -0.0, 5.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, 1e300])?),
        3 => Value::Text(text(input)?),
        4 => Value::Blob(input.arbitrary::<&[u8]>()?.to_vec()),
        _ => Value::Integer(i64::from(input.int_in_range(0..=99u8)?)),
    })
}

/// A key of some columns; mostly one that fits its table.
fn key(input: &mut Unstructured<'_>, table: &str) -> Result<PackedKey> {
    let values = match (input.int_in_range(0..=7u8)?, table) {
        (0, _) => {
            let count = input.int_in_range(1..=4u8)?;
            (0..count).map(|_| value(input)).collect::<Result<Vec<_>>>()?
        }
        (_, "mark") => vec![Value::Text(text(input)?)],
        (_, "pair") => vec![Value::Text(text(input)?), Value::Blob(input.arbitrary::<&[u8]>()?.to_vec())],
        _ => vec![Value::Integer(i64::from(input.int_in_range(0..=19u8)?))],
    };
    // What can't be packed (a NULL, too much) can't be said either.
    PackedKey::pack(&values).map_err(|_| arbitrary::Error::IncorrectFormat)
}

fn change(input: &mut Unstructured<'_>) -> Result<Change> {
    let table = if input.ratio(1, 24u8)? { text(input)? } else { (*input.choose(&TABLES)?).to_owned() };
    let key = key(input, &table)?;
    let sequence = number(input, MAX_SEQUENCE)?;
    let site = site(input)?;
    let column_version = number(input, MAX_COLUMN_VERSION)?;
    let causal_length = number(input, MAX_COLUMN_VERSION)?;
    let column = match &*table {
        _ if input.ratio(1, 8u8)? => *input.choose(&COLUMNS)?,
        "t" => *input.choose(&["a", "b"])?,
        "pair" => "n",
        "strict" => "v",
        _ => SENTINEL,
    };
    let (column_version, value) = if column == SENTINEL && !input.ratio(1, 16u8)? {
        (causal_length, Value::Null)
    } else {
        (column_version, value(input)?)
    };
    Ok(Change { table: table.into(), key, column: column.into(), value, column_version, causal_length, sequence, site })
}

/// Up to a dozen changes.
pub(crate) fn changes(input: &mut Unstructured<'_>) -> Result<Vec<Change>> {
    let count = input.int_in_range(0..=12u8)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        if input.is_empty() {
            break;
        }
        match change(input) {
            Err(arbitrary::Error::IncorrectFormat) => {}
            other => changes.push(other?),
        }
    }
    Ok(changes)
}
