// A page and a server whose schemas are not the same: what is only added goes on, anything else says what to do.
import type { BrowserContext } from "@playwright/test";

import { Server } from "../fixtures/server.js";
import { exec, expect, footer, light, openShop, sees, test } from "../fixtures/test.js";

const add = "INSERT INTO book (isbn, title) VALUES (?, ?)";
const numbered = (schema: string, number: number) => schema.replace(/-- schema: shop \d+/, `-- schema: shop ${number}`);

/** A browser in which the page has another schema of its own. */
async function withOtherSchema(
  person: (options: { serviceWorkers: "block"; viewport: { width: number; height: number } }) => Promise<BrowserContext>,
  change: (schema: string) => string,
  viewport = { width: 1280, height: 800 },
): Promise<BrowserContext> {
  const context = await person({ serviceWorkers: "block", viewport });
  await context.route("**/assets/index*.js", async (route) => {
    const response = await route.fetch();
    // As the bundler has written it: a template literal.
    const script = (await response.text()).replace(/-- schema: shop \d+[^`]*/, change);
    await route.fulfill({ response, body: script });
  });
  return context;
}

test("a server that has more goes on with an older page, which keeps aside what it doesn't know", async ({ person }) => {
  const server = await Server.withSchema((schema) =>
    numbered(schema, 2).replace("remark TEXT NOT NULL DEFAULT '',", "remark TEXT NOT NULL DEFAULT '',\n  shelf_mark TEXT NOT NULL DEFAULT '',"),
  );
  try {
    const page = await openShop(await person(), server.url);
    await light(page, "synced");
    await exec(page, add, ["9780000000019", "From the older page"]);
    await light(page, "synced");
    await server.exec("UPDATE book SET shelf_mark = 'B 12', title = 'Known by both'");
    await sees(page, "SELECT title FROM book", "Known by both");
    await light(page, "synced");
    await expect.poll(() => page.evaluate(() => (window as any).greenlight.status.current.heldAside)).toBe(1);
    await page.getByTestId("sync-button").click();
    await expect(page.getByTestId("sync-facts")).toContainText("newer");
  } finally {
    await server.remove();
  }
});

for (const [what, number, reason, remedy] of [
  ["is newer and lacks a column", 2, "schema_older", "update_app"],
  ["has the same number and another structure", 1, "schema_differs", "nuke_and_resync"],
] as const) {
  test(`a server whose schema ${what} is incompatible, with the column's name and what to do`, async ({ person }) => {
    const server = await Server.withSchema((schema) => numbered(schema, number).replace("  subtitle TEXT NOT NULL DEFAULT '',\n", ""));
    try {
      const page = await openShop(await person(), server.url);
      await light(page, "incompatible", 10_000);
      await expect(footer(page)).toHaveAttribute("data-reason", reason);
      await page.getByTestId("sync-button").click();
      await expect(page.getByTestId("sync-sentence")).toContainText(/book.*subtitle/);
      expect(await page.evaluate(() => (window as any).greenlight.status.current.remedy)).toBe(remedy);
      // The shop goes on, and what is typed is kept.
      await exec(page, add, ["9780000000019", "Kept"]);
      await sees(page, "SELECT title FROM book", "Kept");
      await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
    } finally {
      await server.remove();
    }
  });
}

test("a change that the server's own rules refuse is set aside there and stops no other", async ({ person }) => {
  const rule = "CREATE TRIGGER picky BEFORE INSERT ON book WHEN new.isbn LIKE '%13' BEGIN SELECT RAISE(ABORT, 'no thirteen'); END;";
  const server = await Server.withSchema((schema) => `${schema.trimEnd()}\n${rule}\n`);
  try {
    const [alice, bob] = [await openShop(await person(), server.url), await openShop(await person(), server.url)];
    await light(alice, "synced");
    for (const isbn of ["9780000000012", "9780000000013", "9780000000014"]) await exec(alice, add, [isbn, `Number ${isbn}`]);
    // It is on the server's disk, which is what pending and green are about; and what came after it is in force.
    await light(alice, "synced");
    await sees(bob, "SELECT group_concat(isbn, ' ') FROM (SELECT isbn FROM book ORDER BY isbn)", "9780000000012 9780000000014");
    const asked = await fetch(`${server.url}/shop/quarantine`);
    const { rows } = await asked.json();
    expect(rows[0]).toMatchObject({ table: "book", key: ["9780000000013"], reason: "no thirteen" });
    // Nothing is compared while what differs is known: it would look like damage.
    await alice.reload();
    await light(alice, "synced");
    for (let seconds = 0; seconds < 8; seconds++) {
      await alice.waitForTimeout(1_000);
      expect(await footer(alice).getAttribute("data-status")).toBe("synced");
    }
    await sees(alice, "SELECT count(*) FROM book", 3);
    // Dropped by the operator, it is gone with Alice too, and then all is equal.
    const body = JSON.stringify({ ids: rows.map((row: { id: string }) => row.id) });
    const dropped = await fetch(`${server.url}/shop/quarantine/drop`, { method: "POST", headers: { "content-type": "application/json" }, body });
    expect(dropped.ok).toBe(true);
    await sees(alice, "SELECT count(*) FROM book", 2);
    await alice.reload();
    await light(alice, "synced");
    await expect
      .poll(() => alice.evaluate(() => (window as any).greenlight.status.current.verifiedAt), { timeout: 30_000 })
      .not.toBeNull();
    await light(alice, "synced");
    await light(bob, "synced");
  } finally {
    await server.remove();
  }
});

test("a page that is newer than the server waits with what is typed, and goes on once the server is updated", async ({ person }) => {
  const next = (schema: string) =>
    numbered(schema, 2).replace("remark TEXT NOT NULL DEFAULT '',", "remark TEXT NOT NULL DEFAULT '',\n  shelf_mark TEXT NOT NULL DEFAULT '',");
  const server = await Server.withSchema((schema) => schema);
  try {
    await server.exec("INSERT INTO book (isbn, title) VALUES ('9780000000019', 'From before')");
    const page = await openShop(await withOtherSchema(person, next), server.url);
    await light(page, "incompatible", 10_000);
    await expect(footer(page)).toHaveAttribute("data-reason", "schema_newer");
    await exec(page, "INSERT INTO book (isbn, title, shelf_mark) VALUES ('9780000000026', 'From the newer page', 'B 12')");
    await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
    await server.changeSchema(next);
    await light(page, "synced", 40_000);
    await sees(page, "SELECT count(*) FROM book", 2);
    expect((await server.exec("SELECT title, shelf_mark FROM book ORDER BY isbn")).rows).toEqual([["From before", ""], ["From the newer page", "B 12"]]);
  } finally {
    await server.remove();
  }
});

test("a change that the page's own rules refuse shows with its row, and can be left out by hand", async ({ server, person }) => {
  const rule = "CREATE TRIGGER picky BEFORE INSERT ON book WHEN new.isbn LIKE '%13' BEGIN SELECT RAISE(ABORT, 'no thirteen'); END;\n";
  const context = await withOtherSchema(person, (schema) => schema + rule, { width: 360, height: 740 });
  const page = await openShop(context, server.url);
  await light(page, "synced");
  await server.exec("INSERT INTO book (isbn, title) VALUES ('9780000000013', 'Unlucky'), ('9780000000014', 'Lucky')");
  await light(page, "stuck");
  await expect(footer(page)).toHaveAttribute("data-reason", "quarantined");
  await sees(page, "SELECT title FROM book", "Lucky");
  await page.getByTestId("sync-button").click();
  await expect(page.getByTestId("sync-aside")).toContainText(/book \("9780000000013"\)\s*\d+ fields: no thirteen/);
  await page.getByTestId("sync-aside-retry").click();
  await expect(page.getByTestId("sync-note")).toHaveText("0 could be applied.");
  // What is typed here still reaches the server meanwhile.
  await exec(page, add, ["9780000000019", "Typed meanwhile"]);
  await expect.poll(async () => (await server.exec("SELECT count(*) FROM book")).rows).toEqual([[3]]);
  await page.getByTestId("sync-aside-leave").click();
  await page.getByTestId("sync-leave-dialog-no").click();
  await expect(footer(page)).toHaveAttribute("data-status", "stuck");
  await page.getByTestId("sync-aside-leave").click();
  await page.getByTestId("sync-leave-dialog-yes").click();
  await light(page, "synced");
  await expect(page.getByTestId("sync-facts")).toContainText("Left out by hand");
  await expect(page.getByTestId("sync-sentence")).toContainText("but for what was left out by hand");
  // It is left out here and nowhere else.
  expect((await server.exec("SELECT title FROM book WHERE isbn LIKE '%13'")).rows).toEqual([["Unlucky"]]);
});

test("with every other way to the server blocked, the socket is enough", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await page.context().route(/\/(meta|health|status|exec|file)$/, (route) => route.abort());
  await page.reload();
  await light(page, "synced");
  await exec(page, add, ["9780000000019", "By the socket alone"]);
  await expect.poll(async () => (await server.exec("SELECT title FROM book")).rows).toEqual([["By the socket alone"]]);
});
