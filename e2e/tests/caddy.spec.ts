// Behind the real Caddy, as an operator runs it: what an app needs passes, what is the operator's needs its token.
import { createHash } from "node:crypto";

import { Caddy } from "../fixtures/caddy.js";
import { Server } from "../fixtures/server.js";
import { exec, expect, footer, launch, light, openShop, sees, test as base } from "../fixtures/test.js";

const tokens = { read: "a-reader's-own-token", write: "a-bookseller's-token", admin: "an-operator's-token" };
const digest = (token: string) => createHash("sha256").update(token).digest("hex");

/** The page comes from the server's own port, so to the synchronisation behind Caddy it is a page elsewhere. */
const config = (port: number) => `
origins = ["http://127.0.0.1:${port}"]
[[database]]
pattern = "shop*"
schema = "shop"
create = true
${Object.entries(tokens)
  .map(([role, token]) => `[[token]]\ndatabase = "*"\nrole = "${role}"\nsha256 = "${digest(token)}"\n`)
  .join("")}`;

type Fixtures = { secured: Server; caddy: Caddy };

const test = base.extend<Fixtures, { chrome: import("@playwright/test").Browser }>({
  // Caddy's own authority is known to no browser; the tests' own requests check its certificate.
  chrome: [
    async ({}, use) => {
      const chrome = await launch(["--ignore-certificate-errors"]);
      await use(chrome);
      await chrome.close();
    },
    { scope: "worker" },
  ],
  secured: async ({}, use) => {
    const server = await Server.start([], config);
    await use(server);
    await server.remove();
  },
  caddy: async ({ secured }, use) => {
    const caddy = await Caddy.start(secured.port);
    await use(caddy);
    await caddy.remove();
  },
});

const page = (server: Server, caddy: Caddy, token: string, database = "shop") =>
  `${server.url}/?${new URLSearchParams({ server: `wss://${caddy.host}`, db: database })}#${new URLSearchParams({ token })}`;

