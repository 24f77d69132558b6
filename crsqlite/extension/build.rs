//! Compiles cr-sqlite's C part for the loadable extension: its calls go through the table that SQLite hands over when
//! it loads us. It never fetches anything: that is `prepare`'s work.

fn main() {
    let mut build = cc::Build::new();
    build.include("../../vendor/cr-sqlite/c").define("NDEBUG", None).warnings(false);
    // A cdylib exports what Rust names, so the entry point is in lib.rs, and this one has another name.
    build.define("sqlite3_crsqlite_init", "crsqlite_init_c");
    for file in ["crsqlite", "changes-vtab", "ext-data"] {
        build.file(format!("../../vendor/cr-sqlite/c/{file}.c"));
    }
    build.compile("crsqlite_c");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // SQLite loads extensions with global symbols: another build in the same process would answer our calls.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    }
    println!("cargo:rerun-if-changed=../../vendor/cr-sqlite/c");
    println!("cargo:rerun-if-changed=build.rs");
}
