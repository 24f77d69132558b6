// Warehouses and what lies in them. Stock is never written: it is what committed notes add up to.

import type { Greenlight } from "greenlight-client";
import { newId } from "./ids.ts";
import { authorsSql } from "./pieces.ts";
import { containing, PAGE_SIZE, query, type Query } from "./query.ts";

export interface Warehouse {
  id: string;
  name: string;
  address: string;
  discount_percent: number;
}

export interface WarehouseTotal extends Warehouse {
  titles: number;
  copies: number;
  worth_cents: number;
}

export const warehouses = (): Query<Warehouse> =>
  query("SELECT id, name, address, discount_percent FROM warehouse ORDER BY position, name COLLATE NOCASE");

/** Every warehouse with what it holds, in one pass over the committed lines. */
export const warehouseTotals = (): Query<WarehouseTotal> =>
  query(
    `SELECT w.id, w.name, w.address, w.discount_percent, COALESCE(t.titles, 0) AS titles,
            COALESCE(t.copies, 0) AS copies, COALESCE(t.worth, 0) AS worth_cents
       FROM warehouse w LEFT JOIN (
            SELECT s.warehouse_id, COUNT(*) AS titles, SUM(s.quantity) AS copies, SUM(s.quantity * b.price_cents) AS worth
              FROM stock s LEFT JOIN book b ON b.isbn = s.isbn GROUP BY s.warehouse_id) t ON t.warehouse_id = w.id
      ORDER BY w.position, w.name COLLATE NOCASE`,
  );

/** Copies alone: several times cheaper than the full totals. */
export const copiesByWarehouse = (): Query<{ id: string; name: string; copies: number }> =>
  query(
    `SELECT w.id, w.name, COALESCE(t.copies, 0) AS copies
       FROM warehouse w LEFT JOIN (SELECT warehouse_id, SUM(quantity) AS copies FROM stock_movement GROUP BY warehouse_id) t
         ON t.warehouse_id = w.id
      ORDER BY w.position, w.name COLLATE NOCASE`,
  );

export const oneWarehouse = (id: string): Query<Warehouse> =>
  query("SELECT id, name, address, discount_percent FROM warehouse WHERE id = ?1", [id]);

export interface StockRow {
  isbn: string;
  title: string | null;
  authors: string | null;
  price_cents: number | null;
  shelf: string | null;
  quantity: number;
}

const STOCK_HERE = `SELECT isbn, SUM(quantity) AS quantity FROM stock_movement WHERE warehouse_id = ?1
  GROUP BY isbn HAVING SUM(quantity) <> 0`;
const FOUND = "(b.title LIKE ?2 ESCAPE '\\' OR s.isbn LIKE ?2 ESCAPE '\\')";

/** One page of a warehouse's stock, by title. */
export function stockOf(warehouse: string, search: string, page: number): Query<StockRow> {
  return query(
    `SELECT p.isbn, p.title, p.quantity, p.price_cents, ${authorsSql("p.isbn")} AS authors, sb.shelf_code AS shelf
       FROM (SELECT s.isbn, b.title, b.price_cents, s.quantity FROM (${STOCK_HERE}) s LEFT JOIN book b ON b.isbn = s.isbn
              WHERE ${FOUND} ORDER BY b.title COLLATE NOCASE, s.isbn LIMIT ${PAGE_SIZE} OFFSET ${page * PAGE_SIZE}) p
       LEFT JOIN shelf_book sb ON sb.warehouse_id = ?1 AND sb.isbn = p.isbn
      ORDER BY p.title COLLATE NOCASE, p.isbn`,
    [warehouse, containing(search.trim())],
  );
}

export function countStockOf(warehouse: string, search: string): Query<{ n: number; copies: number | null }> {
  return query(
    `SELECT COUNT(*) AS n, SUM(s.quantity) AS copies FROM (${STOCK_HERE}) s LEFT JOIN book b ON b.isbn = s.isbn WHERE ${FOUND}`,
    [warehouse, containing(search.trim())],
  );
}

/** Where one book lies. */
export function stockOfBook(isbn: string): Query<{ warehouse_id: string; name: string | null; shelf: string | null; quantity: number }> {
  return query(
    `SELECT s.warehouse_id, w.name, s.quantity, sb.shelf_code AS shelf
       FROM (SELECT warehouse_id, SUM(quantity) AS quantity FROM stock_movement WHERE isbn = ?1
              GROUP BY warehouse_id HAVING SUM(quantity) <> 0) s
       LEFT JOIN warehouse w ON w.id = s.warehouse_id
       LEFT JOIN shelf_book sb ON sb.warehouse_id = s.warehouse_id AND sb.isbn = ?1
      ORDER BY w.position, w.name COLLATE NOCASE`,
    [isbn],
  );
}

/** Adds a warehouse, or writes the fields that differ from `before`. Answers its id. */
export async function saveWarehouse(db: Greenlight, before: Warehouse | null, after: Omit<Warehouse, "id">): Promise<string> {
  if (before === null) {
    const id = newId();
    await db.exec(
      `INSERT INTO warehouse (id, name, address, discount_percent, position)
       VALUES (?1, ?2, ?3, ?4, (SELECT COALESCE(MAX(position), 0) + 1 FROM warehouse))`,
      [id, after.name, after.address, after.discount_percent],
    );
    return id;
  }
  const changed = (["name", "address", "discount_percent"] as const).filter((field) => before[field] !== after[field]);
  if (changed.length > 0) {
    const sets = changed.map((field, i) => `${field} = ?${i + 2}`).join(", ");
    await db.exec(`UPDATE warehouse SET ${sets} WHERE id = ?1`, [before.id, ...changed.map((field) => after[field])]);
  }
  return before.id;
}

/** Removes an empty warehouse. Throws while there is stock in it or a note for it. */
export async function deleteWarehouse(db: Greenlight, id: string): Promise<void> {
  await db.transaction(async (tx) => {
    const used = await tx.query(
      "SELECT 1 FROM inbound_note WHERE warehouse_id = ?1 UNION ALL SELECT 1 FROM outbound_line WHERE warehouse_id = ?1 LIMIT 1",
      [id],
    );
    if (used.length > 0) throw new Error("Notes refer to this warehouse, so it has to stay.");
    await tx.exec("DELETE FROM shelf WHERE warehouse_id = ?1", [id]);
    await tx.exec("DELETE FROM shelf_book WHERE warehouse_id = ?1", [id]);
    await tx.exec("DELETE FROM warehouse WHERE id = ?1", [id]);
  });
}

/** Where a book stands in a warehouse; an empty code takes it off its shelf. */
export async function setShelf(db: Greenlight, warehouse: string, isbn: string, code: string): Promise<void> {
  await db.exec(
    `INSERT INTO shelf_book (warehouse_id, isbn, shelf_code) VALUES (?1, ?2, ?3)
     ON CONFLICT (warehouse_id, isbn) DO UPDATE SET shelf_code = excluded.shelf_code`,
    [warehouse, isbn, code],
  );
}
