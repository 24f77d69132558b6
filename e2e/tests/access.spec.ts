// Tokens in a browser: one that may only read, one that is taken back, one that is over.
import { execFileSync } from "node:child_process";

import { built, Server } from "../fixtures/server.js";
import { exec, expect, footer, light, openShop, query, sees, test as base } from "../fixtures/test.js";

const config = () => '[[database]]\npattern = "shop"\nschema = "shop"\ncreate = true\n';

const test = base.extend<{ guarded: Server }>({
  guarded: async ({}, use) => {
    const server = await Server.start([], config);
    await use(server);
    await server.remove();
  },
});

const command = (server: Server, ...args: string[]) =>
  execFileSync(built.server, ["token", ...args, "--data", server.data], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();

const add = (server: Server, name: string, role: string, ...more: string[]) =>
  command(server, "add", "--name", name, "--role", role, "--database", "shop", ...more);

const page = (server: Server, token: string) => `${server.url}/#${new URLSearchParams({ token })}`;

test("who may only read sees everything, writes nothing, and the light says so", async ({ guarded, person }) => {
  const writer = await openShop(await person(), page(guarded, add(guarded, "till", "write")));
  const reader = await openShop(await person(), page(guarded, add(guarded, "window", "read")));
  expect(reader.url()).not.toContain("token");
  await light(writer, "synced");
  await light(reader, "synced");
  await expect(reader.getByTestId("sync-button")).toContainText("Remote DB (read only)");
  await expect(writer.getByTestId("sync-button")).not.toContainText("read only");
  await exec(writer, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'For all to see')");
  await sees(reader, "SELECT title FROM book", "For all to see");

  const refused = reader.evaluate(() =>
    (window as any).greenlight.exec("UPDATE book SET title = 'Mine'").then(
      () => "done",
      (error: any) => error.code,
    ),
  );
  expect(await refused).toBe("read_only");
  expect(await query(reader, "SELECT title FROM book")).toEqual([{ title: "For all to see" }]);
  await expect(footer(reader)).toHaveAttribute("data-pending", "0");
  await light(reader, "synced");

  // It is known without the server too.
  await guarded.stop();
  await reader.reload();
  await light(reader, "disconnected");
  const offline = reader.evaluate(() => (window as any).greenlight.exec("DELETE FROM book").catch((error: any) => error.code));
  expect(await offline).toBe("read_only");
  await expect(reader.getByTestId("sync-button")).toContainText("(read only)");
});

test("a token that is taken back asks to sign in, and the next one goes on where it was", async ({ guarded, person }) => {
  const alice = await openShop(await person(), page(guarded, add(guarded, "alice", "write")));
  await light(alice, "synced");
  command(guarded, "revoke", "alice");
  await light(alice, "stuck", 10_000);
  await expect(footer(alice)).toHaveAttribute("data-reason", "unauthorized");
  await exec(alice, "INSERT INTO book (isbn, title) VALUES ('9780000000019', 'Kept meanwhile')");
  await expect(footer(alice)).not.toHaveAttribute("data-pending", "0");
  const next = add(guarded, "alice again", "write");
  await alice.getByTestId("sync-button").click();
  await alice.getByTestId("sync-sign-in").click();
  await alice.getByTestId("sign-in-token").fill(next);
  await alice.getByTestId("sign-in-save").click();
  await light(alice, "synced");
  const bob = await openShop(await person(), page(guarded, next));
  await sees(bob, "SELECT title FROM book", "Kept meanwhile");
});

test("a token that is over closes the socket, and the light says why", async ({ guarded, person }) => {
  const alice = await openShop(await person(), page(guarded, add(guarded, "for a moment", "write", "--expires", "6s")));
  await light(alice, "synced");
  await light(alice, "stuck", 15_000);
  await expect(footer(alice)).toHaveAttribute("data-reason", "unauthorized");
});
