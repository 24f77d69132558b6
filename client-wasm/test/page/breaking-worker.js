// The package's worker, with a wasm module that breaks like a real one when it is asked for the word BREAK.

import { Engine } from "/dist/greenlight.js";

// (module (func (export "trap") unreachable))
const TRAP = [0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 8, 1, 4, 116, 114, 97, 112, 0, 0, 10, 5, 1, 3, 0, 0, 11];
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(TRAP)));

const { query } = Engine.prototype;
Engine.prototype.query = function (sql, ...rest) {
  if (sql.includes("BREAK")) exports.trap();
  return query.call(this, sql, ...rest);
};

// What arrives before the worker has loaded is kept for it.
const early = [];
self.onmessage = (event) => early.push(event);
await import("/dist/worker/worker.js");
for (const event of early) self.onmessage(event);
