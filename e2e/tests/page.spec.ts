// The page as everyone can use it: found clean by axe, worked by keyboard alone, on a small phone, under its policy.
import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";

import { expect, footer, light, openShop, test } from "../fixtures/test.js";

const views = ["#/", "#/books", "#/book/9780000000019", "#/warehouses", "#/inbound", "#/outbound"];

const shop = `
  INSERT INTO publisher (id, name) VALUES ('p', 'Orchard Press');
  INSERT INTO author (id, name) VALUES ('a', 'Ada Quill');
  INSERT INTO book (isbn, title, publisher_id, price_cents) VALUES ('9780000000019', 'The Quiet Orchard', 'p', 1999);
  INSERT INTO book_author (isbn, author_id, role) VALUES ('9780000000019', 'a', 'author');
  INSERT INTO warehouse (id, name) VALUES ('w', 'Cellar');`;

/** What axe finds, in a form that tells where. */
async function violations(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
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
      // Colours on their way from one to another are not what anyone reads.
      await page.waitForTimeout(400);
      found.push(...(await violations(page)).map((what) => `${view}: ${what}`));
    }
    await page.getByTestId("sync-button").click();
    await expect(page.getByTestId("sync-panel")).toBeVisible();
    await page.waitForTimeout(400);
    found.push(...(await violations(page)).map((what) => `panel: ${what}`));
    await page.goto(`${server.url}/states.html?theme=${colorScheme}`);
    await expect(page.locator("sync-footer").first()).toBeVisible();
    found.push(...(await violations(page)).map((what) => `states: ${what}`));
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

test("nothing that the page does is against its Content-Security-Policy", async ({ server, person }) => {
  const context = await person();
  const page = await context.newPage();
  const reports: string[] = [];
  page.on("console", (message) => {
    if (/Content.Security.Policy/i.test(message.text())) reports.push(message.text());
  });
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
  expect(reports).toEqual([]);
  // And it is a policy: a script from elsewhere doesn't run.
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
});