for (const database of ["shop", "shop.db", "shop.sqlite3", "shop-42"]) {
  test(`two browsers are in step through Caddy: ${database}`, async ({ secured, caddy, person }) => {
    const alice = await openShop(await person(), page(secured, caddy, tokens.write, database));
    const bob = await openShop(await person(), page(secured, caddy, tokens.write, database));
    await light(alice, "synced");
    await light(bob, "synced");
    await exec(alice, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Past the gate')");
    await sees(bob, "SELECT title FROM book", "Past the gate");
    const sql = JSON.stringify({ sql: "UPDATE book SET title = 'By the operator'" });
    expect(await caddy.ask(`/${database}/exec`, { method: "POST", body: sql, token: tokens.admin })).toMatchObject({ status: 200 });
    await sees(alice, "SELECT title FROM book", "By the operator");
    await light(alice, "synced");
  });
}

test("a wrong token is told from an outage, and the right one helps without a reload", async ({ secured, caddy, person }) => {
  const alice = await openShop(await person(), page(secured, caddy, "not-a-token-of-anyone"));
  await light(alice, "stuck");
  await expect(footer(alice)).toHaveAttribute("data-reason", "unauthorized");
  await exec(alice, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Written meanwhile')");
  await alice.getByTestId("sync-button").click();
  await alice.getByTestId("sync-sign-in").click();
  await alice.getByTestId("sign-in-token").fill(tokens.write);
  await alice.getByTestId("sign-in-save").click();
  await light(alice, "synced");
  const titles = JSON.stringify({ sql: "SELECT title FROM book" });
  const answer = await caddy.ask("/shop/exec", { method: "POST", body: titles, token: tokens.admin });
  expect(JSON.parse(answer.body).rows).toEqual([["Written meanwhile"]]);
});

test("the server's end behind a living Caddy is an outage, and heals by itself", async ({ secured, caddy, person }) => {
  const alice = await openShop(await person(), page(secured, caddy, tokens.write));
  await light(alice, "synced");
  await secured.stop();
  await light(alice, "disconnected");
  await exec(alice, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Written meanwhile')");
  // Caddy answers every attempt with 502, for longer than three of them take.
  for (let seconds = 0; seconds < 8; seconds++) {
    await alice.waitForTimeout(1_000);
    expect(await footer(alice).getAttribute("data-status")).toMatch(/disconnected|connecting/);
  }
  expect((await caddy.ask("/shop/meta", { token: tokens.read })).status).toBe(502);
  await secured.again();
  await light(alice, "synced", 40_000);
  const titles = JSON.stringify({ sql: "SELECT title FROM book" });
  const answer = await caddy.ask("/shop/exec", { method: "POST", body: titles, token: tokens.admin });
  expect(JSON.parse(answer.body).rows).toEqual([["Written meanwhile"]]);
});

test("the operator's page shows nothing before its token is typed in", async ({ secured, caddy, person }) => {
  const alice = await openShop(await person(), page(secured, caddy, tokens.write));
  await light(alice, "synced");
  const operator = await (await person()).newPage();
  await operator.goto(`https://${caddy.host}/status`);
  const field = operator.getByLabel("This page needs an operator's token.");
  await field.fill(tokens.write);
  await operator.getByRole("button", { name: "Show" }).click();
  await expect(operator.locator("#denied")).toContainText(/\w/);
  await expect(operator.getByRole("heading", { name: "shop" })).toHaveCount(0);
  await field.fill(tokens.admin);
  await operator.getByRole("button", { name: "Show" }).click();
  await expect(operator.getByRole("heading", { name: "shop" })).toBeVisible();
  await expect(operator.getByRole("row")).toContainText([/Client/, /synced/]);
});

test("what must not pass does not", async ({ caddy }) => {
  const sql = JSON.stringify({ sql: "SELECT 1" });
  const bodyOf = (to: string) => (to.includes("/quarantine/") ? JSON.stringify({ ids: [] }) : sql);
  const open = { method: "POST", body: sql };
  // The database is made by its first use.
  expect(await caddy.ask("/shop/exec", { ...open, token: tokens.admin })).toMatchObject({ status: 200 });
  const cells: [string, object, string, number][] = [];
  for (const [method, to, least] of [
    ["GET", "/shop/meta", "read"],
    ["GET", "/shop/file", "read"],
    ["GET", "/shop/status", "admin"],
    ["POST", "/shop/exec", "admin"],
    ["POST", "/shop/reset", "admin"],
    ["GET", "/shop/quarantine", "admin"],
    ["POST", "/shop/quarantine/retry", "admin"],
    ["POST", "/shop/quarantine/drop", "admin"],
    ["GET", "/status", "admin"],
    ["GET", "/metrics", "admin"],
  ] as const) {
    const roles = ["", "read", "write", "admin"] as const;
    for (const role of roles) {
      const allowed = roles.indexOf(role) >= roles.indexOf(least);
      const token = role ? tokens[role] : undefined;
      const body = method === "POST" ? bodyOf(to) : undefined;
      cells.push([to, { method, token, body }, role || "no token", allowed ? 200 : role ? 403 : 401]);
    }
    cells.push([to, { method, token: "not-a-token-of-anyone", body: method === "POST" ? bodyOf(to) : undefined }, "wrong token", 401]);
  }
  const found: string[] = [];
  for (const [to, more, who, expected] of cells) {
    const answer = await caddy.ask(to, more);
    if (answer.status !== expected) found.push(`${to} for ${who}: ${answer.status} instead of ${expected}: ${answer.body}`);
    if (expected !== 200) expect(JSON.parse(answer.body).error.code, `${to} for ${who}`).toMatch(/^(unauthorized|forbidden)$/);
  }
  expect(found).toEqual([]);
});

test("what is nobody's is not found, and the way in can't be bent", async ({ caddy }) => {
  for (const to of ["/assets/index.js", "/index.html", "/shop", "/shop/", "/shop/secret", "/shop/quarantine/all", "/quarantine", "/../etc/passwd", "/-shop/meta", "/shop%2Fmeta"]) {
    const answer = await caddy.ask(to, { token: tokens.admin });
    expect(answer.status, to).toBe(404);
    expect(JSON.parse(answer.body).error.code, to).toBe("not_found");
  }
  const forged = { "x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", forwarded: "for=127.0.0.1" };
  expect(await caddy.ask("/metrics", { headers: forged })).toMatchObject({ status: 401 });
  expect(await caddy.ask("/health")).toMatchObject({ status: 200 });
});

test("a page of another origin gets no socket", async ({ secured, caddy, person }) => {
  const anyone = await (await person()).newPage();
  const opens = async (origin: string) => {
    // Its policy allows sockets to anywhere, so that nothing but the server can refuse.
    await anyone.goto(`${origin}/index.html`);
    return anyone.evaluate(
      (address) =>
        new Promise((resolve) => {
          const socket = new WebSocket(address, "greenlight.v1");
          socket.onopen = () => resolve("open");
          socket.onerror = () => resolve("refused");
        }),
      `wss://${caddy.host}/shop/sync`,
    );
  };
  expect(await opens(secured.url)).toBe("open");
  expect(await opens(secured.url.replace("127.0.0.1", "localhost"))).toBe("refused");
});

base("a server in development lets nothing in through Caddy", async ({ server }) => {
  const caddy = await Caddy.start(server.port);
  try {
    for (const [to, method] of [["/shop/meta", "GET"], ["/shop/exec", "POST"], ["/shop/reset", "POST"], ["/shop/quarantine", "GET"], ["/shop/quarantine/drop", "POST"], ["/status", "GET"], ["/metrics", "GET"]] as const) {
      const answer = await caddy.ask(to, { method, body: method === "POST" ? '{"sql":"SELECT 1"}' : undefined });
      expect(answer.status, to).toBe(403);
      expect(JSON.parse(answer.body).error.code, to).toBe("development_only");
    }
    // The same, asked for directly, is what --dev is for.
    expect((await fetch(`${server.url}/shop/meta`)).status).toBe(200);
  } finally {
    await caddy.remove();
  }
});
