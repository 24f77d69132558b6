// Notes: deliveries that come in, sales that go out. A draft can be changed; a committed note moves stock and stays.

import type { Greenlight, Value } from "greenlight-client";
import { newId } from "./ids.ts";
import { authorsSql, copiesSql } from "./pieces.ts";
import { containing, PAGE_SIZE, query, type Query } from "./query.ts";

export type Kind = "inbound" | "outbound";

export interface NoteRow {
  id: string;
  name: string;
  /** The warehouse of a delivery, the customer of a sale. */
  party: string | null;
  created_at: number;
  committed_at: number | null;
  lines: number;
  copies: number | null;
  total_cents: number | null;
}

export interface Note {
  id: string;
  name: string;
  warehouse_id: string;
  supplier_id: string;
  customer_id: string;
  created_at: number;
  committed_at: number | null;
}

export interface Line {
  isbn: string;
  warehouse_id: string;
  quantity: number;
  each_cents: number;
  title: string | null;
  authors: string | null;
  price_cents: number | null;
}

// What differs between the two kinds. The names are fixed here and never come from outside.
const SHAPE = {
  inbound: { note: "inbound_note", line: "inbound_line", each: "cost_cents", party: "(SELECT w.name FROM warehouse w WHERE w.id = n.warehouse_id)" },
  outbound: { note: "outbound_note", line: "outbound_line", each: "price_cents", party: "(SELECT c.name FROM customer c WHERE c.id = n.customer_id)" },
} as const;

/** Drafts are few; more than this are not shown. */
const DRAFT_LIMIT = 100;

function rows(kind: Kind, inner: string): string {
  const { line, each, party } = SHAPE[kind];
  return `SELECT n.id, n.name, n.created_at, n.committed_at, ${party} AS party,
      (SELECT COUNT(*) FROM ${line} l WHERE l.note_id = n.id) AS lines,
      (SELECT SUM(l.quantity) FROM ${line} l WHERE l.note_id = n.id) AS copies,
      (SELECT SUM(l.quantity * l.${each}) FROM ${line} l WHERE l.note_id = n.id) AS total_cents
    FROM (${inner}) n`;
}

export function draftNotes(kind: Kind): Query<NoteRow> {
  const inner = `SELECT * FROM ${SHAPE[kind].note} WHERE committed_at IS NULL ORDER BY created_at DESC LIMIT ${DRAFT_LIMIT}`;
  return query(`${rows(kind, inner)} ORDER BY n.created_at DESC`);
}

export function committedNotes(kind: Kind, search: string, page: number): Query<NoteRow> {
  const inner = `SELECT * FROM ${SHAPE[kind].note} WHERE committed_at IS NOT NULL AND name LIKE ?1 ESCAPE '\\'
    ORDER BY committed_at DESC LIMIT ${PAGE_SIZE} OFFSET ${page * PAGE_SIZE}`;
  return query(`${rows(kind, inner)} ORDER BY n.committed_at DESC`, [containing(search.trim())]);
}

export function countCommitted(kind: Kind, search: string): Query<{ n: number }> {
  return query(
    `SELECT COUNT(*) AS n FROM ${SHAPE[kind].note} WHERE committed_at IS NOT NULL AND name LIKE ?1 ESCAPE '\\'`,
    [containing(search.trim())],
  );
}

export function oneNote(kind: Kind, id: string): Query<Note> {
  const parties = kind === "inbound" ? "warehouse_id, supplier_id, '' AS customer_id" : "'' AS warehouse_id, '' AS supplier_id, customer_id";
  return query(`SELECT id, name, ${parties}, created_at, committed_at FROM ${SHAPE[kind].note} WHERE id = ?1`, [id]);
}

/** A note's lines, the one added last on top, as a person who scans expects. */
export function linesOf(kind: Kind, id: string): Query<Line> {
  const { line, each } = SHAPE[kind];
  const warehouse = kind === "inbound" ? "''" : "l.warehouse_id";
  return query(
    `SELECT l.isbn, ${warehouse} AS warehouse_id, l.quantity, l.${each} AS each_cents, b.title, b.price_cents, ${authorsSql("l.isbn")} AS authors
       FROM ${line} l LEFT JOIN book b ON b.isbn = l.isbn
      WHERE l.note_id = ?1 ORDER BY l.added_at DESC, l.isbn, warehouse_id`,
    [id],
  );
}

export const suppliers = (): Query<{ id: string; name: string }> =>
  query("SELECT id, name FROM supplier ORDER BY name COLLATE NOCASE LIMIT 500");

export const customers = (): Query<{ id: string; name: string }> =>
  query("SELECT id, name FROM customer ORDER BY name COLLATE NOCASE LIMIT 500");

/** Starts a draft and answers its id. */
export async function createNote(db: Greenlight, kind: Kind, name: string, warehouse: string, now: number): Promise<string> {
  const id = newId();
  if (kind === "inbound") {
    await db.exec("INSERT INTO inbound_note (id, name, warehouse_id, created_at) VALUES (?1, ?2, ?3, ?4)", [id, name, warehouse, now]);
  } else {
    await db.exec("INSERT INTO outbound_note (id, name, created_at) VALUES (?1, ?2, ?3)", [id, name, now]);
  }
  return id;
}

export type NoteField = "name" | "warehouse_id" | "supplier_id" | "customer_id";

export async function setNote(db: Greenlight, kind: Kind, id: string, field: NoteField, value: string): Promise<void> {
  await db.exec(`UPDATE ${SHAPE[kind].note} SET ${field} = ?2 WHERE id = ?1 AND ${field} <> ?2`, [id, value]);
}

