//! The only SQL for sync: open, read and apply changes, cursors, schema, snapshot.
