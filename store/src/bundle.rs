//! Bundles as text: what a Nuke and Resync saves before it drops a database, one JSON value a line.
//!
//! Where in the flow: outside of sync; written and read line by line by the browser's client and the command line.
//! Never touches a file.
//!
//! | line | what |
//! |---|---|
//! | first | [`Header`] |
//! | `{"table":...}` | one change that the server has not acknowledged ([`SavedChange`]), in the store's order |
//! | the same with `"acknowledged":true` | every change of the database, whoever made it; only where it is saved whole |
//! | `{"database":"..."}` | a piece of the database's file in base64, where the whole is saved; pieces in order |
//! | `{"end":N}` | the last line: how many lines came before it. Without it a bundle is not complete |
//!
//! Values are exact by type: `null`, `{"integer":"5"}`, `{"real":"5"}`, `{"text":"..."}`, `{"blob":"<base64>"}`.
//! Numbers are texts, since readers of JSON keep neither 64-bit integers nor infinities.

mod plan;
mod replay;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use greenlight_core::replica::ClientState;
use greenlight_core::{Change, Value};
use serde::{Deserialize, Serialize};

use crate::aside::Shelved;

pub use self::plan::{
    BATCH_BYTES, BATCH_COMPARED, BATCH_ROWS, Chosen, MAX_SAMPLES, Plan, Planning, Refusal, Sample, Stopped, TablePlan,
    Written,
};
pub use self::replay::{Held, HeldRow, MAX_ROWS, Replay, ReplayError, Rows};

/// The version of this format, in the header.
pub const FORMAT: u32 = 1;
/// How much of a database's file goes into one line, in bytes.
pub const PIECE_BYTES: usize = 512 * 1024;
/// How much of a text or blob is shown to a person, in bytes.
pub const EXCERPT_BYTES: usize = 240;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// [`FORMAT`].
    pub greenlight_bundle: u32,
    /// The bundle's id, 32 hexadecimal digits.
    pub id: String,
    /// The database's name.
    pub name: String,
    /// Milliseconds since 1970.
    pub created_at: u64,
    /// The status' reason when it was saved.
    pub reason: String,
    /// The database's site id, 32 hexadecimal digits.
    pub site_id: String,
    /// The server's site id, where one was followed.
    pub server_site_id: Option<String>,
    /// The server's epoch, 16 hexadecimal digits.
    pub server_epoch: Option<String>,
    /// Up to which version of the server's history the database was.
    pub cursor: u64,
    /// Up to which own version the server had acknowledged.
    pub acknowledged: u64,
    /// The schema's name.
    pub schema_name: String,
    /// The schema's number.
    pub schema_number: u32,
    /// The digest of its structure, 32 hexadecimal digits.
    pub schema_digest: String,
    /// How many changes follow.
    pub changes: u64,
}

impl Header {
    /// From what the database says of itself.
    pub fn new(id: String, name: String, created_at: u64, reason: String, state: &ClientState) -> Self {
        Self {
            greenlight_bundle: FORMAT,
            id,
            name,
            created_at,
            reason,
            site_id: state.site_id.to_hex(),
            server_site_id: state.lineage.map(|lineage| lineage.site_id.to_hex()),
            server_epoch: state.lineage.map(|lineage| lineage.epoch.to_hex()),
            cursor: state.cursor.version.get(),
            acknowledged: state.acknowledged.version.get(),
            schema_name: state.schema.name.clone(),
            schema_number: state.schema.number,
            schema_digest: state.schema.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            changes: state.outbox.changes,
        }
    }
}

/// One change, with its key unpacked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedChange {
    /// Table.
    pub table: String,
    /// The key's values, in key order.
    pub key: Vec<Option<SavedValue>>,
    /// Column, or "-1" for the row's creation or deletion.
    pub column: String,
    /// The cell's value.
    pub value: Option<SavedValue>,
    /// How often the cell was written.
    pub column_version: u64,
    /// Odd alive, even deleted.
    pub causal_length: u64,
    /// Whether it is there because the whole database was saved, and not because it was pending.
    #[serde(default, skip_serializing_if = "is_false")]
    pub acknowledged: bool,
}

/// A value that is not NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SavedValue {
    /// INTEGER, in decimal digits.
    Integer(String),
    /// REAL, in the shortest digits that read back as the same number; `inf` and `-inf`.
    Real(String),
    /// TEXT.
    Text(String),
    /// BLOB, in base64.
    Blob(String),
}

/// A value to be shown; `None` in its place for NULL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The value, a text or blob cut to [`EXCERPT_BYTES`].
    #[serde(flatten)]
    pub value: SavedValue,
    /// How many bytes the whole has, where it was cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_bytes: Option<u64>,
}

/// Lines other than the first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A change.
    Change(SavedChange),
    /// A piece of the database's file.
    Piece {
        /// Base64.
        database: String,
    },
    /// The end.
    End {
        /// How many lines came before.
        end: u64,
    },
}

