// Patch 8: a change that makes no sense is an error with a message, and doesn't end the process.
//
// Upstream trusts what is inserted into crsql_changes: a packed key that is empty, too short or has an integer of
// more than 8 bytes panics across C, which ends the process; text that isn't UTF-8 becomes an invalid string; a key
// with other than the table's columns, a site id of another length, a causal length below 1 and a negative column
// version are taken in and can't be got rid of. Who applies changes should have refused them before; this is the
// last door.

const PACK = "core/src/pack_columns.rs";
const WRITE = "core/src/changes_vtab_write.rs";

export default function apply(tree) {
  tree.edit(
    PACK,
    "    let num_columns = buf.get_u8();\n",
    "    if !buf.has_remaining() {\n        return Err(ResultCode::ABORT);\n    }\n    let num_columns = buf.get_u8();\n",
  );
  tree.edit(
    PACK,
    /let intlen = [^\n]*;\n/g,
    (found) => `${found}        if intlen > 8 {\n            return Err(ResultCode::ABORT);\n        }\n`,
  );
  tree.edit(
    PACK,
    /ColumnValue::Text\(unsafe \{\s*String::from_utf8_unchecked\(bytes\.to_vec\(\)\)\s*\}\)/g,
    "ColumnValue::Text(String::from_utf8(bytes.to_vec()).map_err(|_| ResultCode::ABORT)?)",
  );
  tree.edit(
    PACK,
    /    \}\n\n    Ok\(ret\)\n/g,
    (found) => found.replace("    Ok(ret)", "    if buf.has_remaining() {\n        return Err(ResultCode::ABORT);\n    }\n    Ok(ret)"),
  );

  tree.edit(
    WRITE,
    /if insert_site_id\.bytes\(\) > crate::consts::SITE_ID_LEN \{\n.*\n/g,
    `if insert_cl < 1 || insert_col_vrsn < 0 {
        sqlite_nostd::StrRef::set(&errmsg, "crsql - a causal length is at least 1, a column version at least 0");
        return Err(ResultCode::ERROR);
    }
    if insert_site_id.bytes() != crate::consts::SITE_ID_LEN {
        let err = CString::new("crsql - a site id has 16 bytes")?;
`,
  );
  tree.edit(
    WRITE,
    "    let unpacked_pks = unpack_columns(insert_pks.blob())?;\n",
    `    let unpacked_pks = match unpack_columns(insert_pks.blob()) {
        Ok(pks) if pks.len() == tbl_info.pks.len() => pks,
        _ => {
            sqlite_nostd::StrRef::set(&errmsg, &format!("crsql - not a packed primary key of table {}", insert_tbl));
            return Err(ResultCode::ERROR);
        }
    };
`,
  );
}
