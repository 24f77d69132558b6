// Puts the licences of what is built into the app beside it, as they ask for: the fonts' and Preact's.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Plugin } from "vite";

const PACKAGES = ["@fontsource-variable/literata", "@fontsource-variable/hanken-grotesk", "preact"];

export function licences(): Plugin {
  const { resolve } = createRequire(import.meta.url);
  return {
    name: "licences",
    apply: "build",
    generateBundle() {
      for (const name of PACKAGES) {
        const folder = resolve(`${name}/package.json`).replace(/package\.json$/, "");
        const fileName = `licences/${name.split("/").pop()}.txt`;
        this.emitFile({ type: "asset", fileName, source: readFileSync(`${folder}LICENSE`, "utf8") });
      }
    },
  };
}
