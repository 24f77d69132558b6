// Exchanges changes between this crate and the npm package, both ways, and compares rows bit by bit.
// usage: node main.mjs INTEROP_PEER. Prints `N passed, 0 failed`; ends with 1 when something failed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CASES, CONFLICTS } from "./cases.mjs";
import { OurPeer, TheirPeer } from "./peers.mjs";

const SEEDS = 60;
const STEPS = 30;

const ours = OurPeer.start(process.argv[2]);
const theirs = await TheirPeer.start();
let passed = 0;
let failed = 0;

async function test(name, run) {
  try {
    await run();
    passed += 1;
  } catch (error) {
    failed += 1;
    console.error(`failed: ${name}: ${error.message}`);
  }
}

/** Two fresh databases with the same schema. */
async function fresh(schema) {
  for (const peer of [ours, theirs]) {
    await peer.open();
    await peer.sql(schema);
    peer.sent = 0;
  }
}

async function done() {
  await ours.close();
  await theirs.close();
}

/** What `peer` wrote itself since it was last asked, or ever. */
async function news(peer, everything = false) {
  const [[head]] = await peer.rows("SELECT coalesce(max(db_version), 0) FROM crsql_changes");
  const own = "SELECT * FROM crsql_changes WHERE site_id = crsql_site_id()";
  const changes = await peer.rows(`${own} AND db_version > ${everything ? 0 : peer.sent}`);
  peer.sent = Number(head.slice(1));
  return changes;
}

async function apply(peer, changes) {
  await peer.sql("BEGIN");
  for (const change of changes) await peer.apply(change.with(5, "i0"));
  await peer.sql("COMMIT");
}

async function mustBeEqual(where) {
  const tables = "SELECT * FROM t ORDER BY 1, 2";
  const [left, right] = [await ours.rows(tables), await theirs.rows(tables)];
  if (JSON.stringify(left) !== JSON.stringify(right)) {
    throw new Error(`${where}: ours ${JSON.stringify(left).slice(0, 400)}, theirs ${JSON.stringify(right).slice(0, 400)}`);
  }
  return left.length;
}

/** Clocks as far as they decide merges. Left out: a sentinel of causal length 1, which says nothing. */
async function clocksMustBeEqual(where) {
  const query = `SELECT "table", pk, cid, col_version, cl FROM crsql_changes WHERE NOT (cid = '-1' AND cl = 1)`;
  const [left, right] = [await ours.rows(query), await theirs.rows(query)].map((rows) => rows.map(String).sort());
  const differ = left.find((row, i) => row !== right[i]) ?? right[left.length];
  if (differ !== undefined) throw new Error(`${where}: the clocks differ, first ${differ}`);
}

/** One side writes; after each step the other must have the same. */
async function oneWay(item, author, reader) {
  await fresh(item.schema);
  let rows = 0;
  for (const step of item.steps) {
    await author.sql(step);
    await apply(reader, await news(author, item.everythingFromThem && author === theirs));
    rows = Math.max(rows, await mustBeEqual(step));
    if (!item.everythingFromThem) await clocksMustBeEqual(step);
  }
  if (rows === 0) throw new Error("nothing was ever written");
  await done();
}

async function conflict(item) {
  await fresh(item.schema);
  await ours.sql(item.before ?? "SELECT 1");
  await apply(theirs, await news(ours));
  theirs.sent = ours.sent;
  await ours.sql(item.ours);
  await theirs.sql(item.theirs);
  const [fromUs, fromThem] = [await news(ours), await news(theirs)];
  await apply(ours, fromThem);
  await apply(theirs, fromUs);
  await mustBeEqual(item.name);
  await done();
}

/** A repeatable sequence of numbers below a limit, named by its seed. */
function random(seed) {
  let state = BigInt(seed);
  return (limit) => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
    return Number((state >> 33n) % BigInt(limit));
  };
}