/// A line, with its newline.
///
/// # Errors
/// Never for what this module defines; serde's signature has one.
pub fn line(what: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    Ok(line)
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// A change as it is saved; `acknowledged` as in [`SavedChange`].
pub fn save(change: &Change, acknowledged: bool) -> Line {
    Line::Change(SavedChange {
        table: change.table.to_string(),
        key: change.key.values().iter().map(save_value).collect(),
        column: change.column.to_string(),
        value: save_value(&change.value),
        column_version: change.column_version,
        causal_length: change.causal_length,
        acknowledged,
    })
}

/// A change that could not be applied, as it is shown and saved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// What names it while it is set aside: 32 hexadecimal digits.
    pub id: String,
    /// Table.
    pub table: String,
    /// The key's values, in key order.
    pub key: Vec<Option<SavedValue>>,
    /// Column, or "-1" for the row's creation or deletion.
    pub column: String,
    /// The cell's value.
    pub value: Option<SavedValue>,
    /// Why it could not be applied.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since: i64,
}

/// A change that could not be applied, as it is shown and saved.
pub fn set_aside(shelved: &Shelved) -> SetAside {
    let change = &shelved.change;
    SetAside {
        id: shelved.id().to_hex(),
        table: change.table.to_string(),
        key: change.key.values().iter().map(save_value).collect(),
        column: change.column.to_string(),
        value: save_value(&change.value),
        reason: shelved.reason.clone(),
        since: shelved.since_ms,
    }
}

/// A piece of the database's file.
pub fn piece(bytes: &[u8]) -> Line {
    Line::Piece { database: STANDARD.encode(bytes) }
}

fn save_value(value: &Value) -> Option<SavedValue> {
    match value {
        Value::Null => None,
        Value::Integer(number) => Some(SavedValue::Integer(number.to_string())),
        Value::Real(number) => Some(SavedValue::Real(number.to_string())),
        Value::Text(text) => Some(SavedValue::Text(text.clone())),
        Value::Blob(blob) => Some(SavedValue::Blob(STANDARD.encode(blob))),
    }
}

/// The value as it is shown to a person.
pub(crate) fn excerpt(value: &Value) -> Option<Excerpt> {
    let (start, length) = match value {
        Value::Text(text) => (Value::Text(text[..text.floor_char_boundary(EXCERPT_BYTES)].to_owned()), text.len()),
        Value::Blob(blob) => (Value::Blob(blob[..blob.len().min(EXCERPT_BYTES)].to_vec()), blob.len()),
        other => return save_value(other).map(|value| Excerpt { value, of_bytes: None }),
    };
    let of_bytes = (length > EXCERPT_BYTES).then_some(length as u64);
    save_value(&start).map(|value| Excerpt { value, of_bytes })
}

/// The value that was saved; `None` when it is none.
pub fn read_value(saved: Option<&SavedValue>) -> Option<Value> {
    Some(match saved {
        None => Value::Null,
        Some(SavedValue::Integer(digits)) => Value::Integer(digits.parse().ok()?),
        Some(SavedValue::Real(digits)) => Value::Real(digits.parse().ok().filter(|number: &f64| !number.is_nan())?),
        Some(SavedValue::Text(text)) => Value::Text(text.clone()),
        Some(SavedValue::Blob(encoded)) => Value::Blob(STANDARD.decode(encoded).ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(value: &Value) -> Option<Value> {
        let text = serde_json::to_string(&save_value(value)).unwrap();
        read_value(serde_json::from_str::<Option<SavedValue>>(&text).unwrap().as_ref())
    }

    #[test]
    fn values_come_back_exact_by_type() {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Integer(5),
            Value::Real(5.0),
            Value::Real(-0.0),
            Value::Real(f64::INFINITY),
            Value::Real(0.1 + 0.2),
            Value::Real(f64::MIN_POSITIVE),
            Value::Text("a\n\u{0}\"ü".to_owned()),
            Value::Blob(vec![0, 255, 10]),
        ];
        for value in values {
            let back = there_and_back(&value).unwrap();
            assert_eq!(format!("{back:?}"), format!("{value:?}"));
        }
    }

    #[test]
    fn long_values_are_shown_by_their_beginning() {
        let text = format!("{}ü{}", "a".repeat(EXCERPT_BYTES - 1), "b".repeat(1_000));
        let shown = excerpt(&Value::Text(text.clone())).unwrap();
        assert_eq!(shown.value, SavedValue::Text("a".repeat(EXCERPT_BYTES - 1)), "no half of a letter");
        assert_eq!(shown.of_bytes, Some(text.len() as u64));
        let blob = excerpt(&Value::Blob(vec![7; 5_000])).unwrap();
        assert_eq!(blob.value, SavedValue::Blob(STANDARD.encode([7; EXCERPT_BYTES])));
        let json = serde_json::to_value(excerpt(&Value::Text("short".to_owned()))).unwrap();
        assert_eq!(json, serde_json::json!({ "text": "short" }));
        assert_eq!(excerpt(&Value::Null), None);
    }

    #[test]
    fn lines_hold_no_newline_but_their_last() {
        let bytes = line(&piece(&[10; 100])).unwrap();
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let text = Value::Text("two\nlines".to_owned());
        let bytes = line(&save_value(&text)).unwrap();
        assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), 1);
    }
}
