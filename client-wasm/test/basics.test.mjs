// One tab, no server: open, write, read, types, errors, transactions, watches, reload.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { exec, launch, openDatabase, openPage, query, rejection, serve, until } from "./browser.mjs";

describe("one tab", () => {
  let server, browser, page;
  before(async () => (server = await serve()));
  after(() => server.close());
  beforeEach(async () => {
    browser = await launch();
    page = await openPage(browser, server.url);
  });
  afterEach(() => browser.close());

  test("what was written is there after a reload", async () => {
    const { changes } = await exec(page, "INSERT INTO book (isbn, title) VALUES (?, ?)", ["9780141439587", "Emma"]);
    assert.equal(changes, 1);
    await page.reload();
    await openDatabase(page);
    const rows = await query(page, "SELECT isbn, title, pages FROM book");
    assert.deepEqual(rows, [{ isbn: "9780141439587", title: "Emma", pages: null }]);
  });

  test("values keep their type and integers follow the option", async () => {
    const found = await page.evaluate(async () => {
      const big = 2n ** 62n + 1n;
      await db.exec("INSERT INTO book VALUES (?, ?, ?, ?, ?)", ["1", "ä\u{1f600}", big, 2.5, new Uint8Array([0, 255])]);
      await db.exec("INSERT INTO book (isbn, pages) VALUES (?, ?)", ["2", 7]);
      const rows = await db.query("SELECT title, pages, price, cover FROM book ORDER BY isbn");
      return [
        rows[0].title === "ä\u{1f600}",
        rows[0].pages === big,
        rows[0].price === 2.5,
        rows[0].cover instanceof Uint8Array && rows[0].cover.join() === "0,255",
        rows[1].pages === 7,
        rows[1].cover === null,
      ];
    });
    assert.deepEqual(found, Array(6).fill(true));
    await page.evaluate(() => db.close());
    await openDatabase(page, { integers: "bigint" });
    const type = await page.evaluate(async () => typeof (await db.query("SELECT pages FROM book WHERE isbn = '2'"))[0].pages);
    assert.equal(type, "bigint");
  });

  test("errors are typed and leave the data as it was", async () => {
    const codes = [];
    for (const call of [
      "(db) => db.exec('SELEC 1')",
      "(db) => db.exec('INSERT INTO book (isbn) VALUES (1); INSERT INTO nowhere VALUES (1)')",
      "(db) => db.query('DELETE FROM book')",
      "(db) => db.exec('DELETE FROM greenlight_state')",
      "(db) => db.exec('INSERT INTO book (isbn) VALUES (?)', [{}])",
      "(db) => db.exec('INSERT INTO book (isbn) VALUES (?)', [2n ** 70n])",
      "(db) => db.exec('INSERT INTO book (isbn) VALUES (?)', [() => 1])",
      "(db) => db.readBundle('0')",
    ]) {
      const { name, code } = await rejection(page, call);
      assert.equal(name, "GreenlightError");
      codes.push(code);
    }
    assert.deepEqual(codes, ["sql", "sql", "sql", "sql", "invalid", "invalid", "invalid", "not_found"]);
    assert.deepEqual(await query(page, "SELECT * FROM book"), []);
  });

  test("a transaction is kept whole, rolled back whole, and has the database to itself", async () => {
    const seen = await page.evaluate(async () => {
      const titles = async () => (await db.query("SELECT title FROM book ORDER BY isbn")).map((row) => row.title);
      await db.transaction(async (tx) => {
        await tx.exec("INSERT INTO book (isbn, title) VALUES ('1', 'one')");
        await tx.exec("INSERT INTO book (isbn, title) VALUES ('2', 'two')");
      });
      const kept = await titles();
      const thrown = await db
        .transaction(async (tx) => {
          await tx.exec("DELETE FROM book");
          throw new Error("changed my mind");
        })
        .catch((error) => error.message);
      const rolledBack = await titles();
      // A write from outside waits, and so does a read: it must not see what may be rolled back.
      let outside;
      await db.transaction(async (tx) => {
        await tx.exec("UPDATE book SET title = 'uno' WHERE isbn = '1'");
        outside = Promise.all([titles(), db.exec("UPDATE book SET title = title || '!'")]);
        await tx.exec("UPDATE book SET title = 'due' WHERE isbn = '2'");
      });
      return { kept, thrown, rolledBack, outside: (await outside)[0], end: await titles() };
    });
    assert.deepEqual(seen, {
      kept: ["one", "two"],
      thrown: "changed my mind",
      rolledBack: ["one", "two"],
      outside: ["uno", "due"],
      end: ["uno!", "due!"],
    });
  });

  test("a transaction that takes too long is rolled back and says so", async () => {
    const error = await rejection(
      page,
      `(db) => db.transaction(async (tx) => {
        await tx.exec("INSERT INTO book (isbn) VALUES ('1')");
        await db.query("SELECT 1");
        await tx.exec("INSERT INTO book (isbn) VALUES ('2')");
      })`,
    );
    assert.equal(error.code, "timeout");
    assert.deepEqual(await query(page, "SELECT * FROM book"), []);
    await exec(page, "INSERT INTO book (isbn) VALUES ('3')");
  });

  test("watches tell of tables and of rows that differ", async () => {
    await page.evaluate(() => {
      globalThis.tables = [];
      globalThis.rows = [];
      db.watch(["shelf"], (tables) => globalThis.tables.push(tables));
      globalThis.end = db.watch({ sql: "SELECT copies FROM stock WHERE isbn = ?", params: ["1"] }, (rows) =>
        globalThis.rows.push(rows.map((row) => row.copies)),
      );
    });
    await until(page, () => globalThis.rows.length === 1);
    await exec(page, "INSERT INTO shelf VALUES ('a', '1', 2)");
    await until(page, () => globalThis.rows.length === 2);
    // Another table, and a row that the query does not return: neither calls back.
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    await exec(page, "INSERT INTO shelf VALUES ('a', '2', 9)");
    await exec(page, "UPDATE shelf SET copies = 5 WHERE isbn = '1'");
    await until(page, () => globalThis.rows.length === 3);
    await page.evaluate(() => globalThis.end());
    await exec(page, "UPDATE shelf SET copies = 6 WHERE isbn = '1'");
    await until(page, () => globalThis.tables.length === 4);
    assert.deepEqual(await page.evaluate(() => globalThis.rows), [[], [2], [5]]);
    assert.deepEqual(await page.evaluate(() => globalThis.tables), [["shelf"], ["shelf"], ["shelf"], ["shelf"]]);
  });

  test("what is pending is counted, listed, exported", async () => {
    await exec(page, "INSERT INTO book (isbn, title) VALUES ('1', 'a'), ('2', 'b')");
    await exec(page, "INSERT INTO shelf VALUES ('a', '1', 1)");
    await until(page, () => db.status.current.pending.changes > 0);
    const sum = await page.evaluate(async () => {
      const tables = await db.pendingByTable();
      const lines = (await (await db.exportPending()).text()).trim().split("\n").map((line) => JSON.parse(line));
      const shown = db.status.current.pending.changes;
      return { tables, shown, changes: lines[0].changes, saved: lines.slice(1, -1).length, end: lines.at(-1) };
    });
    assert.deepEqual(sum.tables.map(({ table }) => table), ["book", "shelf"]);
    const counted = sum.tables.reduce((total, { changes }) => total + changes, 0);
    const [{ own }] = await query(
      page,
      "SELECT count(*) AS own FROM crsql_changes WHERE site_id = crsql_site_id()",
    );
    assert.deepEqual([sum.shown, sum.changes, sum.saved, sum.end.end], [counted, counted, counted, counted + 1]);
    assert.equal(own, counted);
  });

  test("nuke keeps what was pending in a bundle, which can be replayed and discarded", async () => {
    await exec(page, "INSERT INTO book (isbn, title) VALUES ('1', 'a'), ('2', 'b')");
    await exec(page, "DELETE FROM book WHERE isbn = '2'");
    const before = await page.evaluate(() => db.status.current.diagnostics.siteId);
    const bundle = await page.evaluate(() => db.nukeAndResync());
    assert.deepEqual(await query(page, "SELECT * FROM book"), []);
    await until(page, (before) => db.status.current.diagnostics.siteId !== before, before);
    assert.equal(await page.evaluate(() => db.status.current.pending.changes), 0);
    assert.deepEqual(await page.evaluate(() => db.bundles()), [bundle]);
    assert.ok(bundle.changes > 0 && bundle.bytes > 0);
    const text = await page.evaluate(async (id) => (await db.readBundle(id)).text(), bundle.id);
    assert.equal(text.length, bundle.bytes);
    const { written } = await page.evaluate((id) => db.replayBundle(id), bundle.id);
    assert.equal(written, 1, "the row that was deleted is not here");
    assert.deepEqual(await query(page, "SELECT isbn, title FROM book"), [{ isbn: "1", title: "a" }]);
    await page.evaluate((id) => db.discardBundle(id), bundle.id);
    assert.deepEqual(await page.evaluate(() => db.bundles()), []);
  });

  test("a replay of many rows is written in batches, and once", async () => {
    await exec(
      page,
      "INSERT INTO book (isbn, title) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4500) SELECT i, 'x' FROM n",
    );
    const { id } = await page.evaluate(() => db.nukeAndResync());
    const plan = await page.evaluate((id) => db.previewBundle(id), id);
    assert.deepEqual([plan.rows, plan.tables[0].added], [4500, 4500]);
    const { written } = await page.evaluate((id) => db.replayBundle(id), id);
    assert.equal(written, 4500);
    const [{ versions }] = await query(page, "SELECT count(DISTINCT db_version) AS versions FROM crsql_changes");
    assert.equal(versions, 5);
    assert.equal((await page.evaluate((id) => db.replayBundle(id), id)).written, 0);
  });

  test("a nuke that was cut off after its bundle is finished at the next open", async () => {
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    await page.evaluate(async () => {
      await db.close();
      const root = await navigator.storage.getDirectory();
      const folder = await (await root.getDirectoryHandle("greenlight-bundles", { create: true })).getDirectoryHandle(
        "shop",
        { create: true },
      );
      await folder.getFileHandle("nuke-under-way.call.bundle", { create: true });
      await folder.getFileHandle("0.part", { create: true });
    });
    await openDatabase(page);
    assert.deepEqual(await query(page, "SELECT * FROM book"), []);
    const left = await page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folder = await (await root.getDirectoryHandle("greenlight-bundles")).getDirectoryHandle("shop");
      return Array.fromAsync(folder.keys());
    });
    assert.deepEqual(left, ["nuke-done.call.bundle"]);
  });

  test("destroy leaves nothing, close leaves everything", async () => {
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    await page.evaluate(() => db.close());
    assert.equal((await rejection(page, "(db) => db.query('SELECT 1')")).code, "closed");
    await openDatabase(page);
    assert.equal((await query(page, "SELECT * FROM book")).length, 1);
    await page.evaluate(() => db.destroy());
    await openDatabase(page);
    assert.equal((await query(page, "SELECT * FROM book")).length, 0);
  });

  test("in memory, where asked for, the light says so", async () => {
    await page.evaluate(() => db.close());
    await openDatabase(page, { memory: "always" });
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    assert.equal((await query(page, "SELECT * FROM book")).length, 1);
    await until(page, () => db.status.current.diagnostics.memory);
    await page.evaluate(() => db.close());
    await openDatabase(page);
    assert.equal((await query(page, "SELECT * FROM book")).length, 0);
  });

  test("a bad schema is told when it is opened", async () => {
    await page.evaluate(() => db.close());
    const open = (schema) => rejection(page, `(db, schema) => greenlight.open({ name: "other", url: "", schema })`, schema);
    assert.equal((await open("CREATE TABLE a (b)")).code, "schema");
    const unique = "-- schema: shop 1\nCREATE TABLE a (id TEXT NOT NULL PRIMARY KEY, b TEXT UNIQUE);";
    assert.equal((await open(unique)).code, "schema");
  });
});
