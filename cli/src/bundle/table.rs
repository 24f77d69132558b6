//! What a person sees of a bundle in the terminal: its header, its counts, its rows, and what a replay would do.
//!
//! Where in the flow: behind `greenlight bundle`. Never prints a control character of a bundle's: that is a file from
//! anywhere.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use greenlight_store::bundle::{Excerpt, Header, Held, HeldRow, Refusal, SavedValue, TablePlan};

use crate::output::{counted, say};

/// Characters of a value that are shown.
const MAX_SHOWN: usize = 40;
/// The same, in a table of rows.
const MAX_CELL: usize = 24;
/// Columns of a table of rows, beside the key.
const MAX_COLUMNS: usize = 6;

pub(super) fn header(header: &Header) {
    let saved = UNIX_EPOCH.checked_add(Duration::from_millis(header.created_at));
    // The format of dates ends with the year 9999.
    let saved = saved.filter(|_| header.created_at < 253_402_300_800_000);
    let saved = saved.map_or_else(|| format!("{} ms", header.created_at), httpdate::fmt_http_date);
    say!("Bundle {} of database `{}`", clean(&header.id), clean(&header.name));
    say!("  saved     {saved}, reason {}", clean(&header.reason));
    say!("  schema    {} {}", clean(&header.schema_name), header.schema_number);
    say!("  site      {}", clean(&header.site_id));
    say!("  server    {}", header.server_site_id.as_deref().map_or_else(|| "none yet".to_owned(), clean));
    say!("  pending   {}", counted(header.changes, "change"));
    say!();
}

pub(super) fn counts(tables: &[Held], whole: bool) {
    say!("{:<32} {:>12} {:>12}", "rows of", "pending", "in all");
    for Held { table, pending, all, .. } in tables {
        let all = if whole { all.to_string() } else { "not saved".to_owned() };
        say!("{:<32} {pending:>12} {all:>12}", clean(table));
    }
}

/// A table's first rows, one a line.
pub(super) fn rows(held: &Held, whole: bool) {
    if held.rows.is_empty() {
        return;
    }
    let total = if whole { held.all.max(held.pending) } else { held.pending };
    let names: BTreeSet<&String> = held.rows.iter().flat_map(|row| row.cells.keys()).collect();
    let shown: Vec<&String> = names.iter().copied().take(MAX_COLUMNS).collect();
    let titles = ["key".to_owned(), "state".to_owned()].into_iter().chain(shown.iter().map(|name| clean(name)));
    let lines: Vec<Vec<String>> =
        std::iter::once(titles.collect()).chain(held.rows.iter().map(|row| line(row, &shown))).collect();
    say!("\n{}, the first {} of {}:", clean(&held.table), held.rows.len(), counted(total, "row"));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("  {}", cells.join("  ").trim_end());
    }
    if names.len() > shown.len() {
        say!("  and {} more columns", names.len() - shown.len());
    }
}

fn line(row: &HeldRow, columns: &[&String]) -> Vec<String> {
    let state = match (row.deleted, row.pending) {
        (true, true) => "pending deletion",
        (true, false) => "deleted",
        (false, true) => "pending",
        (false, false) => "acknowledged",
    };
    // A cell that the bundle doesn't have is no NULL.
    let cells =
        columns.iter().map(|column| row.cells.get(*column).map_or_else(String::new, |cell| text(cell, MAX_CELL)));
    [key(&row.key, MAX_CELL), state.to_owned()].into_iter().chain(cells).collect()
}

pub(super) fn plan(tables: &[TablePlan]) {
    say!("{:<28} {:>8} {:>11} {:>8} {:>8} {:>8}", "rows of", "added", "overwritten", "deleted", "equal", "unknown");
    for table in tables {
        let TablePlan { table: name, added, overwritten, deleted, equal, unknown, unknown_columns, samples } = table;
        say!("{:<28} {added:>8} {overwritten:>11} {deleted:>8} {equal:>8} {unknown:>8}", clean(name));
        for sample in samples {
            let (here, bundle) = (text(&sample.here, MAX_SHOWN), text(&sample.bundle, MAX_SHOWN));
            say!("  ({}) {}: {here} becomes {bundle}", key(&sample.key, MAX_SHOWN), clean(&sample.column));
        }
        if !unknown_columns.is_empty() {
            let names: Vec<String> = unknown_columns.iter().map(|name| clean(name)).collect();
            say!("  left in the bundle, since the schema has no such columns: {}", names.join(", "));
        }
    }
}

pub(super) fn refusals(refusals: &[Refusal]) {
    for Refusal { table, key: of, why } in refusals {
        say!("Refused: {} ({}): {}", clean(table), key(of, MAX_SHOWN), clean(why));
    }
}

fn key(values: &[Option<Excerpt>], limit: usize) -> String {
    values.iter().map(|value| text(value, limit)).collect::<Vec<_>>().join(", ")
}

/// A value as a person reads it.
fn text(value: &Option<Excerpt>, limit: usize) -> String {
    let Some(Excerpt { value, of_bytes }) = value else { return "NULL".to_owned() };
    match value {
        SavedValue::Integer(digits) | SavedValue::Real(digits) => clean(digits),
        SavedValue::Text(text) => {
            let cut = of_bytes.is_some() || text.chars().nth(limit).is_some();
            let start = format!("{:?}", text.chars().take(limit).collect::<String>());
            if cut { format!("{start}…") } else { start }
        }
        SavedValue::Blob(encoded) => {
            let padding = encoded.bytes().rev().take_while(|&byte| byte == b'=').count();
            let bytes = of_bytes.unwrap_or((encoded.len() / 4 * 3).saturating_sub(padding) as u64);
            format!("a blob of {bytes} bytes")
        }
    }
}

/// Control characters spelled out.
fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|letter| {
            let escaped = letter.is_control().then(|| letter.escape_debug().collect::<Vec<_>>());
            escaped.unwrap_or_else(|| vec![letter])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short_and_harmless() {
        let shown = |value| text(&Some(Excerpt { value, of_bytes: None }), 5);
        assert_eq!(shown(SavedValue::Text("\u{1b}[2Jabc".into())), "\"\\u{1b}[2Ja\"…");
        assert_eq!(shown(SavedValue::Text("Emma".into())), "\"Emma\"");
        assert_eq!(shown(SavedValue::Blob("AAE=".into())), "a blob of 2 bytes");
        assert_eq!(shown(SavedValue::Integer("-7".into())), "-7");
        let long = Excerpt { value: SavedValue::Blob("AAEC".into()), of_bytes: Some(9_000) };
        assert_eq!(text(&Some(long), 5), "a blob of 9000 bytes");
        assert_eq!(text(&None, 5), "NULL");
        assert_eq!(clean("a\u{7}b\nü"), "a\\u{7}b\\nü");
    }
}
