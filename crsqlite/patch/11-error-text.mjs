// Patch 11: a merge that a constraint or a trigger refuses says why.
//
// SQLite takes the text of a virtual table's error from the table, and a merge leaves it empty. So a change that a CHECK
// or a trigger's RAISE refuses fails with "constraint failed" and nothing else, whatever the trigger says. The
// connection still has the text of the statement that failed.

const WRITE = "core/src/changes_vtab_write.rs";

export default function apply(tree) {
  tree.edit(
    WRITE,
    "    match merge_insert(vtab, argc, argv, rowid, errmsg) {\n        Err(rc) | Ok(rc) => rc as c_int,\n    }\n",
    `    match merge_insert(vtab, argc, argv, rowid, errmsg) {
        Ok(rc) => rc as c_int,
        Err(rc) => {
            use sqlite_nostd::Connection;
            let db = (*vtab.cast::<crsql_Changes_vtab>()).db;
            // Where the statement of another failure has left it, it is that one's.
            if (*errmsg).is_null() && db.errcode() == rc {
                if let Ok(text) = db.errmsg() {
                    sqlite_nostd::StrRef::set(&errmsg, &text);
                }
            }
            rc as c_int
        }
    }
`,
  );
}
