// The types of the wasm module's bindings, which the build puts beside the compiled sources. Its one class is
// described in worker/engine.ts.

import type { Engine } from "./worker/engine.js";

/** Loads and compiles the module; once in a worker. */
export default function init(options: { module_or_path: string | URL }): Promise<unknown>;
/** Opens a database; `seed` seeds the jitter of the session's waits. Errors carry a `code`. */
export function openEngine(name: string, schema: string, memory: boolean, seed: bigint, fresh: boolean): Promise<Engine>;
