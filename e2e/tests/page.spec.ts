// The page as everyone can use it: found clean by axe, worked by keyboard alone, on a small phone, under its policy.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { Server } from "../fixtures/server.js";
import { exec, expect, footer, light, openShop, test } from "../fixtures/test.js";

const views = [
  "#/", "#/books", "#/book/9780000000019", "#/warehouses", "#/warehouse/w", "#/inbound", "#/inbound/draft", "#/inbound/done",
  "#/outbound", "#/outbound/sale", "#/nowhere",
];

const shop = `
  INSERT INTO publisher (id, name) VALUES ('p', 'Orchard Press');
  INSERT INTO author (id, name) VALUES ('a', 'Ada Quill');
  INSERT INTO book (isbn, title, subtitle, publisher_id, price_cents) VALUES
    ('9780000000019', 'The Quiet Orchard', 'and what became of the beekeepers of Lower Saltmarsh afterwards', 'p', 1999);
  INSERT INTO book_author (isbn, author_id, role) VALUES ('9780000000019', 'a', 'author');
  INSERT INTO warehouse (id, name, address) VALUES ('w', 'Cellar', 'Canal Street 4'), ('v', 'Attic', '');
  INSERT INTO inbound_note (id, name, warehouse_id, created_at, committed_at) VALUES
    ('draft', 'Northern Book Trade delivery', 'w', 1700000000000, NULL), ('done', 'Harbour delivery', 'w', 1700000000000, 1700000000000);
  INSERT INTO inbound_line (note_id, isbn, quantity, cost_cents) VALUES ('draft', '9780000000019', 3, 900), ('done', '9780000000019', 4, 900);
  INSERT INTO outbound_note (id, name, created_at) VALUES ('sale', 'Counter sale', 1700000000000);
  INSERT INTO outbound_line (note_id, isbn, warehouse_id, quantity, price_cents) VALUES ('sale', '9780000000019', 'w', 1, 1999);`;

/** What opens over a view: where, and how. */
const dialogs: [string, string, (page: Page) => Promise<void>][] = [
  ["edit a book", "#/book/9780000000019", (page) => page.getByTestId("book-edit").click()],
  ["what is wrong in the form", "#/books", async (page) => {
    await page.getByTestId("book-add").click();
    await page.getByTestId("book-save").click();
  }],
  ["delete a book", "#/book/9780000000019", (page) => page.getByTestId("book-delete").click()],
  ["edit a warehouse", "#/warehouse/w", (page) => page.getByTestId("warehouse-edit").click()],
  ["commit a delivery", "#/inbound/draft", (page) => page.getByTestId("note-commit").click()],
  ["sign in", "#/", (page) => page.evaluate(() => void dispatchEvent(new Event("sign-in")))],
  ["nuke and resync", "#/", async (page) => {
    await page.getByTestId("sync-button").click();
    await page.getByTestId("sync-nuke").click();
  }],
];

