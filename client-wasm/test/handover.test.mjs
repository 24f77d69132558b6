// The leading tab goes, or stands still, at each step of a write's way: while it is written, sent, acknowledged; and
// while another's write is applied. Another tab takes over: what was written is here and on the server, once.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { exec, launch, openPage, query, serve, until } from "./browser.mjs";
import { startServer } from "./server.mjs";

const isState = (state) => db.status.current.state === state;
const stopping = (at) => `/stopping-worker.js?at=${encodeURIComponent(at)}`;
const copies = (page, place) => query(page, "SELECT copies FROM shelf WHERE place = ?", [place]).then(([row]) => row.copies);
const sees = ([place, copies]) =>
  db.query("SELECT copies FROM shelf WHERE place = ?", [place]).then(([row]) => row?.copies === copies);
/** Of a piece of work that takes so many operations on files: the first ones, one in the middle, the last. */
const some = (count) => [...new Set([0, 1, Math.floor(count / 2), count - 1])];

describe("the leading tab goes", () => {
  let pages, server, browser, places = 0;
  before(async () => {
    pages = await serve();
    server = await startServer({ origin: new URL(pages.url).origin });
    browser = await launch();
  });
  after(async () => {
    await browser.close();
    await server.close();
    await pages.close();
  });

  /** Two tabs, the first of which leads and will stop. */
  async function twoTabs(at) {
    const leader = await openPage(browser, pages.url, { url: server.url, workerUrl: stopping(at) });
    const tab = await openPage(browser, pages.url, { url: server.url });
    await tab.evaluate(() => {
      globalThis.said = [];
      new BroadcastChannel("stopping").onmessage = ({ data }) => globalThis.said.push(data);
    });
    await until(tab, isState, "synced");
    return { leader, tab };
  }

  /** A row that was not there before, and is in the browser's database once this has ended. */
  async function newRow() {
    const place = `place ${places++}`;
    await server.exec("INSERT INTO shelf VALUES (?, '1', 5)", [place]);
    const page = await openPage(browser, pages.url, { url: server.url });
    await until(page, sees, [place, 5]);
    await until(page, isState, "synced");
    await page.close();
    return place;
  }

  const add = (tab, place) =>
    tab.evaluate((place) => {
      globalThis.done = db.exec("UPDATE shelf SET copies = copies + 1 WHERE place = ?", [place]);
    }, place);

  async function held(place, copies) {
    assert.deepEqual((await server.exec("SELECT copies FROM shelf WHERE place = ?", [place])).rows, [[copies]]);
  }

  /** How many operations on files the pieces of work take. */
  async function measure() {
    const place = await newRow();
    const { leader, tab } = await twoTabs("never");
    await add(tab, place);
    await until(tab, () => ["write", "record"].every((work) => globalThis.said.some((said) => said.startsWith(`${work} took`))));
    await until(tab, isState, "synced");
    await server.exec("UPDATE shelf SET copies = 9 WHERE place = ?", [place]);
    await until(tab, sees, [place, 9]);
    const said = await tab.evaluate(() => globalThis.said);
    await Promise.all([leader.close(), tab.close()]);
    const took = (work) => Number(said.findLast((said) => said.startsWith(`${work} took `)).split(" ")[2]);
    return { write: took("write"), record: took("record"), apply: took("apply") };
  }

  /** The other tab's write stops in the leading one's worker; that one ends, and what was asked for is done once. */
  async function writesThrough(at, end = (leader) => leader.close()) {
    const place = await newRow();
    const { leader, tab } = await twoTabs(at);
    await add(tab, place);
    await until(tab, (at) => globalThis.said.includes(at), at);
    await end(leader, tab);
    assert.deepEqual(await tab.evaluate(() => globalThis.done), { changes: 1 });
    assert.equal(await copies(tab, place), 6);
    await until(tab, isState, "synced");
    await held(place, 6);
    assert.equal(await copies(tab, place), 6);
    await tab.close();
  }

  test("at any step of a write that another tab asked for, which is done once; and of one that comes in", async () => {
    const { write, record, apply } = await measure();
    assert.ok(write > 2 && record > 2 && apply > 2, JSON.stringify({ write, record, apply }));
    const steps = [...some(write).map((step) => `write ${step}`), "written", "sending", "sent", "acknowledged"];
    for (const at of [...steps, ...some(record).map((step) => `record ${step}`), "recorded"]) {
      await writesThrough(at).catch((error) => assert.fail(`${at}: ${error.stack}`));
    }
    for (const at of ["arrived", ...some(apply).map((step) => `apply ${step}`), "applied"]) {
      const place = await newRow();
      const { leader, tab } = await twoTabs(at);
      await server.exec("UPDATE shelf SET copies = 7 WHERE place = ?", [place]);
      await until(tab, (at) => globalThis.said.includes(at), at);
      await leader.close();
      await until(tab, sees, [place, 7]).catch((error) => assert.fail(`${at}: ${error.stack}`));
      await until(tab, isState, "synced");
      await held(place, 7);
      await tab.close();
    }
  });

  test("by a crash of its process", async () => {
    await writesThrough("written", async (leader) => {
      const session = await browser.context.newCDPSession(leader);
      session.send("Page.crash").catch(() => undefined);
      await leader.waitForEvent("crash");
    });
  });

  test("standing still shows in the other tab until it has gone, and what waits is done once", async () => {
    for (const at of ["write 1", "sent"]) {
      await writesThrough(at, async (leader, tab) => {
        await until(tab, () => db.status.current.reason === "leader_frozen");
        assert.equal(await tab.evaluate(() => db.status.current.state), "stuck");
        await leader.close();
      }).catch((error) => assert.fail(`${at}: ${error.stack}`));
    }
  });
});
