// How the web app is built: two pages, the footer from its source, the offline worker, a strict policy.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { licences } from "./build/licences.ts";
import { offline } from "./build/offline.ts";
import { relaxPolicyWhileDeveloping } from "./build/policy.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Relative, so that the server may serve the folder anywhere.
  base: "./",
  plugins: [relaxPolicyWhileDeveloping(), licences(), offline(here("./offline/service-worker.ts"))],
  resolve: { alias: { "greenlight-footer": here("./footer/src/index.ts") } },
  worker: { format: "es" },
  // The client finds its worker and its module beside itself; bundling it ahead would cut that tie.
  optimizeDeps: { exclude: ["greenlight-client"] },
  build: {
    target: "es2022",
    // Nothing inline: the policy forbids data: scripts and styles, and files can be kept offline one by one.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rollupOptions: { input: { index: here("./index.html"), states: here("./states.html") } },
  },
  test: { include: ["src/**/*.test.ts", "footer/src/**/*.test.ts"] },
});
