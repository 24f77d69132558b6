// How `make tour` runs: not tests, but the same browser and servers, one thing after another.
import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "tour",
  outputDir: "../target/e2e-tour",
  timeout: 300_000,
  workers: 1,
  reporter: "list",
});
