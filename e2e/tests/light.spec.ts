// Every state of the light, reached in a real browser against a real server over a network that fails.
import { randomBytes } from "node:crypto";

import { Proxy } from "../fixtures/proxy.js";
import { Server, freePort } from "../fixtures/server.js";
import { exec, expect, footer, launch, light, openShop, sees, test as base } from "../fixtures/test.js";

const test = base.extend<{ network: Proxy }>({
  network: async ({ server }, use) => {
    const network = await Proxy.start(server.port);
    await use(network);
    await network.remove();
  },
});

const add = "INSERT INTO book (isbn, title) VALUES (?, ?)";
const long = "INSERT INTO book (isbn, title, remark) VALUES (?, ?, ?)";
/** The light has to leave green by the freshness deadline, 5 s; what comes on top is the browser's and the machine's. */
const DEADLINE_MS = 8_000;

test("synced, then syncing with a count while changes are on their way, then synced", async ({ server, network, person }) => {
  const page = await openShop(await person(), network.url);
  await light(page, "synced");
  await page.evaluate(() => {
    const { status } = (window as any).greenlight;
    (window as any).lights = [];
    status.addEventListener("change", () => (window as any).lights.push(`${status.current.state}/${status.current.reason}`));
  });
  network.slowDown(10_000);
  // Two hundred kilobytes that can't be compressed: twenty seconds on this line, longer than any silence may last.
  for (let index = 0; index < 4; index++) {
    await exec(page, long, [`978000000000${index}`, "Slow", randomBytes(37_500).toString("base64")]);
  }
  await light(page, "syncing");
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  await expect(footer(page)).toContainText(/\d+ pending/);
  // Solid green never comes before the server has them all.
  await light(page, "synced", 60_000);
  expect((await server.exec("SELECT count(*), min(length(remark)) FROM book")).rows).toEqual([[4, 50_000]]);
  await expect(footer(page)).toHaveAttribute("data-pending", "0");
  // It was slow, and that is no reason to begin anew, nor for any other light: heartbeats passed in between.
  expect(new Set(await page.evaluate(() => (window as any).lights))).toEqual(new Set(["syncing/sending", "synced/synced"]));
  expect(await page.evaluate(() => (window as any).greenlight.status.current.diagnostics.lastClose)).toBeNull();
});

test("disconnected when the network is gone, with what is pending still counted", async ({ server, network, person }) => {
  const page = await openShop(await person(), network.url);
  await light(page, "synced");
  await network.remove();
  await light(page, "disconnected", DEADLINE_MS);
  await exec(page, add, ["9780000000019", "On a train"]);
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  await expect(footer(page)).toHaveAttribute("data-status", "disconnected");
  // Without a server to download from, Nuke would leave an empty shop.
  await page.getByTestId("sync-button").click();
  await expect(page.getByTestId("sync-retry")).toBeVisible();
  expect(await page.getByTestId("sync-nuke").count()).toBe(0);
  expect((await server.exec("SELECT count(*) FROM book")).rows).toEqual([[0]]);
});

test("a connection that falls silent turns the light by the deadline, and heals by itself", async ({ network, person }) => {
  test.setTimeout(180_000);
  const page = await openShop(await person(), network.url);
  await light(page, "synced");
  await page.evaluate(() => {
    const { status } = (window as any).greenlight;
    (window as any).reasons = [];
    status.addEventListener("change", () => (window as any).reasons.push(status.current.reason));
  });
  network.fallSilent();
  await light(page, "connecting", DEADLINE_MS);
  await exec(page, add, ["9780000000019", "Into the silence"]);
  await expect(footer(page)).toHaveAttribute("data-reason", "no_echo");
  // A whole minute: the connection is given up, and others are tried, which get no answer either.
  for (let seconds = 0; seconds < 60; seconds++) {
    await page.waitForTimeout(1_000);
    expect(await footer(page).getAttribute("data-status")).not.toMatch(/synced|syncing/);
  }
  network.speak();
  await light(page, "synced", 60_000);
  // It was the network all the time, and never said to be this tab.
  const reasons: string[] = await page.evaluate(() => (window as any).reasons);
  expect(reasons.filter((reason) => !/^(synced|sending|no_echo|offline|dialling|handshaking|exchanging)$/.test(reason))).toEqual([]);
});

