// Patch 3: the schema name "main" ends with a NUL.
//
// Upstream passes the literal "main" as a C string without one, so what follows it in the program's data decides:
// crsql_as_crr('t') fails with "out of memory", or worse, by luck of the linker.

export default function apply(tree) {
  // crsql_as_crr, crsql_begin_alter, crsql_commit_alter.
  tree.edit("core/src/lib.rs", '("main", args[0].text())', '("main\\0", args[0].text())', 3);
}
