// Sync as people see it: each test has a real server of its own and real browsers.
import { existsSync } from "node:fs";
import path from "node:path";

import { ask, built, cli, watch, writeTo } from "../fixtures/server.js";
import { exec, expect, footer, light, openShop, query, sees, test } from "../fixtures/test.js";

const add = "INSERT INTO book (isbn, title) VALUES (?, ?)";

test("two browsers see each other's edits", async ({ server, person }) => {
  const alice = await openShop(await person(), server.url);
  const bob = await openShop(await person(), server.url);
  await light(alice, "synced");
  await light(bob, "synced");
  await exec(alice, add, ["9780000000019", "The Quiet Orchard"]);
  await sees(bob, "SELECT title FROM book", "The Quiet Orchard");
  await exec(bob, "UPDATE book SET title = 'A Louder Orchard'");
  await sees(alice, "SELECT title FROM book", "A Louder Orchard");
  await light(alice, "synced");
  await light(bob, "synced");
});

test("a book added, edited and deleted in the forms is so on the other's page without a reload", async ({ server, person }) => {
  const alice = await openShop(await person(), `${server.url}/#/books`);
  const bob = await openShop(await person(), `${server.url}/#/books`);
  await light(alice, "synced");
  await light(bob, "synced");
  await alice.getByTestId("book-add").click();
  await alice.getByTestId("book-isbn").fill("978-0-14-143958-7");
  await alice.getByTestId("book-title").fill("The Quiet Orchard");
  await alice.getByTestId("book-authors").fill("Ada Quill, Ben Ink");
  await alice.getByTestId("book-publisher").fill("Orchard Press");
  await alice.getByTestId("book-price").fill("19.90");
  await alice.getByTestId("book-save").click();
  const row = bob.getByTestId("book-row");
  await expect(row).toHaveCount(1);
  await expect(row).toContainText("The Quiet Orchard");
  await expect(row).toContainText("Ada Quill, Ben Ink");
  await expect(row).toContainText("€19.90");
  await row.click();
  await bob.getByTestId("book-edit").click();
  await bob.getByTestId("book-title").fill("A Louder Orchard");
  await bob.getByTestId("book-save").click();
  await expect(alice.getByTestId("book-row")).toContainText("A Louder Orchard");
  await bob.getByTestId("book-delete").click();
  await bob.getByRole("button", { name: "Delete book" }).click();
  await expect(alice.getByTestId("book-row")).toHaveCount(0);
  await light(alice, "synced");
  await light(bob, "synced");
});

test("offline edits survive a reload and reach the server after", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  // The service worker keeps the app's files before the server goes.
  await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
  await page.reload();
  await light(page, "synced");
  await server.stop();
  await light(page, "disconnected");
  await exec(page, add, ["9780000000019", "Written offline"]);
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  page.on("dialog", (dialog) => void dialog.accept());
  await page.reload();
  await light(page, "disconnected");
  await sees(page, "SELECT title FROM book", "Written offline");
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  await server.again();
  await light(page, "synced", 40_000);
  expect((await server.exec("SELECT title FROM book")).rows).toEqual([["Written offline"]]);
});

test("exec on the server reaches the page", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await server.exec(add, ["9780000000019", "From the server"]);
  await sees(page, "SELECT title FROM book", "From the server");
});

for (const database of ["shop.db", "shop.sqlite3", "shop.sqlite", "shop"]) {
  test(`a write by another process to ${database} reaches the page`, async ({ server, person }) => {
    const page = await openShop(await person(), `${server.url}/?db=${database}`);
    await light(page, "synced");
    await server.writeAsOther("INSERT INTO book (isbn, title) VALUES ('9780000000019', 'By the shell')", database);
    await sees(page, "SELECT title FROM book", "By the shell");
    await light(page, "synced");
  });
}

