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

test("a change that the server's own rules refuse is set aside there and stops no other", async ({ person }) => {
  const rule = "CREATE TRIGGER picky BEFORE INSERT ON book WHEN new.isbn LIKE '%13' BEGIN SELECT RAISE(ABORT, 'no thirteen'); END;";
  const server = await Server.withSchema((schema) => `${schema.trimEnd()}\n${rule}\n`);
  try {
    const [alice, bob] = [await openShop(await person(), server.url), await openShop(await person(), server.url)];
    await light(alice, "synced");
    for (const isbn of ["9780000000012", "9780000000013", "9780000000014"]) await exec(alice, add, [isbn, `Number ${isbn}`]);
    // It is on the server's disk, which is what pending and green are about; and what came after it is in force.
    await light(alice, "synced");
    await sees(bob, "SELECT group_concat(isbn, ' ') FROM (SELECT isbn FROM book ORDER BY isbn)", "9780000000012 9780000000014");
    const asked = await fetch(`${server.url}/shop/quarantine`);
    const { rows } = await asked.json();
    expect(rows[0]).toMatchObject({ table: "book", key: ["9780000000013"], reason: "no thirteen" });
    // Nothing is compared while what differs is known: it would look like damage.
    await alice.reload();
    await light(alice, "synced");
    for (let seconds = 0; seconds < 8; seconds++) {
      await alice.waitForTimeout(1_000);
      expect(await footer(alice).getAttribute("data-status")).toBe("synced");
    }
    await sees(alice, "SELECT count(*) FROM book", 3);
    // Dropped by the operator, it is gone with Alice too, and then all is equal.
    const body = JSON.stringify({ ids: rows.map((row: { id: string }) => row.id) });
    const dropped = await fetch(`${server.url}/shop/quarantine/drop`, { method: "POST", headers: { "content-type": "application/json" }, body });
    expect(dropped.ok).toBe(true);
    await sees(alice, "SELECT count(*) FROM book", 2);
    await alice.reload();
    await light(alice, "synced");
    await expect
      .poll(() => alice.evaluate(() => (window as any).greenlight.status.current.verifiedAt), { timeout: 30_000 })
      .not.toBeNull();
    await light(alice, "synced");
    await light(bob, "synced");
  } finally {
    await server.remove();
  }
});

test("with every other way to the server blocked, the socket is enough", async ({ server, person }) => {
  const page = await openShop(await person(), server.url);
  await light(page, "synced");
  await page.context().route(/\/(meta|health|status|exec|file)$/, (route) => route.abort());
  await page.reload();
  await light(page, "synced");
  await exec(page, add, ["9780000000019", "By the socket alone"]);
  await expect.poll(async () => (await server.exec("SELECT title FROM book")).rows).toEqual([["By the socket alone"]]);
});
