//! The `wasm-bindgen` command, as its own project offers it: same arguments, same output. Not by the same name:
//! rustc takes a crate named wasm_bindgen for an ancient version of the library and refuses it.
//! `scripts/build-web` calls it after the compiler and before the page is bundled. It never looks at a module's meaning.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen::run_cli_with_args(std::env::args_os())
}
