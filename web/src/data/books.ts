// Books: finding, showing, writing. An edit writes only the fields that differ, so that two people who edit
// different fields of one book both keep theirs.

import type { Greenlight, Tx, Value } from "greenlight-client";
import { newId } from "./ids.ts";
import { copiesSql } from "./pieces.ts";
import { containing, PAGE_SIZE, query, type Query } from "./query.ts";

export interface BookRow {
  isbn: string;
  title: string;
  authors: string | null;
  publisher: string | null;
  price_cents: number;
  stock: number;
}

export interface Book {
  isbn: string;
  title: string;
  subtitle: string;
  publisher: string | null;
  category: string | null;
  category_id: string;
  authors: string | null;
  year: number | null;
  language: string;
  pages: number | null;
  format: string;
  price_cents: number;
  out_of_print: number;
  remark: string;
}

/** What the form holds: names where the tables hold ids. */
export interface BookDraft {
  isbn: string;
  title: string;
  subtitle: string;
  /** Names, separated by commas. */
  authors: string;
  publisher: string;
  category_id: string;
  year: number | null;
  language: string;
  pages: number | null;
  format: string;
  price_cents: number;
  out_of_print: number;
  remark: string;
}

export const FORMATS = ["paperback", "hardback", "audio", "map", "other"];

const MATCHES = `(b.title LIKE ?1 ESCAPE '\\' OR b.subtitle LIKE ?1 ESCAPE '\\' OR b.isbn LIKE ?2 OR b.isbn IN (
  SELECT ba.isbn FROM book_author ba JOIN author a ON a.id = ba.author_id WHERE a.name LIKE ?1 ESCAPE '\\'))`;

/** Both patterns of a search: anywhere in a text, and the start of an ISBN typed with hyphens or not. */
function patterns(search: string): Value[] {
  const digits = search.replace(/[\s-]/g, "");
  return [containing(search.trim()), /^\d+$/.test(digits) ? `${digits}%` : "\n"];
}

/** One page of the books that match, by title. */
export function listBooks(search: string, page: number): Query<BookRow> {
  const found = search.trim() === "" ? "" : `WHERE ${MATCHES}`;
  const params = search.trim() === "" ? [] : patterns(search);
  return query(
    `SELECT l.isbn, l.title, l.authors, l.publisher, l.price_cents,
            ${copiesSql("p.isbn")} AS stock
       FROM (SELECT b.isbn, b.title FROM book b ${found} ORDER BY b.title COLLATE NOCASE, b.isbn
              LIMIT ${PAGE_SIZE} OFFSET ${page * PAGE_SIZE}) p
       JOIN book_listing l ON l.isbn = p.isbn
      ORDER BY p.title COLLATE NOCASE, p.isbn`,
    params,
  );
}

export function countBooks(search: string): Query<{ n: number }> {
  if (search.trim() === "") return query("SELECT COUNT(*) AS n FROM book");
  return query(`SELECT COUNT(*) AS n FROM book b WHERE ${MATCHES}`, patterns(search));
}

export function oneBook(isbn: string): Query<Book> {
  return query(
    `SELECT b.isbn, b.title, b.subtitle, b.category_id, b.year, b.language, b.pages, b.format, b.price_cents,
            b.out_of_print, b.remark, l.publisher, l.authors, c.name AS category
       FROM book b JOIN book_listing l ON l.isbn = b.isbn LEFT JOIN category c ON c.id = b.category_id
      WHERE b.isbn = ?1`,
    [isbn],
  );
}

export interface Movement {
  direction: "inbound" | "outbound";
  note_id: string;
  note: string;
  warehouse: string | null;
  quantity: number;
  committed_at: number;
}

/** What came and went, newest first. */
export function bookHistory(isbn: string, limit: number): Query<Movement> {
  return query(
    `SELECT m.direction, m.note_id, m.quantity, m.committed_at, w.name AS warehouse,
            COALESCE((SELECT name FROM inbound_note WHERE id = m.note_id), (SELECT name FROM outbound_note WHERE id = m.note_id), '') AS note
       FROM stock_movement m LEFT JOIN warehouse w ON w.id = m.warehouse_id
      WHERE m.isbn = ?1 ORDER BY m.committed_at DESC LIMIT ${limit}`,
    [isbn],
  );
}

export function priceHistory(isbn: string): Query<{ changed_at: number; old_cents: number; new_cents: number }> {
  return query("SELECT changed_at, old_cents, new_cents FROM price_change WHERE isbn = ?1 ORDER BY changed_at DESC LIMIT 20", [isbn]);
}

export const categories = (): Query<{ id: string; name: string }> =>
  query("SELECT id, name FROM category ORDER BY position, name COLLATE NOCASE");

export const publisherNames = (): Query<{ name: string }> =>
  query("SELECT DISTINCT name FROM publisher WHERE name <> '' ORDER BY name COLLATE NOCASE LIMIT 500");

/** A few books for a person who types into the scan field. */
export function suggestBooks(search: string): Query<BookRow> {
  const { sql, params } = listBooks(search, 0);
  return query(sql.replace(`LIMIT ${PAGE_SIZE}`, "LIMIT 8"), params);
}

