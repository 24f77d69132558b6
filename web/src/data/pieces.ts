// Pieces of SQL that several lists share. Each takes an expression of the query around it, never a value from outside,
// and is written so that the indices serve it: SQLite neither pushes a row's value down into the view `stock_movement`,
// nor looks into the view `book_listing` where it stands on the right of a LEFT JOIN.

/** SQL for the copies of the book that the expression names, everywhere or in one warehouse. */
export function copiesSql(isbn: string, warehouse?: string): string {
  const into = warehouse === undefined ? "" : ` AND n.warehouse_id = ${warehouse}`;
  const from = warehouse === undefined ? "" : ` AND l.warehouse_id = ${warehouse}`;
  return `((SELECT COALESCE(SUM(l.quantity), 0) FROM inbound_line l JOIN inbound_note n ON n.id = l.note_id
             WHERE l.isbn = ${isbn} AND n.committed_at IS NOT NULL${into})
         - (SELECT COALESCE(SUM(l.quantity), 0) FROM outbound_line l JOIN outbound_note n ON n.id = l.note_id
             WHERE l.isbn = ${isbn} AND n.committed_at IS NOT NULL${from}))`;
}

/** The names of a book's authors in their order, or NULL where it has none. */
export function authorsSql(isbn: string): string {
  return `(SELECT GROUP_CONCAT(name, ', ') FROM (
    SELECT a.name AS name FROM book_author ba JOIN author a ON a.id = ba.author_id
     WHERE ba.isbn = ${isbn} ORDER BY ba.position, a.sort_name))`;
}
