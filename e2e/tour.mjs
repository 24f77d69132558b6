// Drives the bookshop through its views and the light through its states, and writes what a person sees to target/tour.
// Needs what `make tour` builds; starts its own server in a fresh folder and ends it.
import { execFile, spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

import { chromium } from "@playwright/test";

const root = path.resolve(import.meta.dirname, "..");
const server = process.env.GREENLIGHT_SERVER ?? path.join(root, "target/release/greenlight-server");
const web = process.env.GREENLIGHT_WEB ?? path.join(root, "web/dist");
const out = path.join(root, "target/tour");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const looks = {
  light: { colorScheme: "light", viewport: { width: 1280, height: 820 } },
  dark: { colorScheme: "dark", viewport: { width: 1280, height: 820 } },
  phone: { colorScheme: "light", viewport: { width: 390, height: 844 } },
};
const views = { today: "#/", books: "#/books", stock: "#/warehouses", inbound: "#/inbound", outbound: "#/outbound" };

const data = await mkdtemp(path.join(tmpdir(), "greenlight-tour-"));
await mkdir(out, { recursive: true });
const schema = path.join(root, "web/schemas/shop.sql");
await promisify(execFile)(path.join(path.dirname(server), "greenlight-demo"), ["--data", data, "--schema", schema]);
const child = spawn(server, ["--data", data, "--schemas", path.dirname(schema), "--web", web, "--dev", "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
const url = await new Promise((resolve, reject) => {
  child.stdout.on("data", (said) => {
    const found = /listening on (\S+)/.exec(String(said));
    if (found) resolve(found[1]);
  });
  child.once("exit", (code) => reject(new Error(`the server ended with ${code}`)));
});
const browser = await chromium.launch({ executablePath: process.env.GREENLIGHT_CHROMIUM ?? "/usr/bin/chromium", args: flags });
try {
  for (const [look, options] of Object.entries(looks)) {
    const page = await (await browser.newContext(options)).newPage();
    const shoot = async (name) => {
      await page.screenshot({ path: path.join(out, `${name}-${look}.png`) });
      console.log(`target/tour/${name}-${look}.png`);
    };
    await page.goto(url);
    if (look === "light") {
      await page.locator('[data-testid="first-sync"]').waitFor({ timeout: 30_000 });
      await shoot("first-sync");
    }
    await page.locator('sync-footer[data-status="synced"]').waitFor({ timeout: 180_000 });
    for (const [name, hash] of Object.entries(views)) {
      await page.goto(`${url}/${hash}`);
      await page.waitForTimeout(1_200);
      await shoot(name);
    }
    await page.goto(`${url}/states.html?theme=${options.colorScheme}`);
    await page.waitForTimeout(500);
    await shoot("states");
    await page.context().close();
  }
} finally {
  await browser.close();
  child.kill("SIGTERM");
  await rm(data, { recursive: true, force: true });
}