/** Adds a book. Throws where the ISBN is taken, since that is another book. */
export async function addBook(db: Greenlight, draft: BookDraft, now: number): Promise<void> {
  await db.transaction(async (tx) => {
    const taken = await tx.query("SELECT 1 FROM book WHERE isbn = ?1", [draft.isbn]);
    if (taken.length > 0) throw new Error("A book with this ISBN is already in the catalogue.");
    const fields = await columns(tx, draft);
    const names = ["isbn", "created_at", ...Object.keys(fields)];
    const marks = names.map((_, i) => `?${i + 1}`).join(", ");
    await tx.exec(`INSERT INTO book (${names.join(", ")}) VALUES (${marks})`, [draft.isbn, now, ...Object.values(fields)]);
    await setAuthors(tx, draft.isbn, draft.authors);
  });
}

/** Writes what differs between the two drafts, and remembers a change of price. */
export async function editBook(db: Greenlight, before: BookDraft, after: BookDraft, now: number): Promise<void> {
  await db.transaction(async (tx) => {
    const old = await columns(tx, before);
    const changed = Object.entries(await columns(tx, after)).filter(([name, value]) => old[name] !== value);
    if (changed.length > 0) {
      const sets = changed.map(([name], i) => `${name} = ?${i + 2}`).join(", ");
      await tx.exec(`UPDATE book SET ${sets} WHERE isbn = ?1`, [before.isbn, ...changed.map(([, value]) => value)]);
    }
    if (before.price_cents !== after.price_cents) {
      await tx.exec("INSERT INTO price_change (isbn, changed_at, old_cents, new_cents) VALUES (?1, ?2, ?3, ?4)", [
        before.isbn, now, before.price_cents, after.price_cents,
      ]);
    }
    if (before.authors !== after.authors) await setAuthors(tx, before.isbn, after.authors);
  });
}

/** Removes a book from the catalogue. Notes keep their lines: what was sold was sold. */
export async function deleteBook(db: Greenlight, isbn: string): Promise<void> {
  await db.transaction(async (tx) => {
    for (const table of ["book_author", "book_tag", "shelf_book", "supplier_book", "price_change", "book"]) {
      await tx.exec(`DELETE FROM ${table} WHERE isbn = ?1`, [isbn]);
    }
  });
}

export function draftOf(book: Book): BookDraft {
  const { authors, publisher, category: _, ...rest } = book;
  return { ...rest, authors: authors ?? "", publisher: publisher ?? "" };
}

export const EMPTY_BOOK: BookDraft = {
  isbn: "", title: "", subtitle: "", authors: "", publisher: "", category_id: "", year: null, language: "",
  pages: null, format: "paperback", price_cents: 0, out_of_print: 0, remark: "",
};

/** The draft's fields as columns of `book`, the key left out. */
async function columns(tx: Tx, draft: BookDraft): Promise<Record<string, Value>> {
  const { isbn: _isbn, authors: _authors, publisher, ...rest } = draft;
  return { ...rest, publisher_id: publisher.trim() === "" ? "" : await idByName(tx, "publisher", publisher.trim()) };
}

/** The row of this name, made where there is none. */
async function idByName(tx: Tx, table: "publisher" | "author", name: string): Promise<string> {
  const [found] = await tx.query<{ id: string }>(`SELECT id FROM ${table} WHERE name = ?1 ORDER BY id LIMIT 1`, [name]);
  if (found !== undefined) return found.id;
  const id = newId();
  if (table === "publisher") await tx.exec("INSERT INTO publisher (id, name) VALUES (?1, ?2)", [id, name]);
  else await tx.exec("INSERT INTO author (id, name, sort_name) VALUES (?1, ?2, ?3)", [id, name, surnameFirst(name)]);
  return id;
}

async function setAuthors(tx: Tx, isbn: string, names: string): Promise<void> {
  const wanted = [...new Set(names.split(",").map((name) => name.trim()).filter((name) => name !== ""))];
  const ids: string[] = [];
  for (const name of wanted) ids.push(await idByName(tx, "author", name));
  const old = await tx.query<{ author_id: string; role: string }>("SELECT author_id, role FROM book_author WHERE isbn = ?1", [isbn]);
  for (const { author_id, role } of old) {
    if (!ids.includes(author_id)) await tx.exec("DELETE FROM book_author WHERE isbn = ?1 AND author_id = ?2 AND role = ?3", [isbn, author_id, role]);
  }
  for (const [position, id] of ids.entries()) {
    const known = old.find((row) => row.author_id === id);
    if (known === undefined) {
      await tx.exec("INSERT INTO book_author (isbn, author_id, role, position) VALUES (?1, ?2, 'author', ?3)", [isbn, id, position]);
    } else {
      await tx.exec("UPDATE book_author SET position = ?4 WHERE isbn = ?1 AND author_id = ?2 AND role = ?3 AND position <> ?4", [isbn, id, known.role, position]);
    }
  }
}

function surnameFirst(name: string): string {
  const parts = name.split(/\s+/);
  const surname = parts.pop() ?? "";
  return parts.length === 0 ? surname : `${surname}, ${parts.join(" ")}`;
}
