// Patch 9: a table whose name is a keyword can be a CRR.
//
// One of the queries that fill in clocks leaves the table's name unquoted, so crsql_as_crr('order') fails.

export default function apply(tree) {
  tree.edit("core/src/backfill.rs", "FROM {table} as t1", 'FROM \\"{table}\\" as t1');
}
