// What the two sides are put through. A case has a schema and steps; after each step what was written is sent, and
// all tables must be equal. `both` is written by both sides before they exchange.

const keyed = (type) => `CREATE TABLE t (id ${type} PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');`;
const COMPOSITE = `CREATE TABLE t (x INTEGER NOT NULL, y TEXT NOT NULL, z BLOB NOT NULL, a, b, PRIMARY KEY (x, y, z));
  SELECT crsql_as_crr('t');`;

const INTEGERS = [
  "0", "1", "127", "128", "200", "255", "256", "32767", "32768", "65535", "65536", "8388608", "16777216", "2147483647",
  "2147483648", "4294967295", "140737488355328", "9223372036854775807", "-1", "-128", "-129", "-32769",
  "-9223372036854775808",
];
const LENGTHS = [0, 1, 127, 128, 255, 256, 32767, 32768, 65536];

const insertEach = (keys, values = "'v', 1") => keys.map((key) => `INSERT INTO t VALUES (${key}, ${values});`).join(" ");

export const CASES = [
  { name: "integer keys", schema: keyed("INTEGER"), steps: [insertEach(INTEGERS), "UPDATE t SET a = a || id", "DELETE FROM t WHERE id % 2"] },
  { name: "keys without a type", schema: keyed(""), steps: [insertEach([...INTEGERS, "1.5", "'1'", "x'31'", "''", "x''"])] },
  { name: "text keys", schema: keyed("TEXT"), steps: [insertEach(LENGTHS.map((n) => `'${"é".repeat(n >> 1)}${"x".repeat(n & 1)}'`)), "DELETE FROM t WHERE id = ''"] },
  { name: "blob keys", schema: keyed("BLOB"), steps: [insertEach(LENGTHS.map((n) => `x'${"ff".repeat(n)}'`)), "UPDATE t SET b = id"] },
  { name: "real keys", schema: keyed("REAL"), steps: [insertEach(["0.0", "-1.5", "3.0", "1e308", "0.1", "5e-324"]), "UPDATE t SET a = id / 3"] },
  {
    name: "composite keys",
    schema: COMPOSITE,
    steps: [
      insertEach(["200, '', x''", "-1, 'é', x'00'", "32768, 'a', x'80ff'", "0, 'a', x''"]),
      "UPDATE t SET a = x, b = z",
      "DELETE FROM t WHERE y = 'a'",
      "INSERT INTO t VALUES (0, 'a', x'', NULL, NULL)",
    ],
  },
  {
    name: "values of every type",
    schema: keyed("INTEGER"),
    steps: [
      insertEach(["1", "2", "3"], "NULL, NULL"),
      "UPDATE t SET a = '', b = x''",
      "UPDATE t SET a = 9223372036854775807, b = -9223372036854775808",
      "UPDATE t SET a = 0.1, b = 1e300",
      "UPDATE t SET a = 5.0, b = 5",
      "UPDATE t SET a = 'text', b = x'00ff00'",
      "UPDATE t SET a = NULL, b = NULL",
    ],
  },
  {
    name: "deletes and resurrections",
    schema: keyed("INTEGER"),
    steps: [
      insertEach(["1", "2", "3"]),
      "DELETE FROM t",
      insertEach(["2"], "'again', 2"),
      "BEGIN; DELETE FROM t; INSERT INTO t VALUES (2, 'once more', 3); COMMIT",
      "INSERT OR REPLACE INTO t VALUES (2, 'replaced', 4)",
      "INSERT INTO t VALUES (2, 'x', 5) ON CONFLICT DO UPDATE SET a = excluded.a",
    ],
  },
  { name: "nothing but a key", schema: "CREATE TABLE t (x INTEGER NOT NULL, y TEXT NOT NULL, PRIMARY KEY (x, y)); SELECT crsql_as_crr('t');", steps: ["INSERT INTO t VALUES (200, 'a'), (300, '')", "DELETE FROM t WHERE x = 200", "INSERT INTO t VALUES (200, 'a')"] },
  // The oracle doesn't stamp moved cells anew (our patch 7), so that from there everything has to be sent.
  {
    name: "key updates",
    schema: keyed("INTEGER"),
    everythingFromThem: true,
    steps: [insertEach(["1", "2", "3"]), "UPDATE t SET id = 200 WHERE id = 1", "UPDATE t SET id = id + 1000", "UPDATE OR REPLACE t SET id = 1002 WHERE id = 1003"],
  },
];

/** Written by both sides at once; then each takes what the other wrote. */
export const CONFLICTS = [
  { name: "the same row twice", ours: insertEach(["1"], "'ours', 1"), theirs: insertEach(["1"], "'theirs', 2") },
  { name: "types against each other", ours: insertEach(["1"], "5, 'x'"), theirs: insertEach(["1"], "5.0, x'ff'") },
  { name: "an update against a delete", before: insertEach(["1"]), ours: "UPDATE t SET a = 'kept'", theirs: "DELETE FROM t" },
  { name: "a resurrection against an update", before: insertEach(["1"]), ours: "DELETE FROM t; INSERT INTO t VALUES (1, 'new', 9)", theirs: "UPDATE t SET b = 'old'" },
  { name: "more updates win", before: insertEach(["1"]), ours: "UPDATE t SET a = 'a1'; UPDATE t SET a = 'a2'", theirs: "UPDATE t SET a = 'z'" },
  { name: "two columns", before: insertEach(["1"]), ours: "UPDATE t SET a = 'ours'", theirs: "UPDATE t SET b = 'theirs'" },
].map((conflict) => ({ ...conflict, schema: keyed("INTEGER") }));
