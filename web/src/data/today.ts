// What the first page shows: how the shop stands, and what waits to be done.

import type { Kind } from "./notes.ts";
import { authorsSql } from "./pieces.ts";
import { query, type Query } from "./query.ts";

const DAY_MS = 86_400_000;
/** Days on the chart of sales. */
export const CHART_DAYS = 21;

export interface Figures {
  titles: number;
  sold_copies: number | null;
  sold_cents: number | null;
  received_copies: number | null;
}

/** The last thirty days and the size of the catalogue. `now` is rounded to the day, so that the query stays the same. */
export function figures(now: number): Query<Figures> {
  const since = startOfDay(now) - 30 * DAY_MS;
  return query(
    `SELECT (SELECT COUNT(*) FROM book) AS titles, o.copies AS sold_copies, o.cents AS sold_cents,
            (SELECT SUM(l.quantity) FROM inbound_note n JOIN inbound_line l ON l.note_id = n.id WHERE n.committed_at > ?1) AS received_copies
       FROM (SELECT SUM(l.quantity) AS copies, SUM(l.quantity * l.price_cents) AS cents
               FROM outbound_note n JOIN outbound_line l ON l.note_id = n.id WHERE n.committed_at > ?1) o`,
    [since],
  );
}

/** Copies sold on each of the chart's days that had a sale; `day` counts back from today. */
export function salesByDay(now: number): Query<{ day: number; copies: number; cents: number }> {
  const tomorrow = startOfDay(now) + DAY_MS;
  return query(
    `SELECT CAST((?1 - 1 - n.committed_at) / ${DAY_MS} AS INTEGER) AS day, SUM(l.quantity) AS copies, SUM(l.quantity * l.price_cents) AS cents
       FROM outbound_note n JOIN outbound_line l ON l.note_id = n.id
      WHERE n.committed_at >= ?1 - ${CHART_DAYS * DAY_MS} AND n.committed_at < ?1 GROUP BY day`,
    [tomorrow],
  );
}

export interface OpenNote {
  kind: Kind;
  id: string;
  name: string;
  created_at: number;
  lines: number;
}

export const openNotes = (): Query<OpenNote> =>
  query(
    `SELECT * FROM (
       SELECT 'inbound' AS kind, n.id, n.name, n.created_at, (SELECT COUNT(*) FROM inbound_line l WHERE l.note_id = n.id) AS lines
         FROM inbound_note n WHERE n.committed_at IS NULL
       UNION ALL
       SELECT 'outbound', n.id, n.name, n.created_at, (SELECT COUNT(*) FROM outbound_line l WHERE l.note_id = n.id)
         FROM outbound_note n WHERE n.committed_at IS NULL)
      ORDER BY created_at DESC LIMIT 5`,
  );

export interface Seller {
  isbn: string;
  title: string | null;
  authors: string | null;
  copies: number;
}

/** What sold most in the last thirty days. */
export function bestSellers(now: number): Query<Seller> {
  return query(
    `SELECT t.isbn, t.copies, b.title, ${authorsSql("t.isbn")} AS authors
       FROM (SELECT l.isbn, SUM(l.quantity) AS copies FROM outbound_note n JOIN outbound_line l ON l.note_id = n.id
              WHERE n.committed_at > ?1 GROUP BY l.isbn ORDER BY copies DESC, l.isbn LIMIT 5) t
       LEFT JOIN book b ON b.isbn = t.isbn ORDER BY t.copies DESC, t.isbn`,
    [startOfDay(now) - 30 * DAY_MS],
  );
}

function startOfDay(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}
