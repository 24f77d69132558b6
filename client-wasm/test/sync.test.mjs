// Two browsers and a real server: the way of a write, an outage, tokens, a reset.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { SCHEMA, exec, launch, openDatabase, openPage, query, serve, until } from "./browser.mjs";
import { startServer } from "./server.mjs";

const isState = (state) => db.status.current.state === state;
const count = (wanted) => db.query("SELECT count(*) AS n FROM book").then(([{ n }]) => n === wanted);

describe("two browsers and a server", () => {
  let pages, server, one, two, alice, bob;
  before(async () => (pages = await serve()));
  after(() => pages.close());
  beforeEach(async () => {
    server = await startServer({ origin: new URL(pages.url).origin });
    [one, two] = await Promise.all([launch(), launch()]);
    alice = await openPage(one, pages.url, { url: server.url });
    bob = await openPage(two, pages.url, { url: server.url });
  });
  afterEach(async () => {
    await Promise.all([one.close(), two.close()]);
    await server.close();
  });

  test("what one writes the other sees, and both lights are green", async () => {
    await bob.evaluate(() => {
      globalThis.seen = [];
      db.watch({ sql: "SELECT title FROM book" }, (rows) => globalThis.seen.push(rows.map((row) => row.title)));
    });
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('1', 'Emma')");
    await until(bob, () => globalThis.seen.at(-1)?.[0] === "Emma");
    await Promise.all([until(alice, isState, "synced"), until(bob, isState, "synced")]);
    assert.deepEqual((await server.exec("SELECT title FROM book")).rows, [["Emma"]]);
    await server.exec("UPDATE book SET title = 'Persuasion'");
    await until(alice, () => db.query("SELECT title FROM book").then(([row]) => row.title === "Persuasion"));
  });

  test("an outage turns the light red, keeps what is written, and heals without a reload", async () => {
    await until(alice, isState, "synced");
    await server.stop();
    await until(alice, isState, "disconnected");
    await exec(alice, "INSERT INTO book (isbn) VALUES ('1'), ('2')");
    assert.ok((await alice.evaluate(() => db.status.current.pending.changes)) > 0);
    await alice.reload();
    await openDatabase(alice, { url: server.url });
    await until(alice, () => db.status.current.pending.changes > 0);
    await server.start();
    await Promise.all([until(alice, isState, "synced"), until(bob, count, 2)]);
    assert.equal(await alice.evaluate(() => db.status.current.pending.changes), 0);
  });

  test("pause and resume", async () => {
    await until(alice, isState, "synced");
    await alice.evaluate(() => db.pause());
    await until(alice, () => db.status.current.reason === "paused");
    await exec(bob, "INSERT INTO book (isbn) VALUES ('1')");
    await until(bob, isState, "synced");
    assert.equal((await query(alice, "SELECT * FROM book")).length, 0);
    await alice.evaluate(() => db.resume());
    await until(alice, count, 1);
  });

  test("the second tab syncs through the first, and goes on when that is closed", async () => {
    const tab = await openPage(one, pages.url, { url: server.url });
    await until(tab, isState, "synced");
    await exec(tab, "INSERT INTO book (isbn) VALUES ('1')");
    await until(bob, count, 1);
    await alice.close();
    await exec(tab, "INSERT INTO book (isbn) VALUES ('2')");
    await until(bob, count, 2);
    await until(tab, isState, "synced");
  });

  test("after a reset of the server the remedy is nuke, and its bundle holds what was never sent", async () => {
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('1', 'on the server')");
    await until(alice, isState, "synced");
    await alice.evaluate(() => db.pause());
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('2', 'never sent')");
    const reset = await fetch(`${server.url}/shop/reset`, { method: "POST" });
    assert.ok(reset.ok, await reset.text());
    await alice.evaluate(() => db.resume());
    await until(alice, isState, "incompatible");
    assert.equal(await alice.evaluate(() => db.status.current.remedy), "nuke_and_resync");
    const bundle = await alice.evaluate(() => db.nukeAndResync());
    assert.equal(bundle.reason, "lineage");
    await until(alice, isState, "synced");
    assert.equal((await query(alice, "SELECT * FROM book")).length, 0);
    const kinds = await alice.evaluate(async (id) => {
      const lines = (await (await db.readBundle(id)).text()).trim().split("\n").map((line) => JSON.parse(line));
      const file = lines.filter((line) => line.database).map((line) => atob(line.database)).join("");
      return { file: file.slice(0, 15), holds: file.includes("on the server"), end: lines.at(-1).end === lines.length - 1 };
    }, bundle.id);
    assert.deepEqual(kinds, { file: "SQLite format 3", holds: true, end: true });
    const written = { written: 1, refused: 0, refusals: [] };
    assert.deepEqual(await alice.evaluate((id) => db.replayBundle(id), bundle.id), written);
    await until(bob, isState, "incompatible");
    await until(alice, isState, "synced");
    assert.deepEqual((await server.exec("SELECT title FROM book")).rows, [["never sent"]]);
    // What the old server had acknowledged exists nowhere else now, and the bundle has it.
    const plan = await alice.evaluate((id) => db.previewBundle(id, { rows: "all" }), bundle.id);
    const told = { table: "book", added: 1, overwritten: 0, deleted: 0, equal: 1, unknown: 0, unknownColumns: [], samples: [] };
    assert.deepEqual(plan, { rows: 1, whole: true, tables: [told] });
    assert.deepEqual(await alice.evaluate((id) => db.replayBundle(id, { rows: "all" }), bundle.id), written);
    await until(alice, isState, "synced");
    assert.deepEqual((await server.exec("SELECT title FROM book ORDER BY isbn")).rows, [["on the server"], ["never sent"]]);
  });

  test("a change that can't be applied is set aside with why, stops no other, and is applied once it can be", async () => {
    // Bob's app has a rule of its own, so far.
    const picky = (schema) =>
      `${schema};\nCREATE TRIGGER picky BEFORE INSERT ON book WHEN new.isbn = '13' BEGIN SELECT RAISE(ABORT, 'no thirteen'); END;`;
    await bob.evaluate(() => db.close());
    await openDatabase(bob, { name: "shop", url: server.url, schema: picky(SCHEMA.trim().replace(/;$/, "")) });
    await until(bob, isState, "synced");
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('12', 'twelve'), ('13', 'thirteen'), ('14', 'fourteen')");
    await until(bob, isState, "stuck");
    assert.deepEqual((await query(bob, "SELECT isbn FROM book ORDER BY isbn")).map(({ isbn }) => isbn), ["12", "14"]);
    const status = await bob.evaluate(() => db.status.current);
    assert.deepEqual([status.reason, status.remedy], ["quarantined", "review_quarantine"]);
    const aside = await bob.evaluate(() => db.quarantined());
    assert.equal(aside.length, status.quarantined);
    assert.deepEqual([aside[0].table, aside[0].key, aside[0].reason], ["book", [{ text: "13" }], "no thirteen"]);
    // Too early: nothing changes. What is written here meanwhile still reaches the other.
    assert.deepEqual(await bob.evaluate(() => db.retryQuarantined()), { applied: 0 });
    await exec(bob, "INSERT INTO book (isbn, title) VALUES ('15', 'fifteen')");
    await until(alice, count, 4);
    // Left out by hand, the light is green again, and says how many; a reload or another upload doesn't change that.
    const left = await bob.evaluate((ids) => db.leaveOut(ids), aside.map(({ id }) => id));
    assert.deepEqual(left, { leftOut: aside.length });
    await until(bob, isState, "synced");
    assert.deepEqual(await bob.evaluate(() => [db.status.current.quarantined, db.status.current.leftOut]), [0, aside.length]);
    assert.deepEqual(await bob.evaluate(() => db.quarantined()), []);
    assert.match(await bob.evaluate(() => db.status.current.sentence), /but for what was left out by hand/);
    assert.equal(await bob.evaluate(() => db.leaveOut(["00"]).catch(({ code }) => code)), "invalid");
    // An app without the rule tries again by itself.
    await bob.evaluate(() => db.close());
    await openDatabase(bob, { name: "shop", url: server.url });
    await until(bob, isState, "synced");
    assert.equal(await bob.evaluate(() => db.status.current.leftOut), 0);
    await until(bob, count, 4);
  });

  test("a nuke while the server is out of reach saves everything: it may have been reset", async () => {
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('1', 'acknowledged')");
    await until(alice, isState, "synced");
    const green = await alice.evaluate(() => db.nukeAndResync());
    await until(alice, count, 1);
    await until(alice, isState, "synced");
    await server.stop();
    await until(alice, isState, "disconnected");
    const offline = await alice.evaluate(() => db.nukeAndResync());
    const preview = (id) => alice.evaluate((id) => db.previewBundle(id, { rows: "all" }), id);
    const [ofGreen, ofOffline] = [await preview(green.id), await preview(offline.id)];
    assert.deepEqual([ofGreen.whole, ofGreen.rows], [false, 0], "the server had it all");
    assert.deepEqual([ofOffline.whole, ofOffline.rows], [true, 1]);
  });

  test("a clock that is set, forwards or back, keeps no light green for too long and none from becoming so", async () => {
    const DAY_MS = 86_400_000;
    await alice.evaluate(() => db.close());
    await openDatabase(alice, { url: server.url, workerUrl: "/clock-worker.js" });
    await until(alice, isState, "synced");
    const set = (wrong) => alice.evaluate((wrong) => new BroadcastChannel("clock").postMessage(wrong), wrong);
    for (const [title, wrong] of [["ahead", DAY_MS], ["behind", -DAY_MS], ["far behind", -30 * DAY_MS], ["right", 0]]) {
      await set(wrong);
      await exec(alice, "INSERT INTO book (isbn, title) VALUES (?, ?)", [title, title]);
      await until(alice, isState, "synced");
      await until(bob, (title) => db.query("SELECT title FROM book").then((rows) => rows.some((row) => row.title === title)), title);
    }
    // Set back while the server stands still: the time that it has been silent is known all the same.
    server.child.kill("SIGSTOP");
    await set(-DAY_MS);
    const began = Date.now();
    await until(alice, () => !["synced", "syncing"].includes(db.status.current.state));
    assert.ok(Date.now() - began < 10_000, "the light left green in time");
    await set(-2 * DAY_MS);
    await alice.waitForTimeout(3_000);
    assert.notEqual(await alice.evaluate(() => db.status.current.state), "synced");
    server.child.kill("SIGCONT");
    await until(alice, isState, "synced");
  });

  test("a token function is asked at every connection, and its failure is no more than an outage", async () => {
    await alice.evaluate(() => db.close());
    await alice.evaluate(async ([url, schema]) => {
      globalThis.asked = 0;
      const token = async () => {
        globalThis.asked++;
        if (globalThis.asked === 1) throw new Error("no sign-in yet");
        return "a token";
      };
      globalThis.db = await greenlight.open({ name: "shop", url, schema, token, warnBeforeUnload: false });
    }, [server.url, (await import("./browser.mjs")).SCHEMA]);
    await until(alice, isState, "synced");
    assert.ok((await alice.evaluate(() => globalThis.asked)) >= 2);
  });
});
