//! What cr-sqlite does once it is built from source and patched. The modules named after a patch fail when it is left
//! out (`prove-patches` shows it for each); the others show what is relied on, and what is left as it is and worked
//! around.

mod allocator;
mod basics;
mod convergence;
mod empty_values;
mod error_text;
mod first_backfill;
mod hostile_input;
mod key_update;
mod keys;
mod peer;
mod schema_name;
mod sync_bit;
mod table_infos;
mod table_names;
mod traps;
mod versions;
