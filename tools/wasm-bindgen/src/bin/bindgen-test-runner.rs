//! The `wasm-bindgen-test-runner` command: runs a wasm test binary in Node, or in a browser where the test asks for one.
//! Cargo calls it through `scripts/wasm-test-runner`. It never builds anything.

fn main() -> anyhow::Result<()> {
    wasm_bindgen_cli::wasm_bindgen_test_runner::run_cli_with_args(std::env::args_os())
}
