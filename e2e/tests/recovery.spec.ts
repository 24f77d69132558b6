// What goes wrong for real, and heals without a reload and without a loss: killed servers, backups that are put back,
// tokens that expire, copied profiles, tabs that freeze.
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { cp, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import type { BrowserContext } from "@playwright/test";

import { Server, built } from "../fixtures/server.js";
import { exec, expect, footer, launchProfile, light, openShop, query, sees, test } from "../fixtures/test.js";

const run = promisify(execFile);
const add = "INSERT INTO book (isbn, title) VALUES (?, ?)";

test("a server that is killed in the middle of an upload has everything once it is back", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  for (let round = 0; round < 3; round++) {
    const writing = page.evaluate(async (round) => {
      for (let n = 0; n < 40; n++) {
        const rows = Array.from({ length: 25 }, (_, row) => `('${round}-${n}-${row}', 'Book')`).join(", ");
        await (window as any).greenlight.exec(`INSERT INTO book (isbn, title) VALUES ${rows}`);
      }
    }, round);
    await page.waitForTimeout(150 + 200 * round);
    await server.stop("SIGKILL");
    await writing;
    await light(page, "disconnected");
    await server.again();
  }
  await light(page, "synced", 60_000);
  await expect(footer(page)).toHaveAttribute("data-pending", "0");
  expect((await server.exec("SELECT count(*) FROM book")).rows).toEqual([[3_000]]);
});

test("a server whose disk is full says so, keeps nothing by halves, and has everything once there is room", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await server.onDiskOf(3_000);
  await light(page, "synced", 40_000);
  const long = "INSERT INTO book (isbn, title, remark) VALUES (?, ?, ?)";
  for (let n = 0; n < 4; n++) await exec(page, long, [`978000000000${n}`, `Book ${n}`, randomBytes(900_000).toString("base64")]);
  await light(page, "stuck", 40_000);
  await expect(footer(page)).toHaveAttribute("data-reason", "server_storage");
  await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
  // No green for as long as it lasts, and whoever asks gets what was committed.
  for (let seconds = 0; seconds < 5; seconds++) {
    await page.waitForTimeout(1_000);
    expect(await footer(page).getAttribute("data-status")).toMatch(/stuck|connecting|disconnected/);
  }
  expect((await server.exec("SELECT count(*) FROM book WHERE length(remark) <> 1200000")).rows).toEqual([[0]]);
  await server.makeRoom();
  await light(page, "synced", 60_000);
  expect((await server.exec("SELECT title, length(remark) FROM book ORDER BY isbn")).rows).toEqual(
    [0, 1, 2, 3].map((n) => [`Book ${n}`, 1_200_000]),
  );
});

test("a backup that is put back gets from the browsers what it lacks", async ({ server, person }) => {
  const alice = await openShop(await person(), server.url);
  const bob = await openShop(await person(), server.url);
  await light(alice, "synced");
  await light(bob, "synced");
  await exec(alice, add, ["9780000000019", "In the backup"]);
  await light(alice, "synced");
  const backup = path.join(server.folder, "backup.sqlite3");
  const file = await fetch(`${server.url}/shop/file`);
  await writeFile(backup, Buffer.from(await file.arrayBuffer()));
  await exec(alice, add, ["9780000000026", "By Alice, since"]);
  await exec(bob, add, ["9780000000033", "By Bob, since"]);
  await sees(alice, "SELECT count(*) FROM book", 3);
  await light(bob, "synced");
  await server.stop();
  await run(built.server, ["restore", "--data", server.data, "--database", "shop", "--from", backup]);
  await server.again();
  await light(alice, "synced", 40_000);
  await light(bob, "synced", 40_000);
  await expect
    .poll(async () => (await server.exec("SELECT title FROM book ORDER BY isbn")).rows)
    .toEqual([["In the backup"], ["By Alice, since"], ["By Bob, since"]]);
  await sees(bob, "SELECT count(*) FROM book", 3);
});

test("a file that comes into the place of the running server's is noticed, and the browsers give back what it lacks", async ({ server, person }) => {
  const alice = await openShop(await person(), server.url);
  const bob = await openShop(await person(), server.url);
  await exec(alice, add, ["9780000000019", "In the copy"]);
  await sees(bob, "SELECT count(*) FROM book", 1);
  await light(alice, "synced");
  const copy = path.join(server.folder, "copy.sqlite3");
  await writeFile(copy, Buffer.from(await (await fetch(`${server.url}/shop/file`)).arrayBuffer()));
  await exec(bob, add, ["9780000000026", "After the copy was made"]);
  await sees(alice, "SELECT count(*) FROM book", 2);
  await light(bob, "synced");
  await rename(copy, path.join(server.data, "shop"));
  // Whoever comes while it changes hands is told so, and nothing is done for them.
  const titles = async () => (await server.exec("SELECT title FROM book ORDER BY isbn").catch(() => ({ rows: [] }))).rows;
  await expect.poll(titles, { timeout: 60_000 }).toEqual([["In the copy"], ["After the copy was made"]]);
  await exec(alice, add, ["9780000000033", "Since then"]);
  for (const page of [alice, bob]) {
    await sees(page, "SELECT count(*) FROM book", 3);
    await light(page, "synced", 40_000);
  }
});

