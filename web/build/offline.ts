// Builds the service worker and tells it which files make up the app and which build they are of.
// The list is what the bundler wrote, so a file can't be forgotten.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build, type Plugin, type Rollup } from "vite";

/** The worker's file name: at the root, since its scope is its folder. */
const FILE = "service-worker.js";

interface File {
  name: string;
  content: string | Uint8Array;
}

export function offline(entry: string): Plugin {
  let copied = "";
  return {
    name: "offline",
    apply: "build",
    enforce: "post",
    configResolved: (config) => void (copied = config.publicDir),
    async generateBundle(_options, bundle) {
      const files = [...Object.values(bundle).map(contentOf), ...copiedFrom(copied)].filter((file) => !file.name.endsWith(".map"));
      files.sort((a, b) => (a.name < b.name ? -1 : 1));
      const source = await bundleWorker(entry, files.map((file) => file.name), version(files));
      this.emitFile({ type: "asset", fileName: FILE, source });
    },
  };
}

function contentOf(output: Rollup.OutputAsset | Rollup.OutputChunk): File {
  return { name: output.fileName, content: output.type === "chunk" ? output.code : output.source };
}

/** The files of the public folder, which Vite copies beside the bundle. */
function copiedFrom(folder: string): File[] {
  return readdirSync(folder).map((name) => ({ name, content: readFileSync(join(folder, name)) }));
}

/** One name for this exact set of files. */
function version(files: File[]): string {
  const hash = createHash("sha256");
  for (const file of files) hash.update(file.name).update(file.content);
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
