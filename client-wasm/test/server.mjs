// A real server for tests: a fresh folder, a free port, ended by its own handle. GREENLIGHT_SERVER names the program.

import { spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DEADLINE_MS, SCHEMA } from "./browser.mjs";

const PROGRAM =
  process.env.GREENLIGHT_SERVER ?? fileURLToPath(new URL("../../target/release/greenlight-server", import.meta.url));

/**
 * Starts a server for database `shop`. `web` is a folder to serve on the same port, `origin` that of a page elsewhere.
 */
export async function startServer({ web, origin, schema = SCHEMA } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "greenlight-server-"));
  // A server that does not start, or a test that is cut off, leaves nothing behind either.
  process.once("exit", () => {
    server.child?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  await mkdir(join(folder, "data"));
  await mkdir(join(folder, "schemas"));
  await writeFile(join(folder, "schemas", "shop.sql"), schema);
  const server = {
    folder,
    address: "127.0.0.1:0",
    /** Starts it, again on the same port after `stop`. */
    async start() {
      const paths = ["--data", join(folder, "data"), "--schemas", join(folder, "schemas")];
      const pages = [...(web ? ["--web", web] : []), ...(origin ? ["--origin", origin] : [])];
      const args = [...paths, "--listen", server.address, "--dev", ...pages];
      const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "pipe"] });
      server.child = child;
      server.address = await listening(child);
      server.url = `http://${server.address}`;
    },
    async stop() {
      const gone = new Promise((resolve) => server.child.once("exit", resolve));
      if (server.child.exitCode === null && server.child.signalCode === null) {
        server.child.kill("SIGTERM");
        await gone;
      }
    },
    async close() {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
    async exec(sql, params) {
      const response = await fetch(`${server.url}/shop/exec`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ sql, params }),
      });
      if (!response.ok) throw new Error(`exec: ${response.status} ${await response.text()}`);
      return response.json();
    },
  };
  await server.start();
  return server;
}

/** The address that a server prints when it listens. */
function listening(child) {
  return new Promise((resolve, reject) => {
    let output = "";
    const limit = setTimeout(() => reject(new Error(`the server said no address: ${output}`)), DEADLINE_MS);
    const hear = (data) => {
      output += data;
      const found = /(127\.0\.0\.1:\d+)/.exec(output);
      if (found) {
        clearTimeout(limit);
        resolve(found[1]);
      }
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", (data) => (output += data));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${output}`)));
  });
}
