// What the tests share: a static server on a free port, and Chromium with a profile of its own. Both end with the test.

import { createReadStream, rmSync } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const TYPES = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};
/** What the package needs, as its README names it; so every test proves that it is enough. */
export const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ws:";
const CHROMIUM = process.env.GREENLIGHT_CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
/** Generous: a busy machine is no failure. */
export const DEADLINE_MS = 30_000;

/** Serves a folder; `/dist/` is the package's. */
export async function serve(folder = fileURLToPath(new URL("./page", import.meta.url))) {
  const dist = fileURLToPath(new URL("../dist", import.meta.url));
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    const file = path.startsWith("/dist/")
      ? join(dist, path.slice("/dist".length))
      : join(folder, path === "/" ? "/index.html" : path);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return response.writeHead(404).end();
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    response.writeHead(200, { "content-type": type, "content-security-policy": POLICY });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () => new Promise((resolve) => (server.closeAllConnections(), server.close(resolve))),
  };
}

/** A browser with an empty profile. What its pages say on the console and fail with is in `log`. */
export async function launch() {
  const profile = await mkdtemp(join(tmpdir(), "greenlight-client-"));
  // A browser that does not start, or a test that is cut off, leaves nothing behind either.
  process.once("exit", () => rmSync(profile, { recursive: true, force: true }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: CHROMIUM,
    headless: true,
    args: FLAGS,
  });
  context.setDefaultTimeout(DEADLINE_MS);
  const log = [];
  const listen = (page) => {
    page.on("console", (message) => log.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => log.push(`uncaught: ${error.message}`));
  };
  context.pages().forEach(listen);
  context.on("page", listen);
  return {
    context,
    log,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

export const SCHEMA = `-- schema: shop 1
CREATE TABLE book (isbn TEXT NOT NULL PRIMARY KEY, title TEXT NOT NULL DEFAULT '', pages INTEGER, price REAL, cover BLOB);
CREATE TABLE shelf (place TEXT NOT NULL, isbn TEXT NOT NULL, copies INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (place, isbn));
CREATE VIEW stock AS SELECT isbn, sum(copies) AS copies FROM shelf GROUP BY isbn;
`;

/** Opens a page and a database in it, as `db` in the page's scope. Options as the package's `open` takes them. */
export async function openPage(browser, url, options = {}) {
  const page = await browser.context.newPage();
  await page.goto(url);
  await openDatabase(page, options);
  return page;
}

export async function openDatabase(page, options = {}) {
  // Nothing listens there: these tests are of a client that is offline.
  const all = { name: "shop", url: "ws://127.0.0.1:9", schema: SCHEMA, warnBeforeUnload: false, ...options };
  await page.evaluate(async (all) => (globalThis.db = await globalThis.greenlight.open(all)), all);
}

/** Runs a query in the page and returns its rows. */
export const query = (page, sql, params) =>
  page.evaluate(([sql, params]) => globalThis.db.query(sql, params), [sql, params]);
export const exec = (page, sql, params) =>
  page.evaluate(([sql, params]) => globalThis.db.exec(sql, params), [sql, params]);

/** Waits until an expression of the page's is true. */
export const until = (page, expression, argument) =>
  page.waitForFunction(expression, argument, { timeout: DEADLINE_MS, polling: 50 });

/** What a call in the page, given as a function of `db` and an argument, is rejected with; null when it is not. */
export async function rejection(page, call, argument) {
  await page.evaluate((argument) => (globalThis.argument = argument), argument);
  return page.evaluate(`(async () => {
    try {
      await (${call})(globalThis.db, argument);
      return null;
    } catch ({ name, code, message }) {
      return { name, code, message };
    }
  })()`);
}
