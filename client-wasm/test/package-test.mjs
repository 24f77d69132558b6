// The package as an app gets it: packed, installed into a fresh Vite app in a folder of its own, built, served under
// the policy that the README names, synced with a real server. Prints "N passed, 0 failed".
//
// Needs the built package (scripts/build-web) and a server (GREENLIGHT_SERVER, or target/release/greenlight-server).

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { launch, SCHEMA, serve, until } from "./browser.mjs";
import { startServer } from "./server.mjs";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const { devDependencies } = JSON.parse(await readFile(new URL("../../web/package.json", import.meta.url), "utf8"));
const QUIET = ["--no-audit", "--no-fund", "--loglevel=error"];
const run = promisify(execFile);

const APP = {
  "package.json": JSON.stringify({ name: "app", private: true, type: "module", scripts: { build: "vite build" } }),
  "index.html": `<!doctype html><title>App</title><script type="module" src="/main.js"></script>`,
  "main.js": `
    import { open } from "greenlight-client";
    import schema from "./shop.sql?raw";
    const url = new URLSearchParams(location.search).get("server");
    globalThis.db = await open({ name: "shop", url, schema, warnBeforeUnload: false });
    globalThis.ready = true;
  `,
  "shop.sql": SCHEMA,
};

/** Packs the package and installs it, with Vite, into a fresh app. */
async function install(folder) {
  const app = join(folder, "app");
  await mkdir(app);
  for (const [name, text] of Object.entries(APP)) await writeFile(join(app, name), text);
  const { stdout } = await run("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: PACKAGE });
  const [{ filename }] = [JSON.parse(stdout)].flatMap((found) => (Array.isArray(found) ? found : Object.values(found)));
  const wanted = [join(folder, filename), `vite@${devDependencies.vite}`];
  await run("npm", ["install", "--prefer-offline", ...QUIET, ...wanted], { cwd: app });
  return app;
}

const tests = {
  "the tarball holds what it exports and nothing from the sources": async ({ app }) => {
    const root = join(app, "node_modules", "greenlight-client");
    const { exports } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    for (const target of [exports["."].types, exports["."].default, exports["./worker"], exports["./wasm"]]) {
      assert.ok((await readFile(join(root, target))).length > 0, target);
    }
    assert.deepEqual((await readdir(root)).sort(), ["README.md", "dist", "package.json"]);
  },

  "importing it without a browser does nothing": async ({ app }) => {
    const code = `import { open, GreenlightError } from "greenlight-client"; console.log(typeof open, GreenlightError.name);`;
    const { stdout } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: app });
    assert.equal(stdout.trim(), "function GreenlightError");
  },

  "a Vite app builds with it, and its page syncs under the policy": async ({ app }) => {
    await run("npx", ["vite", "build"], { cwd: app });
    const pages = await serve(join(app, "dist"));
    const server = await startServer({ origin: new URL(pages.url).origin });
    const browser = await launch();
    try {
      const page = await browser.context.newPage();
      await page.goto(`${pages.url}?server=${encodeURIComponent(server.url)}`);
      await until(page, () => globalThis.ready).catch((error) => {
        throw new Error(`${error.message}\n${browser.log.join("\n")}`);
      });
      await page.evaluate(() => db.exec("INSERT INTO book (isbn, title) VALUES (?, ?)", ["1", "Emma"]));
      await until(page, () => db.status.current.state === "synced");
      assert.deepEqual((await server.exec("SELECT title FROM book")).rows, [["Emma"]]);
      await server.exec("UPDATE book SET title = 'Persuasion'");
      await until(page, () => db.query("SELECT title FROM book").then(([row]) => row.title === "Persuasion"));
      assert.deepEqual(browser.log, []);
    } finally {
      await browser.close();
      await server.close();
      await pages.close();
    }
  },
};

const folder = await mkdtemp(join(tmpdir(), "greenlight-package-"));
let failed = 0;
try {
  const app = await install(folder);
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test({ app });
      console.log(`ok      ${name}`);
    } catch (error) {
      failed++;
      console.log(`FAILED  ${name}\n${error.stack}\n${error.stdout ?? ""}${error.stderr ?? ""}`);
    }
  }
} catch (error) {
  failed = Object.keys(tests).length;
  console.log(`FAILED  the package could not be installed\n${error.stack}\n${error.stderr ?? ""}`);
} finally {
  await rm(folder, { recursive: true, force: true });
}
console.log(`${Object.keys(tests).length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
