// A page and a server whose schemas are not the same: what is only added goes on, anything else says what to do.
import { Server } from "../fixtures/server.js";
import { exec, expect, footer, light, openShop, sees, test } from "../fixtures/test.js";

const add = "INSERT INTO book (isbn, title) VALUES (?, ?)";
const numbered = (schema: string, number: number) => schema.replace(/-- schema: shop \d+/, `-- schema: shop ${number}`);

test("a server that has more goes on with an older page, which keeps aside what it doesn't know", async ({ person }) => {
  const server = await Server.withSchema((schema) =>
    numbered(schema, 2).replace("remark TEXT NOT NULL DEFAULT '',", "remark TEXT NOT NULL DEFAULT '',\n  shelf_mark TEXT NOT NULL DEFAULT '',"),
  );
  try {
    const page = await openShop(await person(), server.url);
    await light(page, "synced");
    await exec(page, add, ["9780000000019", "From the older page"]);
    await light(page, "synced");
    await server.exec("UPDATE book SET shelf_mark = 'B 12', title = 'Known by both'");
    await sees(page, "SELECT title FROM book", "Known by both");
    await light(page, "synced");
    await expect.poll(() => page.evaluate(() => (window as any).greenlight.status.current.heldAside)).toBe(1);
    await page.getByTestId("sync-button").click();
    await expect(page.getByTestId("sync-facts")).toContainText("newer");
  } finally {
    await server.remove();
  }
});

for (const [what, number, reason, remedy] of [
  ["is newer and lacks a column", 2, "schema_older", "update_app"],
  ["has the same number and another structure", 1, "schema_differs", "nuke_and_resync"],
] as const) {
  test(`a server whose schema ${what} is incompatible, with the column's name and what to do`, async ({ person }) => {
    const server = await Server.withSchema((schema) => numbered(schema, number).replace("  subtitle TEXT NOT NULL DEFAULT '',\n", ""));
    try {
      const page = await openShop(await person(), server.url);
      await light(page, "incompatible", 10_000);
      await expect(footer(page)).toHaveAttribute("data-reason", reason);
      await page.getByTestId("sync-button").click();
      await expect(page.getByTestId("sync-sentence")).toContainText(/book.*subtitle/);
      expect(await page.evaluate(() => (window as any).greenlight.status.current.remedy)).toBe(remedy);
      // The shop goes on, and what is typed is kept.
      await exec(page, add, ["9780000000019", "Kept"]);
      await sees(page, "SELECT title FROM book", "Kept");
      await expect(footer(page)).toHaveAttribute("data-pending", /[1-9]/);
    } finally {
      await server.remove();
    }
  });
}

test("with every other way to the server blocked, the socket is enough", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await page.context().route(/\/(meta|health|status|exec|file)$/, (route) => route.abort());
  await page.reload();
  await light(page, "synced");
  await exec(page, add, ["9780000000019", "By the socket alone"]);
  await expect.poll(async () => (await server.exec("SELECT title FROM book")).rows).toEqual([["By the socket alone"]]);
});
