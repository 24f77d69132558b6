// Patch 12: a table that becomes a CRR is filled in one pass.
//
// Upstream gives every row a clock entry for each column, and then looks for rows without one, once more for each column,
// in the order of the rows: two look-ups for each cell all over two trees, which on a table that is larger than SQLite's
// cache read a page from the file each. Where no key was known before, the first pass has left nothing to be found.

const BACKFILL = "core/src/backfill.rs";

export default function apply(tree) {
  tree.edit(
    BACKFILL,
    '    if !no_tx {\n        db.exec_safe("SAVEPOINT backfill")?;\n',
    `    let is_first = db
        .prepare_v2(&format!(
            "SELECT 1 FROM \\"{table}__crsql_pks\\" LIMIT 1",
            table = crate::util::escape_ident(table),
        ))?
        .step()?
        == ResultCode::DONE;

    if !no_tx {
        db.exec_safe("SAVEPOINT backfill")?;
`,
  );
  tree.edit(
    BACKFILL,
    "    if let Err(e) = backfill_missing_columns(db, table, pk_cols, non_pk_cols, is_commit_alter) {\n",
    `    let missing = if is_first {
        Ok(ResultCode::OK)
    } else {
        backfill_missing_columns(db, table, pk_cols, non_pk_cols, is_commit_alter)
    };
    if let Err(e) = missing {
`,
  );
}
