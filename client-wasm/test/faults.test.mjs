// What goes wrong on the device: a full disk, a module that breaks, a worker that can't be loaded, no file system.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { exec, launch, openDatabase, openPage, query, rejection, SCHEMA, serve, until } from "./browser.mjs";

describe("faults", () => {
  let server, browser;
  before(async () => (server = await serve()));
  after(() => server.close());
  beforeEach(async () => (browser = await launch()));
  afterEach(() => browser.close());

  test("a full disk is an error with a code, shows in the light, and passes", async () => {
    const page = await openPage(browser, server.url);
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    const browserSession = await browser.context.newCDPSession(page);
    const { origin } = new URL(server.url);
    await browserSession.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 1_000_000 });
    const error = await rejection(
      page,
      "(db) => db.exec('INSERT INTO book (isbn, cover) VALUES (?, ?)', ['2', new Uint8Array(4_000_000)])",
    );
    assert.deepEqual([error.name, error.code], ["GreenlightError", "storage_full"]);
    await until(page, () => db.status.current.reason === "storage_full");
    assert.equal(await page.evaluate(() => db.status.current.remedy), "free_space");
    assert.deepEqual(await query(page, "SELECT isbn FROM book"), [{ isbn: "1" }]);
    await browserSession.send("Storage.overrideQuotaForOrigin", { origin });
    // Nobody writes, and nobody reloads.
    await until(page, () => db.status.current.reason !== "storage_full");
    await page.evaluate(() => db.exec("INSERT INTO book (isbn, cover) VALUES (?, ?)", ["2", new Uint8Array(4_000_000)]));
    assert.equal((await query(page, "SELECT * FROM book")).length, 2);
  });

  test("a write that is refused for what it says is an error, and no fault of the storage", async () => {
    const page = await openPage(browser, server.url);
    await until(page, () => db.status.current.reason === "offline");
    const error = await rejection(page, "(db) => db.exec('INSERT INTO book (isbn) VALUES (?)', ['x'.repeat(9_000)])");
    assert.equal(error.name, "GreenlightError");
    assert.equal(await page.evaluate(() => db.status.current.reason), "offline");
    assert.deepEqual(await query(page, "SELECT isbn FROM book"), []);
  });

  test("a nuke without room for its bundle drops nothing", async () => {
    const page = await openPage(browser, server.url);
    await page.evaluate(() => db.exec("INSERT INTO book (isbn, cover) VALUES (?, ?)", ["1", new Uint8Array(4_000_000)]));
    const { origin } = new URL(server.url);
    const session = await browser.context.newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 5_000_000 });
    const error = await rejection(page, "(db) => db.nukeAndResync()");
    assert.equal(error.code, "storage_full");
    assert.equal((await query(page, "SELECT * FROM book")).length, 1);
    assert.deepEqual(await page.evaluate(() => db.bundles()), []);
  });

  test("a worker whose module breaks is replaced, and only what broke it fails", async () => {
    const page = await openPage(browser, server.url, { workerUrl: "/breaking-worker.js" });
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    await page.evaluate(() => {
      globalThis.seen = 0;
      db.watch({ sql: "SELECT isbn FROM book" }, () => globalThis.seen++);
    });
    await until(page, () => globalThis.seen === 1);
    const [broken, written] = await page.evaluate(() =>
      Promise.all([
        db.query("SELECT 'BREAK'").catch(({ code }) => code),
        db.exec("INSERT INTO book (isbn) VALUES ('2')").then(({ changes }) => changes),
      ]),
    );
    assert.deepEqual([broken, written], ["worker", 1]);
    await until(page, () => globalThis.seen === 2);
    assert.equal((await query(page, "SELECT * FROM book")).length, 2);
    for (let i = 0; i < 3; i++) assert.equal((await rejection(page, "(db) => db.query(\"SELECT 'BREAK'\")")).code, "worker");
    await until(page, () => db.status.current.reason === "worker_broken");
    assert.equal((await rejection(page, "(db) => db.query('SELECT 1')")).code, "worker");
  });

  test("a worker or module that can't be loaded is told by open", async () => {
    const page = await browser.context.newPage();
    await page.goto(server.url);
    const open = (options) =>
      rejection(page, "(db, options) => greenlight.open(options)", { name: "shop", url: "", schema: SCHEMA, ...options });
    assert.equal((await open({ workerUrl: "/nowhere.js" })).code, "worker");
    assert.equal((await open({ wasmUrl: "/nowhere.wasm" })).code, "worker");
    assert.equal((await open({ name: "../etc" })).code, "invalid");
    assert.equal((await open({ url: "ftp://host" })).code, "invalid");
  });

  test("without a file system, open refuses or keeps the database in memory, as the app said", async () => {
    const page = await browser.context.newPage();
    await page.goto(server.url);
    const workerUrl = "/without-files-worker.js";
    const refused = await rejection(page, "(db, options) => greenlight.open(options)", {
      name: "shop",
      url: "",
      schema: SCHEMA,
      workerUrl,
    });
    assert.equal(refused.code, "opfs_unavailable");
    await openDatabase(page, { workerUrl, memory: "fallback" });
    await exec(page, "INSERT INTO book (isbn) VALUES ('1')");
    assert.equal((await query(page, "SELECT * FROM book")).length, 1);
    await until(page, () => db.status.current.diagnostics.memory);
  });
});