test("two tabs of one browser work, and the other takes over without a reload", async ({ server, person }) => {
  const context = await person();
  const first = await openShop(context, server.url);
  await light(first, "synced");
  const second = await openShop(context, server.url);
  await light(second, "synced");
  await exec(first, add, ["9780000000019", "By the first tab"]);
  await sees(second, "SELECT title FROM book", "By the first tab");
  await exec(second, "UPDATE book SET title = 'By the second tab'");
  await sees(first, "SELECT title FROM book", "By the second tab");
  await first.close();
  await exec(second, "UPDATE book SET title = 'Alone'");
  await light(second, "synced");
  await expect.poll(async () => (await server.exec("SELECT title FROM book")).rows).toEqual([["Alone"]]);
});

test("the footer goes red when the server stops and green after it is back", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await server.stop();
  await light(page, "disconnected", 8_000);
  await expect(footer(page)).toHaveAttribute("data-reason", "offline");
  await server.again();
  await light(page, "synced", 40_000);
});

test("five cells edited offline are five pending, as SQL counts, and none after", async ({ server, person }) => {
  for (let index = 0; index < 5; index++) await server.exec(add, [`978000000000${index}`, `Book ${index}`]);
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await sees(page, "SELECT count(*) FROM book", 5);
  await server.stop();
  await light(page, "disconnected");
  for (let index = 0; index < 5; index++) {
    await exec(page, "UPDATE book SET title = ? WHERE isbn = ?", [`Edited ${index}`, `978000000000${index}`]);
  }
  await expect(footer(page)).toHaveAttribute("data-pending", "5");
  await expect(footer(page)).toContainText("5 pending");
  const own = await query(
    page,
    "SELECT count(*) AS pending FROM crsql_changes WHERE site_id = crsql_site_id() AND db_version > ?",
    [await page.evaluate(() => (window as any).greenlight.status.current.diagnostics.acknowledged)],
  );
  expect(own).toEqual([{ pending: 5 }]);
  await server.again();
  await light(page, "synced", 40_000);
  await expect(footer(page)).toHaveAttribute("data-pending", "0");
});

test("a first sync of the demo shop shows progress in changes and bytes and ends green", async ({ server, person }) => {
  // Some 40 s on a machine of its own; on one that others use as well it was seen to take three times as long.
  test.setTimeout(400_000);
  await server.useDemoShop();
  const page = await openShop(await person(), server.url);
  const seen = await page.evaluate(async () => {
    const client = (window as any).greenlight;
    const seen: { changes: { done: number; total: number }; bytes: { done: number; total: number } }[] = [];
    const note = () => {
      const progress = client.status.current.progress;
      if (progress && progress.direction === "down") seen.push({ changes: progress.changes, bytes: progress.bytes });
    };
    client.status.addEventListener("change", note);
    note();
    for (let waited = 0; waited < 3_000 && client.status.current.state !== "synced"; waited++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    return seen;
  });
  await light(page, "synced", 60_000);
  expect(seen.length).toBeGreaterThan(5);
  const last = seen.at(-1)!;
  expect(last.changes.done).toBe(last.changes.total);
  expect(last.changes.total).toBeGreaterThan(100_000);
  expect(last.bytes.done).toBeGreaterThan(1_000_000);
  for (let index = 1; index < seen.length; index++) {
    expect(seen[index].changes.done).toBeGreaterThanOrEqual(seen[index - 1].changes.done);
  }
  await sees(page, "SELECT (SELECT count(*) FROM inbound_line) + (SELECT count(*) FROM outbound_line) AS n", 70_000);
});

test("the native client and a browser see each other's writes", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await exec(page, add, ["9780000000019", "From the browser"]);
  await light(page, "synced");
  const file = path.join(server.folder, "laptop.db");
  const now = ["sync", "now", "--db", file, "--remote", `${server.url}/shop`, "--schema", path.join(built.schemas, "shop.sql")];
  const first = await cli(now);
  expect(first.said).toContain("are in step");
  expect(first.code).toBe(0);
  expect(await ask(file, "SELECT title FROM book")).toBe("From the browser");
  // Written on the laptop by another program, while nothing is connected.
  await writeTo(file, "UPDATE book SET title = 'From the laptop'");
  expect((await cli(now)).code).toBe(0);
  await sees(page, "SELECT title FROM book", "From the laptop");
  await light(page, "synced");
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  test(`the native client stays in step with a browser until ${signal}`, async ({ server, person }) => {
    const page = await openShop(await person(), server.url);
    await light(page, "synced");
    const file = path.join(server.folder, "laptop.db");
    const place = ["--db", file, "--remote", `${server.url}/shop`, "--schema", path.join(built.schemas, "shop.sql")];
    const laptop = watch(["sync", "watch", ...place]);
    try {
      await exec(page, add, ["9780000000019", "From the browser"]);
      await expect.poll(() => ask(file, "SELECT title FROM book").catch(() => ""), { timeout: 20_000 }).toBe("From the browser");
      await exec(page, "UPDATE book SET title = 'Seen live'");
      await expect.poll(() => ask(file, "SELECT title FROM book")).toBe("Seen live");
      await writeTo(file, "UPDATE book SET title = 'Written beside it'");
      await sees(page, "SELECT title FROM book", "Written beside it");
    } finally {
      const { code, said } = await laptop.end(signal);
      expect(said).toContain("Stopped.");
      expect(code).toBe(0);
    }
    // The file is closed in order: nothing is left in a write-ahead log.
    expect(existsSync(`${file}-wal`)).toBe(false);
  });
}

test("a frozen server turns the light away from green by the deadline", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  server.freeze();
  await light(page, "connecting", 8_000);
  await expect(footer(page)).toHaveAttribute("data-reason", "no_echo");
  // However long it lasts it is an outage: nobody is told to do anything about it.
  for (let seconds = 0; seconds < 15; seconds++) {
    await page.waitForTimeout(1_000);
    expect(await footer(page).getAttribute("data-status")).toMatch(/connecting|disconnected/);
  }
  server.thaw();
  await light(page, "synced", 60_000);
});

