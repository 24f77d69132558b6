// Patch 7: UPDATE of a primary key stamps the row's cells anew.
//
// It is a delete of the old key and a create of the new one. Upstream moves the cells' clocks to the new key with
// their old version and site, so a range of versions holds only the two sentinels, and a peer that reads the range
// ends with a row of NULLs; where the new key had cells (UPDATE OR REPLACE), peers that know those keep them. So the
// clocks of the old key are dropped, as a delete does, and every cell of the new key becomes a write of this
// transaction: this version, this site, and a column version above whatever the new key had.

const UPDATE = "core/src/local_writes/after_update.rs";

export default function apply(tree) {
  tree.edit(
    UPDATE,
    "    if crate::compare_values::any_value_changed(pks_new, pks_old)? {\n",
    "    let key_changed = crate::compare_values::any_value_changed(pks_new, pks_old)?;\n    if key_changed {\n",
  );
  tree.edit(
    UPDATE,
    "after_update__move_non_sentinels(db, tbl_info, new_key, old_key)?;",
    "after_update__drop_old_clocks(db, tbl_info, old_key)?;",
  );
  tree.edit(
    UPDATE,
    "if crsql_compare_sqlite_values(*new, *old) != 0 {",
    "if key_changed || crsql_compare_sqlite_values(*new, *old) != 0 {",
  );
  // In place of the function that moved them.
  tree.edit(
    UPDATE,
    /#\[allow\(non_snake_case\)\]\nfn after_update__move_non_sentinels\([\s\S]*?\n\}\n/g,
    `#[allow(non_snake_case)]
fn after_update__drop_old_clocks(
    db: *mut sqlite3,
    tbl_info: &TableInfo,
    old_key: sqlite::int64,
) -> Result<ResultCode, String> {
    let drop_stmt_ref =
        tbl_info.get_merge_delete_drop_clocks_stmt(db).or_else(|_| Err("failed to get drop_clocks_stmt"))?;
    let drop_stmt = drop_stmt_ref.as_ref().ok_or("failed to deref drop_clocks_stmt")?;
    drop_stmt.bind_int64(1, old_key).or_else(|_| Err("failed to bind the key to drop_clocks_stmt"))?;
    super::step_trigger_stmt(drop_stmt)
}
`,
  );
}
