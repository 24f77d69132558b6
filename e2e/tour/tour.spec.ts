// Drives the bookshop through its views and the light through its states, and writes what a person sees to target/tour.
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import path from "node:path";

import type { Page } from "@playwright/test";

import { Proxy } from "../fixtures/proxy.js";
import { exec, footer, light, openShop, test } from "../fixtures/test.js";

const out = path.resolve(import.meta.dirname, "../../target/tour");
const desk = { viewport: { width: 1280, height: 820 } };
const looks = {
  light: { ...desk, colorScheme: "light" },
  dark: { ...desk, colorScheme: "dark" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true, hasTouch: true },
} as const;
const views = { today: "#/", books: "#/books", stock: "#/warehouses", inbound: "#/inbound", outbound: "#/outbound" };
/** For queries that are still running and colours that are still changing. */
const SETTLE_MS = 1_200;

async function shoot(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(SETTLE_MS);
  await mkdir(out, { recursive: true });
  await page.screenshot({ path: path.join(out, `${name}.png`) });
  console.log(`target/tour/${name}.png`);
}

for (const [look, options] of Object.entries(looks)) {
  test(`the bookshop, ${look}`, async ({ server, person }) => {
    await server.useDemoShop();
    const page = await openShop(await person(options), server.url);
    await page.getByTestId("first-sync").waitFor();
    await shoot(page, `first-sync-${look}`);
    await light(page, "synced", 120_000);
    for (const [name, view] of Object.entries(views)) {
      await page.goto(`${server.url}/${view}`);
      await shoot(page, `${name}-${look}`);
    }
    await page.goto(`${server.url}/#/books`);
    await page.locator("main a[href^='#/book/']").first().click();
    await shoot(page, `book-${look}`);
    await page.getByTestId("book-edit").click();
    await shoot(page, `edit-${look}`);
    await page.goto(`${server.url}/#/outbound`);
    await page.locator("main a[href^='#/outbound/']").first().click();
    await shoot(page, `sale-${look}`);
    await page.goto(`${server.url}/states.html?theme=${options.colorScheme}`);
    await shoot(page, `states-${look}`);
  });
}

for (const [look, options] of Object.entries(looks)) {
  test(`the light in each state, ${look}`, async ({ server, person }) => {
    const network = await Proxy.start(server.port);
    const page = await openShop(await person(options), network.url);
    const remark = (text: string) => exec(page, "UPDATE book SET remark = ?", [text]);
    const shootLight = (name: string) => shoot(page, `light-${name}-${look}`);
    await light(page, "synced");
    for (let number = 10; number < 30; number++) {
      await exec(page, "INSERT INTO book (isbn, title) VALUES (?, ?)", [`97800000000${number}`, `The Orchard, part ${number - 9}`]);
    }
    await light(page, "synced");
    await page.goto(`${network.url}/#/books`);
    await page.getByTestId("sync-button").click();
    await shootLight("synced");
    // What can't be compressed takes its time.
    network.slowDown(10_000);
    await exec(page, "UPDATE book SET remark = ? WHERE isbn < '9780000000022'", [randomBytes(3_000).toString("base64")]);
    await light(page, "syncing");
    await shootLight("syncing");
    network.slowDown(Infinity);
    await light(page, "synced", 60_000);
    network.swallowAfterOpening();
    network.cut();
    await light(page, "connecting");
    await shootLight("connecting");
    await light(page, "stuck");
    await shootLight("stuck");
    network.speak();
    await light(page, "synced", 60_000);
    await network.remove();
    await light(page, "disconnected");
    await remark("written offline");
    await shootLight("disconnected");
    const again = await Proxy.start(server.port, network.port);
    try {
      await light(page, "synced", 60_000);
      await server.reset();
      await light(page, "incompatible");
      await remark("after the reset");
      await shootLight("incompatible");
      await page.getByTestId("sync-nuke").click();
      await shootLight("nuke");
      await page.getByTestId("sync-nuke-dialog").getByRole("button").last().click();
      await light(page, "synced", 60_000);
      await footer(page).getByTestId("sync-bundle").first().waitFor();
      await shootLight("nuked");
    } finally {
      await again.remove();
    }
  });
}
