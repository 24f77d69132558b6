//! wasm-bindgen as a program.