/** Both write at random and exchange windows at random; in the end they must be equal. */
async function mixed(seed) {
  await fresh("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a, b); SELECT crsql_as_crr('t');");
  const below = random(seed);
  const value = () => ["NULL", "''", "x''", "'é'", "5", "5.5", "200", "x'ff'", "-1"][below(9)];
  const write = (key) =>
    [
      `INSERT OR IGNORE INTO t VALUES (${key}, ${value()}, ${value()})`,
      `UPDATE t SET a = ${value()} WHERE id = ${key}`,
      `UPDATE t SET b = ${value()} WHERE id = ${key}`,
      `DELETE FROM t WHERE id = ${key}`,
      `INSERT OR REPLACE INTO t VALUES (${key}, ${value()}, ${value()})`,
      `INSERT INTO t VALUES (${key}, ${value()}, ${value()}) ON CONFLICT DO UPDATE SET a = excluded.a`,
    ][below(6)];
  for (let step = 0; step < STEPS; step += 1) {
    const [author, reader] = below(2) === 0 ? [ours, theirs] : [theirs, ours];
    if (below(3) > 0) await author.sql(write([1, 200, -3][below(3)]));
    else await apply(reader, await news(author));
  }
  await apply(theirs, await news(ours));
  await apply(ours, await news(theirs));
  await mustBeEqual(`seed ${seed}`);
  await done();
}

/** Both builds count on from the floor that the store keeps in crsql_master. */
async function floor(peer) {
  await fresh("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t');");
  await peer.sql("INSERT INTO t VALUES (1, 'x')");
  await peer.sql("INSERT OR REPLACE INTO crsql_master VALUES ('pre_compact_dbversion', 100)");
  await peer.sql("INSERT INTO t VALUES (2, 'y')");
  const [[version]] = await peer.rows("SELECT max(db_version) FROM crsql_changes");
  await peer.sql("BEGIN; SELECT crsql_next_db_version(500); INSERT INTO t VALUES (3, 'z'); COMMIT");
  const [[pinned]] = await peer.rows("SELECT max(db_version) FROM crsql_changes");
  if (version !== "i101" || pinned !== "i500") throw new Error(`${version} and ${pinned} instead of 101 and 500`);
  await done();
}

/** A file goes from us to them and back: what one wrote is the other's, and versions count on from the floor. */
async function file() {
  const folder = mkdtempSync(join(tmpdir(), "interop-"));
  const path = join(folder, "x.db");
  const count = "SELECT crsql_db_version(), hex(crsql_site_id()), (SELECT count(*) FROM crsql_changes)";
  const seen = [];
  try {
    await ours.open(path);
    await ours.sql("CREATE TABLE t (id INTEGER PRIMARY KEY NOT NULL, a); SELECT crsql_as_crr('t')");
    await ours.sql("INSERT INTO t VALUES (200, 'x'); UPDATE t SET id = 300; UPDATE t SET a = a");
    await ours.sql("INSERT OR REPLACE INTO crsql_master VALUES ('pre_compact_dbversion', 100)");
    await ours.close();
    for (const peer of [theirs, ours, theirs, ours]) {
      await peer.open(path);
      seen.push(...(await peer.rows(count)));
      await peer.sql(`INSERT INTO t VALUES (${seen.length}, 'y')`);
      await peer.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const versions = seen.map(([version]) => version);
  if (versions.join() !== "i100,i101,i102,i103") throw new Error(`the versions are ${versions}`);
  if (new Set(seen.map(([, site]) => site)).size !== 1) throw new Error("the site id isn't the same");
  if (seen.map(([, , changes]) => changes).join() !== "i3,i4,i5,i6") throw new Error(`the changes are ${JSON.stringify(seen)}`);
}

for (const item of CASES) {
  await test(`${item.name}, ours to theirs`, () => oneWay(item, ours, theirs));
  await test(`${item.name}, theirs to ours`, () => oneWay(item, theirs, ours));
}
for (const item of CONFLICTS) {
  await test(item.name, () => conflict(item));
}
for (let seed = 1; seed <= SEEDS; seed += 1) {
  await test(`mixed, seed ${seed}`, () => mixed(seed));
}
await test("the floor of versions, ours", () => floor(ours));
await test("the floor of versions, theirs", () => floor(theirs));
await test("a file that both write", file);
ours.stop();
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);
