-- schema: sim 1
-- Every kind of key that a schema may have: an integer, a text, several columns, a blob among them, and nothing but
-- a key. The simulator knows these tables by heart (src/content.rs).
CREATE TABLE book (
  id INTEGER NOT NULL PRIMARY KEY,
  title TEXT,
  price REAL,
  cover BLOB
);
CREATE TABLE label (
  name TEXT NOT NULL PRIMARY KEY,
  anything
);
CREATE TABLE line (
  note INTEGER NOT NULL,
  position INTEGER NOT NULL,
  item TEXT,
  amount INTEGER DEFAULT 1,
  PRIMARY KEY (note, position)
);
CREATE TABLE place (
  shelf TEXT NOT NULL,
  slot BLOB NOT NULL,
  content,
  PRIMARY KEY (shelf, slot)
);
CREATE TABLE seen (
  id INTEGER NOT NULL PRIMARY KEY
);
