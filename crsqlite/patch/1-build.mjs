// Patch 1: builds with stable Rust, without bindgen, inside of somebody else's workspace.

const CRATES = ["core", "fractindex-core", ...["capi", "allocator"].map((n) => `sqlite-rs-embedded/sqlite3_${n}`), "sqlite-rs-embedded/sqlite_nostd"];

export default function apply(tree) {
  // Nightly gates: stable by Rust 1.95, or no longer used.
  tree.edit("core/src/lib.rs", "#![feature(vec_into_raw_parts)]\n", "");
  tree.edit("fractindex-core/src/lib.rs", "#![feature(core_intrinsics)]\n", "");
  tree.edit("sqlite-rs-embedded/sqlite3_capi/src/lib.rs", "#![feature(concat_idents)]\n", "");
  tree.edit("sqlite-rs-embedded/sqlite_nostd/src/lib.rs", /#!\[feature\(.*\)\]\n/g, "", 2);

  // The shipped bindings instead of ones made at build time.
  tree.edit("sqlite-rs-embedded/sqlite3_capi/Cargo.toml", /\[build-dependencies\]\nbindgen = .*\n/g, "");
  tree.edit("sqlite-rs-embedded/sqlite3_capi/src/lib.rs", 'concat!(env!("OUT_DIR"), "/bindings.rs")', '"bindings.rs"');

  // The commit isn't known from the package; its version is.
  tree.edit("core/src/sha.rs", 'core::env!("CRSQLITE_COMMIT_SHA")', '"0.16.3-greenlight"');

  for (const crate of CRATES) {
    // Not ours to lint, and a path dependency isn't spared of warnings by itself.
    tree.prepend(`${crate}/src/lib.rs`, "#![allow(warnings, clippy::all)]\n");
  }
  // Profiles belong to the workspace's root; here they are ignored with a warning on every build.
  for (const crate of ["core", "fractindex-core"]) {
    tree.edit(`${crate}/Cargo.toml`, /\[profile\.\w+\]\npanic = "abort"\n\n?/g, "", 2);
  }
  // Not a key of a manifest: warned about on every build.
  tree.edit("fractindex-core/Cargo.toml", /\[build\]\ntarget = .*\n\n/g, "");
  // Only a test's random source; it would be resolved and locked for nothing.
  tree.edit("fractindex-core/Cargo.toml", /\[dev-dependencies\]\nrand = .*\n/g, "");
}