/** One more copy of a book in a delivery; the first takes the supplier's cost where it is known. */
export async function scanIn(db: Greenlight, note: Note, isbn: string, now: number): Promise<void> {
  await db.exec(
    `INSERT INTO inbound_line (note_id, isbn, quantity, cost_cents, added_at)
     VALUES (?1, ?2, 1, COALESCE((SELECT cost_cents FROM supplier_book WHERE supplier_id = ?3 AND isbn = ?2), 0), ?4)
     ON CONFLICT (note_id, isbn) DO UPDATE SET quantity = quantity + 1`,
    [note.id, isbn, note.supplier_id, now],
  );
}

/** One more copy of a book in a sale, from the warehouse that has most of it, at that warehouse's discount. */
export async function scanOut(db: Greenlight, note: Note, isbn: string, now: number): Promise<void> {
  await db.transaction(async (tx) => {
    const [best] = await tx.query<{ id: string; discount_percent: number }>(
      `SELECT w.id, w.discount_percent
         FROM warehouse w LEFT JOIN (SELECT warehouse_id, SUM(quantity) AS quantity FROM stock_movement WHERE isbn = ?1 GROUP BY warehouse_id) s
           ON s.warehouse_id = w.id
        ORDER BY COALESCE(s.quantity, 0) DESC, w.position, w.id LIMIT 1`,
      [isbn],
    );
    if (best === undefined) throw new Error("Add a warehouse first: a sale takes its copies from one.");
    await tx.exec(
      `INSERT INTO outbound_line (note_id, isbn, warehouse_id, quantity, price_cents, added_at)
       VALUES (?1, ?2, ?3, 1, COALESCE((SELECT price_cents * (100 - ?4) / 100 FROM book WHERE isbn = ?2), 0), ?5)
       ON CONFLICT (note_id, isbn, warehouse_id) DO UPDATE SET quantity = quantity + 1`,
      [note.id, isbn, best.id, best.discount_percent, now],
    );
  });
}

function lineKey(kind: Kind, id: string, line: Line): { where: string; params: Value[] } {
  return kind === "inbound"
    ? { where: "note_id = ?1 AND isbn = ?2", params: [id, line.isbn] }
    : { where: "note_id = ?1 AND isbn = ?2 AND warehouse_id = ?3", params: [id, line.isbn, line.warehouse_id] };
}

export async function setLine(db: Greenlight, kind: Kind, id: string, line: Line, field: "quantity" | "each", value: number): Promise<void> {
  const { where, params } = lineKey(kind, id, line);
  const column = field === "quantity" ? "quantity" : SHAPE[kind].each;
  await db.exec(`UPDATE ${SHAPE[kind].line} SET ${column} = ?${params.length + 1} WHERE ${where}`, [...params, value]);
}

export async function removeLine(db: Greenlight, kind: Kind, id: string, line: Line): Promise<void> {
  const { where, params } = lineKey(kind, id, line);
  await db.exec(`DELETE FROM ${SHAPE[kind].line} WHERE ${where}`, params);
}

/** Takes a line's copies from another warehouse; joins the line that is there already. */
export async function moveLine(db: Greenlight, id: string, line: Line, to: string): Promise<void> {
  if (to === line.warehouse_id) return;
  await db.transaction(async (tx) => {
    await tx.exec("DELETE FROM outbound_line WHERE note_id = ?1 AND isbn = ?2 AND warehouse_id = ?3", [id, line.isbn, line.warehouse_id]);
    await tx.exec(
      `INSERT INTO outbound_line (note_id, isbn, warehouse_id, quantity, price_cents, added_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT (note_id, isbn, warehouse_id) DO UPDATE SET quantity = quantity + excluded.quantity`,
      [id, line.isbn, to, line.quantity, line.each_cents, Date.now()],
    );
  });
}

export interface Shortage {
  title: string | null;
  warehouse: string | null;
  wanted: number;
  there: number;
}

/** Lines of a sale that take more than there is. */
export function shortages(id: string): Query<Shortage> {
  return query(
    `SELECT * FROM (
       SELECT b.title, w.name AS warehouse, o.quantity AS wanted, ${copiesSql("o.isbn", "o.warehouse_id")} AS there
         FROM outbound_line o LEFT JOIN book b ON b.isbn = o.isbn LEFT JOIN warehouse w ON w.id = o.warehouse_id
        WHERE o.note_id = ?1)
      WHERE wanted > there ORDER BY title`,
    [id],
  );
}

/** Moves the stock. For good: what was wrong is put right by another note. */
export async function commitNote(db: Greenlight, kind: Kind, id: string, now: number): Promise<void> {
  await db.exec(`UPDATE ${SHAPE[kind].note} SET committed_at = ?2 WHERE id = ?1 AND committed_at IS NULL`, [id, now]);
}

/** Throws a draft away with its lines. */
export async function deleteNote(db: Greenlight, kind: Kind, id: string): Promise<void> {
  const { note, line } = SHAPE[kind];
  await db.transaction(async (tx) => {
    const draft = await tx.query(`SELECT 1 FROM ${note} WHERE id = ?1 AND committed_at IS NULL`, [id]);
    if (draft.length === 0) throw new Error("This note was committed in the meantime and stays.");
    await tx.exec(`DELETE FROM ${line} WHERE note_id = ?1`, [id]);
    await tx.exec(`DELETE FROM ${note} WHERE id = ?1`, [id]);
  });
}