test("connecting while a socket is open and nothing is said, then stuck with the reason", async ({ network, person }) => {
  const page = await openShop(await person(), network.url);
  await light(page, "synced");
  network.swallowAfterOpening();
  network.cut();
  await light(page, "connecting");
  await light(page, "stuck", 40_000);
  await expect(footer(page)).toHaveAttribute("data-reason", "no_welcome");
  await page.getByTestId("sync-button").click();
  await expect(page.getByTestId("sync-retry")).toBeVisible();
  // Nothing could be downloaded from a server that doesn't answer.
  expect(await page.getByTestId("sync-nuke").count()).toBe(0);
  // The server, which hears nothing either, hangs up meanwhile: the reason stays, to be read.
  for (let seconds = 0; seconds < 6; seconds++) {
    await page.waitForTimeout(1_000);
    expect(await footer(page).getAttribute("data-reason")).toBe("no_welcome");
  }
  network.speak();
  await light(page, "synced", 60_000);
  await expect(page.getByTestId("sync-nuke")).toBeVisible();
});

test("stuck without the right token, and never a word of nuking", async ({ person }) => {
  const server = await Server.start([], () => '[[database]]\npattern = "shop"\nschema = "shop"\ncreate = true\n');
  try {
    const page = await openShop(await person(), `${server.url}/#token=wrong`);
    await light(page, "stuck");
    await expect(footer(page)).toHaveAttribute("data-reason", "unauthorized");
    await page.getByTestId("sync-button").click();
    await expect(page.getByTestId("sync-sentence")).toBeVisible();
    await expect(page.getByTestId("sync-sign-in")).toBeVisible();
    expect(await page.getByTestId("sync-nuke").count()).toBe(0);
  } finally {
    await server.remove();
  }
});

test("incompatible within ten seconds of a reset, while here and while away", async ({ server, network, person }) => {
  const here = await openShop(await person(), server.url);
  const away = await openShop(await person(), network.url);
  for (const page of [here, away]) {
    await light(page, "synced");
  }
  await exec(away, add, ["9780000000019", "Before the reset"]);
  await sees(here, "SELECT title FROM book", "Before the reset");
  await light(away, "synced");
  network.fallSilent();
  await server.reset();
  await light(here, "incompatible", 10_000);
  await light(away, /connecting|disconnected|stuck/, DEADLINE_MS);
  network.speak();
  network.cut();
  await light(away, "incompatible", 20_000);
  // The reason names the cure, and what is here stays until it is asked for.
  await expect(footer(away)).toHaveAttribute("data-reason", "lineage");
  await sees(away, "SELECT title FROM book", "Before the reset");
});

test("a quiet client says since when it found everything equal", async ({ server, person }) => {
  await server.exec("INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Kept')");
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await page.getByTestId("sync-button").click();
  await expect(page.getByTestId("sync-facts")).toContainText(/Verified\s*\d+ s ago/, { timeout: 30_000 });
  await expect(page.getByTestId("sync-facts")).not.toContainText("Differs");
});

test("nothing listens at all: disconnected from the start, and the app works", async ({ server, person }) => {
  const nobody = await freePort();
  const page = await openShop(await person(), `${server.url}/?server=ws://127.0.0.1:${nobody}`);
  await light(page, "disconnected");
  await exec(page, add, ["9780000000019", "Alone"]);
  await sees(page, "SELECT title FROM book", "Alone");
});

base.describe("with another build of cr-sqlite on the server", () => {
  base("two browsers see each other's edits", async ({ person }) => {
    const { built } = await import("../fixtures/server.js");
    const server = await Server.start(["--extension", built.extension]);
    try {
      const [alice, bob] = [await openShop(await person(), server.url), await openShop(await person(), server.url)];
      await light(alice, "synced");
      await light(bob, "synced");
      await exec(alice, add, ["9780000000019", "The Quiet Orchard"]);
      await sees(bob, "SELECT title FROM book", "The Quiet Orchard");
      await exec(bob, "UPDATE book SET isbn = '9780000000026'");
      await sees(alice, "SELECT isbn || title FROM book", "9780000000026The Quiet Orchard");
      await light(alice, "synced");
      await light(bob, "synced");
    } finally {
      await server.remove();
    }
  });
});
