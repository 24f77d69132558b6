-- schema: shop 1
-- The bookshop. Every table here is synchronised. Merges are column by column, so nothing spans columns or rows:
-- relations are by value and unchecked, every column that must be there has a default, ids are made by the client.
-- Money is in cents, times are milliseconds since 1970, an empty text means unknown.

-- Catalogue -----------------------------------------------------------------------------------------------------------

CREATE TABLE publisher (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  city TEXT NOT NULL DEFAULT '',
  email TEXT NOT NULL DEFAULT ''
);

CREATE TABLE author (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  -- Surname first, for shelves and lists.
  sort_name TEXT NOT NULL DEFAULT ''
);

CREATE TABLE category (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  position INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE book (
  -- Thirteen digits without hyphens.
  isbn TEXT NOT NULL PRIMARY KEY,
  title TEXT NOT NULL DEFAULT '',
  subtitle TEXT NOT NULL DEFAULT '',
  publisher_id TEXT NOT NULL DEFAULT '',
  category_id TEXT NOT NULL DEFAULT '',
  year INTEGER,
  language TEXT NOT NULL DEFAULT '',
  pages INTEGER,
  format TEXT NOT NULL DEFAULT 'paperback',
  price_cents INTEGER NOT NULL DEFAULT 0 CHECK (price_cents >= 0),
  out_of_print INTEGER NOT NULL DEFAULT 0 CHECK (out_of_print IN (0, 1)),
  remark TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE book_author (
  isbn TEXT NOT NULL,
  author_id TEXT NOT NULL,
  -- author, editor, translator, illustrator
  role TEXT NOT NULL,
  position INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (isbn, author_id, role)
);

CREATE TABLE book_tag (
  isbn TEXT NOT NULL,
  tag TEXT NOT NULL,
  tagged_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (isbn, tag)
);

CREATE TABLE price_change (
  isbn TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  old_cents INTEGER NOT NULL DEFAULT 0,
  new_cents INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (isbn, changed_at)
);

-- Places --------------------------------------------------------------------------------------------------------------

CREATE TABLE warehouse (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  address TEXT NOT NULL DEFAULT '',
  -- Taken off the list price of what is sold from here.
  discount_percent INTEGER NOT NULL DEFAULT 0 CHECK (discount_percent BETWEEN 0 AND 100),
  position INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE shelf (
  warehouse_id TEXT NOT NULL,
  -- As written on the shelf: A1, A2, B1.
  code TEXT NOT NULL,
  label TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (warehouse_id, code)
);

CREATE TABLE shelf_book (
  warehouse_id TEXT NOT NULL,
  isbn TEXT NOT NULL,
  shelf_code TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (warehouse_id, isbn)
);

-- Suppliers and customers ---------------------------------------------------------------------------------------------

CREATE TABLE supplier (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  email TEXT NOT NULL DEFAULT '',
  phone TEXT NOT NULL DEFAULT ''
);

CREATE TABLE supplier_book (
  supplier_id TEXT NOT NULL,
  isbn TEXT NOT NULL,
  cost_cents INTEGER NOT NULL DEFAULT 0,
  delivery_days INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (supplier_id, isbn)
);

CREATE TABLE customer (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  email TEXT NOT NULL DEFAULT '',
  phone TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE customer_order (
  id TEXT NOT NULL PRIMARY KEY,
  customer_id TEXT NOT NULL DEFAULT '',
  -- open, ready, collected, cancelled
  state TEXT NOT NULL DEFAULT 'open',
  deposit_cents INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE order_line (
  order_id TEXT NOT NULL,
  isbn TEXT NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity >= 0),
  received INTEGER NOT NULL DEFAULT 0 CHECK (received >= 0),
  PRIMARY KEY (order_id, isbn)
);

-- Stock moves by notes. A note counts from the moment it is committed, a draft doesn't --------------------------------

CREATE TABLE inbound_note (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  warehouse_id TEXT NOT NULL DEFAULT '',
  supplier_id TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL DEFAULT 0,
  -- NULL while it is a draft.
  committed_at INTEGER
);

CREATE TABLE inbound_line (
  note_id TEXT NOT NULL,
  isbn TEXT NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity >= 0),
  cost_cents INTEGER NOT NULL DEFAULT 0,
  added_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (note_id, isbn)
);

CREATE TABLE outbound_note (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL DEFAULT '',
  customer_id TEXT NOT NULL DEFAULT '',
  created_at INTEGER NOT NULL DEFAULT 0,
  -- NULL while it is a draft.
  committed_at INTEGER
);

-- One sale takes copies of a book from several warehouses, each at its own discount.
CREATE TABLE outbound_line (
  note_id TEXT NOT NULL,
  isbn TEXT NOT NULL,
  warehouse_id TEXT NOT NULL,
  quantity INTEGER NOT NULL DEFAULT 1 CHECK (quantity >= 0),
  -- What the customer pays for one copy.
  price_cents INTEGER NOT NULL DEFAULT 0,
  added_at INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (note_id, isbn, warehouse_id)
);

CREATE TABLE setting (
  key TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL DEFAULT ''
);

-- Indices -------------------------------------------------------------------------------------------------------------

CREATE INDEX book_by_title ON book (title COLLATE NOCASE, isbn);
CREATE INDEX book_by_publisher ON book (publisher_id);
CREATE INDEX book_by_category ON book (category_id);
CREATE INDEX book_author_by_author ON book_author (author_id);
CREATE INDEX supplier_book_by_book ON supplier_book (isbn);
CREATE INDEX customer_order_by_customer ON customer_order (customer_id);
CREATE INDEX order_line_by_book ON order_line (isbn);
CREATE INDEX inbound_note_by_age ON inbound_note (created_at);
CREATE INDEX inbound_note_by_commit ON inbound_note (committed_at);
CREATE INDEX inbound_note_by_warehouse ON inbound_note (warehouse_id, committed_at);
CREATE INDEX inbound_line_by_book ON inbound_line (isbn);
CREATE INDEX outbound_note_by_age ON outbound_note (created_at);
CREATE INDEX outbound_note_by_commit ON outbound_note (committed_at);
CREATE INDEX outbound_line_by_book ON outbound_line (isbn);
CREATE INDEX outbound_line_by_warehouse ON outbound_line (warehouse_id);

-- Views ---------------------------------------------------------------------------------------------------------------

-- Every committed line, with its sign.
CREATE VIEW stock_movement AS
  SELECT n.warehouse_id AS warehouse_id, l.isbn AS isbn, l.quantity AS quantity,
         n.committed_at AS committed_at, 'inbound' AS direction, n.id AS note_id
    FROM inbound_line l JOIN inbound_note n ON n.id = l.note_id
   WHERE n.committed_at IS NOT NULL
  UNION ALL
  SELECT l.warehouse_id, l.isbn, -l.quantity, n.committed_at, 'outbound', n.id
    FROM outbound_line l JOIN outbound_note n ON n.id = l.note_id
   WHERE n.committed_at IS NOT NULL;

-- Copies of each book in each warehouse, where there are any. Two offline sales can make it negative.
CREATE VIEW stock AS
  SELECT warehouse_id, isbn, SUM(quantity) AS quantity
    FROM stock_movement
   GROUP BY warehouse_id, isbn
  HAVING SUM(quantity) <> 0;

-- A book as lists show it.
CREATE VIEW book_listing AS
  SELECT b.isbn AS isbn, b.title AS title, b.subtitle AS subtitle, b.price_cents AS price_cents,
         b.format AS format, b.year AS year, b.out_of_print AS out_of_print, p.name AS publisher,
         (SELECT GROUP_CONCAT(name, ', ')
            FROM (SELECT a.name AS name
                    FROM book_author ba JOIN author a ON a.id = ba.author_id
                   WHERE ba.isbn = b.isbn
                   ORDER BY ba.position, a.sort_name)) AS authors
    FROM book b LEFT JOIN publisher p ON p.id = b.publisher_id;
