// A Nuke and Resync that is cut off: the tab ends at each named step. What is found at the next open is one of two: the
// old database as it was, or a complete bundle of all of it and a new, empty database. And a nuke happens once, however
// many tabs go while it is asked for.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { exec, launch, openDatabase, openPage, query, serve, until } from "./browser.mjs";

/** Up to these the database is as it was; where the bundle is complete already, it is kept. */
const BEFORE = { begun: 0, half: 0, file: 0, flushed: 0, complete: 1 };
/** From these on the database is a new one. */
const AFTER = ["marked", "opened", "recorded", "finished"];
const ROWS = [
  { isbn: "1", title: "one" },
  { isbn: "2", title: "two" },
];

const books = (page) => query(page, "SELECT isbn, title FROM book ORDER BY isbn");
const siteId = async (page) => (await query(page, "SELECT hex(crsql_site_id()) AS id"))[0].id;
const stopping = (at) => `/stopping-worker.js?at=${encodeURIComponent(at)}`;

/** The files beside the bundles that are complete. */
const leftOver = (page, name = "shop") =>
  page.evaluate(async (name) => {
    const root = await navigator.storage.getDirectory();
    const folder = await (await root.getDirectoryHandle("greenlight-bundles")).getDirectoryHandle(name);
    const files = await Array.fromAsync(folder.keys());
    return files.filter((file) => !file.endsWith(".jsonl")).map((file) => file.split(".")[0]);
  }, name);

/** What a bundle holds: whether it is whole, and the titles in it. */
const content = (page, id) =>
  page.evaluate(async (id) => {
    const lines = (await (await db.readBundle(id)).text()).trim().split("\n").map((line) => JSON.parse(line));
    const titles = lines.filter((line) => line.column === "title" && !line.acknowledged).map((line) => line.value.text);
    return { complete: lines.at(-1).end === lines.length - 1, file: lines.some((line) => line.database), titles };
  }, id);

/** Opens a database whose worker stops at a point, and has it nuked up to there. */
async function stopAt(browser, url, at, name = "shop") {
  const page = await openPage(browser, url, { name, workerUrl: stopping(at) });
  await exec(page, "INSERT INTO book (isbn, title) VALUES ('1', 'one'), ('2', 'two')");
  const site = await siteId(page);
  await page.evaluate(() => {
    const channel = new BroadcastChannel("stopping");
    globalThis.said = [];
    channel.onmessage = ({ data }) => globalThis.said.push(data);
    globalThis.nuked = db.nukeAndResync().then(
      (bundle) => ({ bundle }),
      ({ code, message }) => ({ code, message }),
    );
  });
  if (at !== "never" && at !== "broken") await until(page, (at) => globalThis.said.includes(at), at);
  return { page, site };
}

