//! cr-sqlite linked statically, for native and wasm.
