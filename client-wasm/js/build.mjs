// Builds the package's dist folder: the TypeScript, and the wasm module with its bindings from client-wasm/pkg, which
// scripts/build-web makes before.

import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");

for (const file of ["greenlight.js", "greenlight_bg.wasm"]) {
  if (!existsSync(here(`../pkg/${file}`))) {
    console.error(`client-wasm/pkg/${file} is missing: run scripts/build-web, which makes it.`);
    process.exit(1);
  }
}
rmSync(here("../dist"), { recursive: true, force: true });
for (const project of ["page", "worker"]) {
  execFileSync(process.execPath, [tsc, "-p", here(`tsconfig.${project}.json`)], { stdio: "inherit" });
}
for (const file of ["greenlight.js", "greenlight_bg.wasm"]) copyFileSync(here(`../pkg/${file}`), here(`../dist/${file}`));