test("a rebuilt database is incompatible, and Nuke and Resync heals, keeps a bundle and can replay it", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await exec(page, add, ["9780000000002", "Before the reset"]);
  await light(page, "synced");
  await server.reset();
  await light(page, "incompatible", 10_000);
  await expect(footer(page)).toHaveAttribute("data-reason", "lineage");
  await exec(page, add, ["9780000000019", "Written meanwhile"]);
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  await page.getByTestId("sync-button").click();
  await page.getByTestId("sync-nuke").click();
  await page.getByTestId("sync-nuke-dialog").getByRole("button", { name: "Save the bundle and resync" }).click();
  await light(page, "synced", 30_000);
  await sees(page, "SELECT count(*) FROM book", 0);
  await expect(page.getByTestId("sync-bundle")).toHaveCount(1);
  // What the old server had acknowledged exists nowhere else now. Replaying shows what it would do, and brings it back.
  await page.getByTestId("sync-bundle-replay").click();
  await expect(page.getByTestId("sync-replay-dialog")).toContainText("book: 1 added.");
  await expect(page.getByTestId("sync-replay-dialog")).toContainText("book: 2 added.");
  await page.getByTestId("sync-replay-dialog-choice").check();
  await page.getByTestId("sync-replay-dialog").getByRole("button", { name: "Replay" }).click();
  await sees(page, "SELECT count(*) FROM book", 2);
  await expect
    .poll(async () => (await server.exec("SELECT title FROM book ORDER BY isbn")).rows)
    .toEqual([["Before the reset"], ["Written meanwhile"]]);
  await light(page, "synced", 30_000);
  // The bundle stays until it is discarded, and that asks first.
  await expect(page.getByTestId("sync-bundle")).toHaveCount(1);
  await page.getByTestId("sync-bundle-discard").click();
  await page.getByTestId("sync-discard-dialog").getByRole("button", { name: "Discard" }).click();
  await expect(page.getByTestId("sync-bundle")).toHaveCount(0);
});