describe("a nuke that is cut off", () => {
  let server, browser;
  before(async () => (server = await serve()));
  after(() => server.close());
  beforeEach(async () => (browser = await launch()));
  afterEach(() => browser.close());

  /** Ends the page and opens the database in another, with the package's own worker. */
  async function comeBack(page, name = "shop") {
    const next = await browser.context.newPage();
    await page.close();
    await next.goto(server.url);
    await openDatabase(next, { name });
    return next;
  }

  async function assertOld(page, site, bundles, name) {
    assert.deepEqual(await books(page), ROWS);
    assert.equal(await siteId(page), site);
    // Four cells of each row.
    await until(page, () => db.status.current.pending.changes === 8);
    assert.equal((await page.evaluate(() => db.bundles())).length, bundles);
    assert.deepEqual(await leftOver(page, name), []);
  }

  async function assertNew(page, site, name) {
    assert.deepEqual(await books(page), []);
    assert.notEqual(await siteId(page), site);
    assert.equal(await page.evaluate(() => db.status.current.pending.changes), 0);
    const bundles = await page.evaluate(() => db.bundles());
    assert.equal(bundles.length, 1);
    assert.deepEqual(await content(page, bundles[0].id), { complete: true, file: true, titles: ["one", "two"] });
    assert.deepEqual(await leftOver(page, name), ["nuke-done"]);
    // And from there everything comes back.
    assert.equal((await page.evaluate((id) => db.replayBundle(id, { rows: "all" }), bundles[0].id)).written, 2);
    assert.deepEqual(await books(page), ROWS);
  }

  for (const [at, bundles] of Object.entries(BEFORE)) {
    test(`at "${at}" leaves the database as it was`, async () => {
      const { page, site } = await stopAt(browser, server.url, at);
      const next = await comeBack(page);
      await assertOld(next, site, bundles);
      // And the next nuke is carried out.
      await next.evaluate(() => db.nukeAndResync());
      assert.deepEqual(await books(next), []);
      assert.equal((await next.evaluate(() => db.bundles())).length, bundles + 1);
    });
  }

  for (const at of AFTER) {
    test(`at "${at}" leaves a complete bundle and a new database`, async () => {
      const { page, site } = await stopAt(browser, server.url, at);
      await assertNew(await comeBack(page), site);
    });
  }

  test("anywhere within the drop leaves a complete bundle and a new database", async () => {
    const { page } = await stopAt(browser, server.url, "never", "counted");
    await until(page, () => globalThis.said.some((said) => said.startsWith("drop took ")));
    const steps = Number((await page.evaluate(() => globalThis.said.at(-1))).slice("drop took ".length));
    await page.close();
    assert.ok(steps > 10, `a drop and an empty database take ${steps} steps`);
    // Each of the first ones, where the files are cleared, and some of those that make the new database.
    const points = [0, 1, 2, 3, 4, 5, 6, Math.floor(steps / 3), Math.floor(steps / 2), steps - 1];
    for (const point of points) {
      const name = `drop-${point}`;
      const { page, site } = await stopAt(browser, server.url, `drop ${point}`, name);
      await assertNew(await comeBack(page, name), site, name);
    }
  });

  test("a client that is closed meanwhile leaves one of the two, and nothing half-written", async () => {
    for (const [at, old] of [["begun", true], ["flushed", true], ["marked", false]]) {
      const name = `closed-${at}`;
      const { page, site } = await stopAt(browser, server.url, at, name);
      await page.evaluate(() => db.close());
      assert.equal((await page.evaluate(() => globalThis.nuked)).code, "closed");
      const next = await comeBack(page, name);
      await (old ? assertOld(next, site, 0, name) : assertNew(next, site, name));
    }
  });

  test("a drop that fails is finished by another worker, without a reload, and answered", async () => {
    const { page, site } = await stopAt(browser, server.url, "broken");
    await page.evaluate(() => globalThis.nuked.then((nuked) => (globalThis.result = nuked))).catch(() => undefined);
    const { bundle } = await page.evaluate(() => globalThis.nuked);
    assert.ok(bundle, "the call is answered with its bundle");
    assert.deepEqual(await page.evaluate(() => db.bundles()), [bundle]);
    await assertNew(page, site);
  });

  for (const at of ["complete", "marked", "opened", "recorded", "finished"]) {
    test(`another tab's nuke is carried out once when the leading tab ends at "${at}"`, async () => {
      const leader = await openPage(browser, server.url, { workerUrl: stopping(at) });
      const tab = await openPage(browser, server.url);
      await exec(leader, "INSERT INTO book (isbn, title) VALUES ('1', 'one'), ('2', 'two')");
      await tab.evaluate(() => {
        globalThis.said = [];
        new BroadcastChannel("stopping").onmessage = ({ data }) => globalThis.said.push(data);
        globalThis.nuked = db.nukeAndResync();
        // Asked for after the nuke, so that it is to be there after it.
        globalThis.written = db.exec("INSERT INTO book (isbn, title) VALUES ('3', 'three')");
      });
      await until(tab, (at) => globalThis.said.includes(at), at);
      await leader.close();
      const { id } = await tab.evaluate(() => globalThis.nuked);
      await tab.evaluate(() => globalThis.written);
      assert.deepEqual(await books(tab), [{ isbn: "3", title: "three" }]);
      const bundles = await tab.evaluate(() => db.bundles());
      // A bundle that was complete before anything was marked is kept beside the one of the nuke that was carried out.
      assert.equal(bundles.length, at === "complete" ? 2 : 1);
      assert.ok(bundles.some((bundle) => bundle.id === id));
      assert.deepEqual((await content(tab, id)).titles, ["one", "two"]);
    });
  }
});
