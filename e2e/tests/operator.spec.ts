// The status page, for whoever operates a server: what it shows, found clean by axe, on a phone, and under a reader's hands.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { exec, expect, light, openShop, test } from "../fixtures/test.js";

/** Opens the page and fails the test on any error of it, a breach of its policy included. */
async function openStatus(page: Page, url: string): Promise<void> {
  page.on("pageerror", (error) => {
    throw error;
  });
  page.on("console", (message) => {
    if (message.text().includes("Content Security Policy")) throw new Error(message.text());
  });
  await page.goto(`${url}/status`);
  await expect(page.locator("#about")).toContainText("version");
}

async function violations(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}

/** An hour of which something can be seen. */
function anHour(): object {
  const wave = (most: number, slow: number) =>
    Array.from({ length: 360 }, (_, index) => Math.round((most / 2) * (1 + Math.sin(index / slow)) * (index / 360)));
  const database = { clients: wave(8, 40), behind: wave(2, 9), lag: wave(120, 9), pending: wave(30, 5), bytes: wave(9_000_000, 999), backup_age_s: Array.from({ length: 360 }, (_, index) => (index * 10) % 1800) };
  return { every_ms: 10_000, clients: wave(20, 40), refusals: wave(3, 3), commits: wave(70, 12), databases: { shop: database, notes: database } };
}

/** Shows that hour in place of the server's own, which has just begun; and more databases, in every state. */
async function withAnHour(page: Page): Promise<void> {
  await page.route(/\/status(\?history)?$/, async (route) => {
    if (route.request().headers().accept?.includes("text/html")) return route.continue();
    const answer = await route.fetch();
    const body = await answer.json();
    if (body.history) body.history = anHour();
    const now = Date.now();
    for (const entry of body.databases) entry.backup = { last_ms: now - 3_600_000, bytes: 8_400_000, failures: 0, error: null, overdue: false };
    body.databases.push(
      { name: "archive-2024.sqlite3", error: "its file is gone" },
      { name: "notes", idle: true, backup: { last_ms: now - 200_000_000, bytes: 120_000, failures: 0, error: null, overdue: true } },
    );
    await route.fulfill({ response: answer, json: body });
  });
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing, ${colorScheme}`, async ({ server, person }, info) => {
    const shop = await openShop(await person(), server.url);
    await exec(shop, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'The Quiet Orchard')");
    await light(shop, "synced");
    for (const width of [1280, 360]) {
      const page = await (await person({ colorScheme, viewport: { width, height: 900 } })).newPage();
      await withAnHour(page);
      await openStatus(page, server.url);
      await expect(page.getByRole("row")).toContainText([/Client/, /synced/]);
      await expect(page.getByRole("img", { name: /Since backup/ }).first()).toBeVisible();
      expect(await violations(page)).toEqual([]);
      const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      expect(wide[0], "nothing scrolls sideways").toBeLessThanOrEqual(wide[1]);
      await page.screenshot({ path: info.outputPath(`status-${colorScheme}-${width}.png`), fullPage: true });
      // The page asks again and again, and its end would cut an answer off that is being changed.
      await page.unrouteAll({ behavior: "wait" });
    }
  });
}

test("empty, and with a token to be typed in, it is clean too", async ({ server, person }, info) => {
  const page = await (await person({ viewport: { width: 360, height: 740 } })).newPage();
  await openStatus(page, server.url);
  await expect(page.getByText("No database was used yet.")).toBeVisible();
  await expect(page.getByRole("img", { name: /^Connections over the last hour: now 0/ })).toBeVisible();
  expect(await violations(page)).toEqual([]);
  await page.route("**/status*", (route) =>
    route.request().headers().accept?.includes("text/html")
      ? route.continue()
      : route.fulfill({ status: 401, json: { error: { code: "unauthorized", sentence: "this needs a token that is known here" } } }),
  );
  await page.reload();
  const field = page.getByLabel("This page needs an operator's token.");
  await field.fill("not-a-token-of-anyone");
  await field.press("Enter");
  await expect(page.getByRole("alert").filter({ hasText: "a token that is known here" })).toBeVisible();
  await expect(page.locator("#databases")).toBeEmpty();
  expect(await violations(page)).toEqual([]);
  await page.screenshot({ path: info.outputPath("sign-in.png") });
});

test("it changes in place: focus, and a list that was closed, stay", async ({ server, person }) => {
  const alice = await openShop(await person(), server.url);
  await light(alice, "synced");
  const page = await (await person()).newPage();
  await openStatus(page, server.url);
  const summary = page.locator("summary");
  await expect(summary).toHaveText("1 client");
  await summary.focus();
  await page.keyboard.press("Enter");
  await expect(page.locator("details")).not.toHaveAttribute("open");
  const bob = await openShop(await person(), server.url);
  await light(bob, "synced");
  await exec(bob, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'The Quiet Orchard')");
  await expect(summary).toHaveText("2 clients");
  await expect(summary).toBeFocused();
  await expect(page.locator("details")).not.toHaveAttribute("open");
  // The next stop is the list itself, which can be scrolled by keyboard once it is open.
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  await expect(page.getByRole("region", { name: "Clients of shop" })).toBeFocused();
  await expect(page.getByRole("row")).toHaveCount(3);
  await expect(page.getByRole("img", { name: /^Clients over the last hour: now 2/ })).toBeVisible();
  await expect(page.getByRole("definition").filter({ hasText: "0 of 2" })).toBeVisible();
  await expect(page.getByRole("definition").filter({ hasText: "not scheduled" })).toBeVisible();
});

test("when the server ends, what was known stays and says so; when it comes back, it goes on", async ({ server, person }) => {
  await server.exec("SELECT 1");
  const page = await (await person()).newPage();
  await openStatus(page, server.url);
  await expect(page.getByRole("heading", { name: "shop" })).toBeVisible();
  await server.stop();
  await expect(page.getByRole("alert").filter({ hasText: "The server does not answer." })).toBeVisible();
  await expect(page.locator("#about")).toContainText(/as of \d+ s ago/);
  await expect(page.getByRole("heading", { name: "shop" })).toBeVisible();
  await server.again();
  await expect(page.locator("#about")).toContainText("version");
  await expect(page.getByRole("alert").filter({ hasText: "does not answer" })).toHaveCount(0);
});