/** What axe finds, in a form that tells where. */
async function violations(page: Page, where: string): Promise<string[]> {
  // Colours on their way from one to another are not what anyone reads.
  await page.waitForTimeout(400);
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${where}: ${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}

/** Shows a view as one comes to it anew: whatever was open is gone. */
async function show(page: Page, url: string, view: string): Promise<void> {
  await page.goto("about:blank");
  await page.goto(`${url}/${view}`);
  await expect(page.locator("main h1")).toBeVisible();
  await light(page, "synced");
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing on any view, ${colorScheme}`, async ({ server, person }) => {
    await server.exec(shop);
    const page = await openShop(await person({ colorScheme }), server.url);
    await light(page, "synced");
    const found: string[] = [];
    for (const view of views) {
      await page.goto(`${server.url}/${view}`);
      await expect(page.locator("main h1")).toBeVisible();
      found.push(...(await violations(page, view)));
    }
    await page.getByTestId("sync-button").click();
    await expect(page.getByTestId("sync-panel")).toBeVisible();
    await page.getByTestId("sync-panel").locator("summary").click();
    found.push(...(await violations(page, "panel")));
    await page.goto(`${server.url}/states.html?theme=${colorScheme}`);
    await expect(page.locator("sync-footer").first()).toBeVisible();
    found.push(...(await violations(page, "states")));
    expect(found).toEqual([]);
  });

  test(`axe finds nothing in any dialog, ${colorScheme}`, async ({ server, person }) => {
    await server.exec(shop);
    const page = await openShop(await person({ colorScheme }), server.url);
    const found: string[] = [];
    for (const [name, view, open] of dialogs) {
      await show(page, server.url, view);
      await open(page);
      await expect(page.locator("dialog[open]")).toBeVisible();
      found.push(...(await violations(page, name)));
    }
    expect(found).toEqual([]);
  });
}

test("nothing is cut off or scrolls sideways at 360 pixels", async ({ server, person }) => {
  await server.exec(shop);
  const page = await openShop(await person({ viewport: { width: 360, height: 740 } }), server.url);
  await light(page, "synced");
  for (const view of views) {
    await page.goto(`${server.url}/${view}`);
    await expect(page.locator("main h1")).toBeVisible();
    const wide = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    expect(wide[0], view).toBeLessThanOrEqual(wide[1]);
    const box = await footer(page).boundingBox();
    expect(box!.x + box!.width, view).toBeLessThanOrEqual(360);
  }
  await page.getByTestId("sync-button").click();
  const panel = await page.getByTestId("sync-panel").boundingBox();
  expect(panel!.x).toBeGreaterThanOrEqual(0);
  expect(panel!.x + panel!.width).toBeLessThanOrEqual(360);
  expect(panel!.y).toBeGreaterThanOrEqual(0);
  for (const [name, view, open] of dialogs) {
    await show(page, server.url, view);
    await open(page);
    const dialog = page.locator("dialog[open]");
    const box = await dialog.boundingBox();
    expect(box!.x, name).toBeGreaterThanOrEqual(0);
    expect(box!.x + box!.width, name).toBeLessThanOrEqual(360);
    expect(box!.y + box!.height, name).toBeLessThanOrEqual(740);
    expect(await dialog.evaluate((box) => box.scrollWidth - box.clientWidth), name).toBeLessThanOrEqual(0);
  }
});

/** What has the focus, shadow trees included. */
const focused = (page: Page) =>
  page.evaluate(() => {
    let element = document.activeElement;
    while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
    return element?.getAttribute("data-testid") ?? element?.tagName ?? "";
  });

test("the panel is opened, walked through and closed by keyboard alone", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  for (let steps = 0; (await focused(page)) !== "sync-button"; steps++) {
    expect(steps, "the light is reached by Tab").toBeLessThan(60);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("sync-panel")).toBeVisible();
  const seen = new Set<string>();
  for (let steps = 0; steps < 12; steps++) {
    await page.keyboard.press("Tab");
    seen.add(await focused(page));
  }
  expect([...seen]).toEqual(expect.arrayContaining(["sync-close", "sync-pause", "sync-nuke"]));
  // What can't be undone asks first, and Escape is no.
  for (let steps = 0; (await focused(page)) !== "sync-nuke"; steps++) {
    expect(steps).toBeLessThan(60);
    await page.keyboard.press("Tab");
  }
  await page.keyboard.press("Enter");
  await expect(page.getByTestId("sync-nuke-dialog")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("sync-nuke-dialog")).toBeHidden();
  await expect(page.getByTestId("sync-panel")).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("sync-panel")).toBeHidden();
  expect(await focused(page)).toBe("sync-button");
  await light(page, "synced");
});

test("a screen reader hears what the light says, and each change of it", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  const button = page.getByTestId("sync-button");
  await expect(button).toHaveAccessibleName(/Remote DB.*[Ss]ynced/);
  await server.stop();
  await light(page, "disconnected");
  await expect(button).toHaveAccessibleName(/Remote DB.*[Dd]isconnected/);
  await expect(footer(page).getByRole("status")).toContainText(/\w+/);
});

/** Hears what the browser blocks, on the page and in its workers. */
function hearViolations(page: Page): string[] {
  const reports: string[] = [];
  page.on("console", (message) => {
    if (/Content.Security.Policy/i.test(message.text())) reports.push(message.text());
  });
  page.on("worker", (worker) => {
    worker.on("console", (message) => {
      if (/Content.Security.Policy/i.test(message.text())) reports.push(message.text());
    });
  });
  return reports;
}

test("nothing that the page does is against its Content-Security-Policy", async ({ server, person }) => {
  await server.exec(shop);
  const context = await person();
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => console.error(`Content-Security-Policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  const reports = hearViolations(page);
  await page.goto(server.url);
  await light(page, "synced");
  const answer = await page.request.get(server.url);
  const policy = answer.headers()["content-security-policy"] ?? "";
  expect(policy).toMatch(/default-src '(self|none)'/);
  expect(policy).not.toContain("'unsafe-eval'");
  for (const view of views) {
    await page.goto(`${server.url}/${view}`);
    await expect(page.locator("main h1")).toBeVisible();
  }
  await page.getByTestId("sync-button").click();
  await expect(page.getByTestId("sync-panel")).toBeVisible();
  await page.goto(`${server.url}/states.html`);
  await expect(page.locator("sync-footer").first()).toBeVisible();
  expect(reports).toEqual([]);
  // And it is a policy: a script from elsewhere doesn't run, and that is heard.
  const ran = await page.evaluate(
    () =>
      new Promise((resolve) => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.head.append(script);
        setTimeout(() => resolve((window as unknown as { ran?: boolean }).ran === true), 100);
      }),
  );
  expect(ran).toBe(false);
  await expect.poll(() => reports.length).toBeGreaterThan(0);
});

