// Builds the service worker and tells it which files make up the app and which build they are of.
// The list is what the bundler wrote, so a file can't be forgotten.

import { createHash } from "node:crypto";
import { build, type Plugin, type Rollup } from "vite";

/** The worker's file name: at the root, since its scope is its folder. */
const FILE = "service-worker.js";

type Output = Rollup.OutputAsset | Rollup.OutputChunk;

export function offline(entry: string): Plugin {
  return {
    name: "offline",
    apply: "build",
    enforce: "post",
    async generateBundle(_options, bundle) {
      const outputs = Object.values(bundle).filter((output) => !output.fileName.endsWith(".map"));
      const files = outputs.map((output) => output.fileName).sort();
      const source = await bundleWorker(entry, files, version(outputs));
      this.emitFile({ type: "asset", fileName: FILE, source });
    },
  };
}

/** One name for this exact set of files. */
function version(outputs: Output[]): string {
  const hash = createHash("sha256");
  const sorted = [...outputs].sort((a, b) => (a.fileName < b.fileName ? -1 : 1));
  for (const output of sorted) hash.update(output.fileName).update(output.type === "chunk" ? output.code : output.source);
  return hash.digest("hex").slice(0, 16);
}

async function bundleWorker(entry: string, files: string[], build_: string): Promise<string> {
  const result = await build({
    configFile: false,
    logLevel: "warn",
    publicDir: false,
    define: { __FILES__: JSON.stringify(files), __BUILD__: JSON.stringify(build_) },
    build: { write: false, target: "es2022", lib: { entry, formats: ["iife"], name: "worker", fileName: "worker" } },
  });
  const output = Array.isArray(result) ? result[0] : result;
  if (output === undefined || !("output" in output)) throw new Error("the service worker was not built");
  return output.output[0].code;
}
