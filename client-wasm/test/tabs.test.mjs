// Several tabs of one browser, no server: one leads, the others go through it, and nothing is lost when it goes.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { exec, launch, openDatabase, openPage, query, rejection, SCHEMA, serve, until } from "./browser.mjs";

const leads = (page) => page.evaluate(() => db.status.current.diagnostics.leader);
const isbns = async (page) => (await query(page, "SELECT isbn FROM book ORDER BY isbn")).map((row) => row.isbn);

describe("tabs", () => {
  let server, browser, first, second;
  before(async () => (server = await serve()));
  after(() => server.close());
  beforeEach(async () => {
    browser = await launch();
    first = await openPage(browser, server.url);
    second = await openPage(browser, server.url);
  });
  afterEach(() => browser.close());

  test("the second tab writes and reads through the first, and both see the same", async () => {
    assert.deepEqual([await leads(first), await leads(second)], [true, false]);
    assert.deepEqual(await exec(second, "INSERT INTO book (isbn) VALUES ('1'), ('2')"), { changes: 2 });
    assert.deepEqual(await isbns(first), ["1", "2"]);
    const [{ own }] = await query(first, "SELECT count(*) AS own FROM crsql_changes");
    const pending = (own) => db.status.current.pending.changes === own;
    await Promise.all([until(first, pending, own), until(second, pending, own)]);
    const error = await rejection(second, "(db) => db.exec('INSERT INTO nowhere VALUES (1)')");
    assert.deepEqual([error.name, error.code], ["GreenlightError", "sql"]);
  });

  test("when the leading tab is closed, another takes over with what was written and watched", async () => {
    await exec(second, "INSERT INTO book (isbn) VALUES ('1')");
    await second.evaluate(() => {
      globalThis.seen = [];
      db.watch({ sql: "SELECT isbn FROM book ORDER BY isbn" }, (rows) => globalThis.seen.push(rows.map((row) => row.isbn)));
    });
    await until(second, () => globalThis.seen.length === 1);
    await first.close();
    await exec(second, "INSERT INTO book (isbn) VALUES ('2')");
    assert.equal(await leads(second), true);
    await until(second, () => globalThis.seen.length === 2);
    assert.deepEqual(await second.evaluate(() => globalThis.seen), [["1"], ["1", "2"]]);
    const third = await openPage(browser, server.url);
    assert.deepEqual(await isbns(third), ["1", "2"]);
  });

  test("writes in flight while leaders come and go are each done once", async () => {
    // Every tab counts up the same cell while tabs that lead are closed under it.
    const third = await openPage(browser, server.url);
    await exec(third, "INSERT INTO shelf VALUES ('a', '1', 0)");
    await third.evaluate(() => {
      globalThis.writes = (async () => {
        let done = 0;
        for (let i = 0; i < 200; i++) {
          await db.exec("UPDATE shelf SET copies = copies + 1 WHERE place = 'a'");
          done++;
        }
        return done;
      })();
    });
    for (const leader of [first, second]) {
      await until(third, (copies) => db.query("SELECT copies FROM shelf").then((rows) => rows[0].copies > copies), 5);
      await leader.close();
    }
    assert.equal(await third.evaluate(() => globalThis.writes), 200);
    assert.deepEqual(await query(third, "SELECT copies FROM shelf"), [{ copies: 200 }]);
  });

  test("a write that was done, and whose answer was lost, is answered and not done again", async () => {
    // The worker hears the same call twice, as after a lost answer.
    const channel = await second.evaluate(async () => {
      const id = "f".repeat(32);
      const call = { id, integers: "auto", request: { kind: "exec", sql: "INSERT INTO book (isbn, title) VALUES ('1', 'a') ON CONFLICT DO UPDATE SET title = title || 'a'" } };
      const { held } = await navigator.locks.query();
      const tabs = held.map(({ name }) => name).filter((name) => name.startsWith("greenlight:shop:tab:"));
      for (const name of [...tabs, ...tabs]) {
        const to = new BroadcastChannel(name);
        to.postMessage({ kind: "call", from: "nobody", call });
        await new Promise((resolve) => setTimeout(resolve, 300));
        to.close();
      }
      return tabs.length;
    });
    assert.equal(channel, 2);
    assert.deepEqual(await query(second, "SELECT title FROM book"), [{ title: "a" }]);
  });

  test("a transaction whose leading tab goes away runs again", async () => {
    await exec(second, "INSERT INTO shelf VALUES ('a', '1', 1)");
    const running = second.evaluate(async () => {
      globalThis.runs = 0;
      await db.transaction(async (tx) => {
        globalThis.runs++;
        const [{ copies }] = await tx.query("SELECT copies FROM shelf");
        await tx.exec("UPDATE shelf SET copies = ?", [copies * 2]);
        if (globalThis.runs === 1) await new Promise((resolve) => (globalThis.go = resolve));
        await tx.exec("INSERT INTO book (isbn) VALUES ('1')");
      });
    });
    await until(second, () => globalThis.go !== undefined);
    await first.close();
    await second.evaluate(() => globalThis.go());
    await running;
    assert.equal(await second.evaluate(() => globalThis.runs), 2);
    assert.deepEqual(await query(second, "SELECT copies FROM shelf"), [{ copies: 2 }]);
    assert.deepEqual(await isbns(second), ["1"]);
  });

  test("a transaction of a tab that goes away is rolled back", async () => {
    second.evaluate(() => db.transaction(async (tx) => {
      await tx.exec("INSERT INTO book (isbn) VALUES ('1')");
      globalThis.open = true;
      await new Promise(() => {});
    })).catch(() => {});
    await until(second, () => globalThis.open);
    await second.close();
    assert.deepEqual(await isbns(first), []);
  });

  test("a leading tab that is about to be frozen hands over, and joins again", async () => {
    await exec(first, "INSERT INTO book (isbn) VALUES ('1')");
    await first.evaluate(() => document.dispatchEvent(new Event("freeze")));
    await until(second, () => db.status.current.diagnostics.leader);
    await exec(second, "INSERT INTO book (isbn) VALUES ('2')");
    await first.evaluate(() => document.dispatchEvent(new Event("resume")));
    assert.deepEqual(await isbns(first), ["1", "2"]);
    assert.equal(await leads(first), false);
  });

  test("a leading tab that does not answer shows as frozen, and what is written meanwhile is kept", async () => {
    // A lock without a word: what the others see of a tab whose worker is frozen.
    await first.close();
    await second.close();
    const frozen = await browser.context.newPage();
    await frozen.goto(server.url);
    await frozen.evaluate(
      () => new Promise((held) => navigator.locks.request("greenlight:shop", () => (held(), new Promise((go) => (globalThis.go = go))))),
    );
    const waiting = await openPage(browser, server.url);
    await until(waiting, () => db.status.current.reason === "leader_frozen");
    assert.equal(await waiting.evaluate(() => db.status.current.state), "stuck");
    const write = exec(waiting, "INSERT INTO book (isbn) VALUES ('kept')");
    await frozen.evaluate(() => globalThis.go());
    assert.deepEqual(await write, { changes: 1 });
    await until(waiting, () => db.status.current.state === "disconnected");
    assert.deepEqual(await isbns(waiting), ["kept"]);
  });

  test("when a newer version of the app is opened, the older tabs say so", async () => {
    await exec(first, "INSERT INTO book (isbn) VALUES ('1')");
    const newer = SCHEMA.replace("shop 1", "shop 2").replace("cover BLOB", "cover BLOB, edition TEXT");
    const third = await openPage(browser, server.url, { schema: newer });
    for (const page of [first, second]) {
      await until(page, () => db.status.current.reason === "older_tab");
      assert.equal(await page.evaluate(() => db.status.current.remedy), "reload");
      assert.equal((await rejection(page, "(db) => db.query('SELECT 1')")).code, "older_tab");
    }
    assert.deepEqual(await query(third, "SELECT isbn, edition FROM book"), [{ isbn: "1", edition: null }]);
    // The other way round: an older one that comes later.
    await second.reload();
    const late = await rejection(second, "(db, schema) => greenlight.open({ name: 'shop', url: '', schema })", SCHEMA);
    assert.equal(late.code, "older_tab");
  });

  test("nuke and destroy are for all tabs", async () => {
    await exec(second, "INSERT INTO book (isbn) VALUES ('1')");
    await first.evaluate(() => {
      globalThis.tables = new Promise((resolve) => db.watch(["book"], resolve));
    });
    const bundle = await second.evaluate(() => db.nukeAndResync());
    assert.ok(bundle.changes > 0);
    assert.deepEqual(await first.evaluate(() => globalThis.tables), ["book"]);
    assert.deepEqual(await isbns(first), []);
    assert.equal((await first.evaluate(() => db.bundles())).length, 1);
    await second.evaluate(() => db.destroy());
    await until(first, () => db.status.current.reason === "closed");
    assert.equal((await rejection(first, "(db) => db.query('SELECT 1')")).code, "closed");
    await openDatabase(second);
    assert.deepEqual(await isbns(second), []);
  });
});