test("five thousand rows from elsewhere arrive with smooth progress", async ({ server, person }) => {
  await server.exec(
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
     INSERT INTO book (isbn, title, subtitle, remark)
     SELECT printf('978%010d', i), 'Title ' || i, 'Subtitle ' || i, printf('%.200c', 'x') FROM n`,
  );
  const page = await openShop(await person(), server.url);
  const seen = await page.evaluate(async () => {
    const client = (window as any).greenlight;
    const seen: number[] = [];
    const note = () => {
      const { progress } = client.status.current;
      if (progress?.direction === "down") seen.push(progress.changes.done / progress.changes.total);
    };
    client.status.addEventListener("change", note);
    note();
    for (let waited = 0; waited < 600 && client.status.current.state !== "synced"; waited++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return seen;
  });
  await light(page, "synced");
  await sees(page, "SELECT count(*) FROM book", 5_000);
  expect(seen.at(-1)).toBe(1);
  const steps = seen.map((done, index) => done - (seen[index - 1] ?? 0));
  expect(Math.min(...steps)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...steps), `${seen}`).toBeLessThan(0.5);
});

test("a token that expires is asked for again, without a reload", async ({ person }) => {
  const tokens = (token: string) => () => `
[[database]]
pattern = "shop"
schema = "shop"
create = true
[[token]]
database = "shop"
role = "write"
sha256 = "${createHash("sha256").update(token).digest("hex")}"
`;
  const server = await Server.start([], tokens("this-week's-token"));
  try {
    const page = await openShop(await person(), `${server.url}/#token=${encodeURIComponent("this-week's-token")}`);
    await light(page, "synced");
    await server.stop();
    await writeFile(path.join(server.folder, "greenlight.toml"), tokens("next-week's-token")());
    await server.again();
    await light(page, "stuck", 40_000);
    await expect(footer(page)).toHaveAttribute("data-reason", "unauthorized");
    await exec(page, add, ["9780000000019", "Written meanwhile"]);
    // The app's own token function gives another one from now on; nobody clicks, nobody reloads.
    await page.evaluate(() => localStorage.setItem("bookshop-token", "next-week's-token"));
    await light(page, "synced", 60_000);
    await expect(footer(page)).toHaveAttribute("data-pending", "0");
  } finally {
    await server.remove();
  }
});

test("a copied browser profile becomes another device, and both keep what they write", async ({ server }) => {
  const folder = await mkdtemp(path.join(tmpdir(), "greenlight-profiles-"));
  const open: BrowserContext[] = [];
  const start = async (name: string) => {
    const context = await launchProfile(path.join(folder, name));
    open.push(context);
    return openShop(context, server.url);
  };
  try {
    const first = await start("laptop");
    await light(first, "synced");
    await exec(first, add, ["9780000000019", "Before the copy"]);
    await light(first, "synced");
    const site = await first.evaluate(() => (window as any).greenlight.status.current.diagnostics.siteId);
    await open.pop()!.close();
    await cp(path.join(folder, "laptop"), path.join(folder, "copy"), { recursive: true });
    const [one, two] = [await start("laptop"), await start("copy")];
    await exec(one, add, ["9780000000026", "On the laptop"]);
    await exec(two, add, ["9780000000033", "On the copy"]);
    for (const page of [one, two]) {
      await light(page, "synced", 60_000);
      await sees(page, "SELECT count(*) FROM book", 3);
    }
    const sites = await Promise.all(
      [one, two].map((page) => page.evaluate(() => (window as any).greenlight.status.current.diagnostics.siteId)),
    );
    expect(new Set(sites).size, `${site} became ${sites}`).toBe(2);
    expect((await server.exec("SELECT count(*) FROM book")).rows).toEqual([[3]]);
  } finally {
    await Promise.all(open.map((context) => context.close()));
    await rm(folder, { recursive: true, force: true });
  }
});

test("a leading tab that freezes hands over, and what was written in it is there", async ({ server, person }) => {
  const context = await person();
  const leader = await openShop(context, server.url);
  await light(leader, "synced");
  const other = await openShop(context, server.url);
  await light(other, "synced");
  await exec(leader, add, ["9780000000019", "By the leader"]);
  const session = await context.newCDPSession(leader);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await exec(other, add, ["9780000000026", "While it is frozen"]);
  await light(other, "synced", 40_000);
  await expect.poll(async () => (await server.exec("SELECT count(*) FROM book")).rows, { timeout: 30_000 }).toEqual([[2]]);
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await sees(leader, "SELECT count(*) FROM book", 2);
  await light(leader, "synced", 40_000);
  expect(await query(leader, "SELECT title FROM book ORDER BY isbn")).toHaveLength(2);
});