test("the policy that the client's README names is enough", async ({ person }) => {
  const readme = await readFile(path.resolve(import.meta.dirname, "../../client-wasm/README.md"), "utf8");
  const named = /^ *(script-src .*connect-src 'self') wss:\/\/sync\.example$/m.exec(readme)?.[1];
  expect(named, "the README names a policy").toBeDefined();
  // What an app needs for itself comes on top: its styles, fonts and pictures.
  const own = "default-src 'none'; style-src 'self'; font-src 'self'; img-src 'self'; manifest-src 'self'";
  const token = "a-bookseller's-token";
  const server = await Server.start([], (port) => `
    content_security_policy = "${own}; ${named} ws://127.0.0.1:${port}"
    [[database]]
    pattern = "shop"
    schema = "shop"
    create = true
    [[token]]
    database = "shop"
    role = "write"
    sha256 = "${createHash("sha256").update(token).digest("hex")}"`);
  try {
    const page = await (await person()).newPage();
    const reports = hearViolations(page);
    const answer = await page.goto(`${server.url}/#token=${encodeURIComponent(token)}`);
    expect(answer!.headers()["content-security-policy"]).toContain(named);
    await light(page, "synced");
    await exec(page, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Under the policy')");
    await light(page, "synced");
    expect(reports).toEqual([]);
  } finally {
    await server.remove();
  }
});

test("leaving warns while something is pending, and only then", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  const asked: string[] = [];
  page.on("dialog", (dialog) => {
    asked.push(dialog.type());
    // Stays, the first time.
    void (asked.length === 1 ? dialog.dismiss() : dialog.accept());
  });
  await server.stop();
  await light(page, "disconnected");
  // A browser asks only where the person has done something on the page.
  await page.getByTestId("sync-button").click();
  await page.evaluate(() => (window as any).greenlight.exec("INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Not sent yet')"));
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  await page.close({ runBeforeUnload: true });
  await expect.poll(() => asked).toEqual(["beforeunload"]);
  expect(page.isClosed()).toBe(false);
  await server.again();
  await light(page, "synced", 40_000);
  const closed = page.waitForEvent("close");
  await page.close({ runBeforeUnload: true });
  await closed;
  expect(asked).toEqual(["beforeunload"]);
});

for (const colorScheme of ["light", "dark"] as const) {
  test(`replaying a bundle shows what it would do before it asks, by keyboard at 360 pixels, ${colorScheme}`, async ({ server, person }) => {
    const page = await openShop(await person({ colorScheme, viewport: { width: 360, height: 640 } }), server.url);
    await light(page, "synced");
    await server.exec(shop);
    await expect.poll(() => page.evaluate(() => (window as any).greenlight.query("SELECT isbn FROM book"))).toHaveLength(1);
    await server.reset();
    await light(page, "incompatible", 10_000);
    await page.evaluate(() => (window as any).greenlight.nukeAndResync());
    await light(page, "synced", 30_000);
    await page.getByTestId("sync-button").focus();
    await page.keyboard.press("Enter");
    await expect(page.getByTestId("sync-bundle")).toBeVisible();
    const tab = async (wanted: string) => {
      for (let steps = 0; (await focused(page)) !== wanted; steps++) {
        expect(steps, `${wanted} is reached by Tab`).toBeLessThan(40);
        await page.keyboard.press("Tab");
      }
    };
    const dialog = page.getByTestId("sync-replay-dialog");
    await tab("sync-bundle-replay");
    await page.keyboard.press("Enter");
    await expect(dialog).toContainText("book: 1 added.");
    await expect(dialog).toContainText("In all: 12 added.");
    expect(await page.evaluate(() => (window as any).greenlight.query("SELECT isbn FROM book"))).toEqual([]);
    const box = (await dialog.boundingBox())!;
    expect([box.x >= 0, box.x + box.width <= 360, box.y >= 0, box.y + box.height <= 640]).toEqual([true, true, true, true]);
    expect(await dialog.evaluate((element) => element.scrollWidth <= element.clientWidth)).toBe(true);
    await page.waitForTimeout(400);
    expect(await violations(page, "replay")).toEqual([]);
    // No is where the focus begins, and Escape is no.
    expect(await focused(page)).toBe("sync-replay-dialog-no");
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
    expect(await page.evaluate(() => (window as any).greenlight.query("SELECT isbn FROM book"))).toEqual([]);
    // The focus is back where the question came from, and stays there when the panel has looked at the bundles again.
    await page.waitForTimeout(400);
    expect(await focused(page)).toBe("sync-bundle-replay");
    await page.keyboard.press("Enter");
    await expect(dialog).toBeVisible();
    await tab("sync-replay-dialog-choice");
    await page.keyboard.press("Space");
    await tab("sync-replay-dialog-yes");
    await page.keyboard.press("Enter");
    await expect(page.getByTestId("sync-note")).toHaveText("12 rows written.");
    await light(page, "synced", 30_000);
    expect((await server.exec("SELECT title FROM book")).rows).toEqual([["The Quiet Orchard"]]);
  });
}
