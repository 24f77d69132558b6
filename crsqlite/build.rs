//! Compiles cr-sqlite's C part into the crate, for the machine or for wasm. It never fetches anything: that is
//! `prepare`'s work, which must have run before.

fn main() {
    let mut build = cc::Build::new();
    // SQLITE_CORE: calls go straight to the SQLite in this program rather than through an extension's table.
    build.include("../vendor/cr-sqlite/c").define("SQLITE_CORE", "1").define("NDEBUG", None).warnings(false);
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        build.include("wasm-headers");
    }
    for file in ["crsqlite", "changes-vtab", "ext-data"] {
        build.file(format!("../vendor/cr-sqlite/c/{file}.c"));
    }
    build.compile("crsqlite_c");
    for path in ["../vendor/cr-sqlite/c", "wasm-headers", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
}
