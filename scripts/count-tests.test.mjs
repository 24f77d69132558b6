// What each runner prints, and what scripts/count-tests.mjs reads in it. Run by `node --test scripts/count-tests.test.mjs`.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const program = new URL("count-tests.mjs", import.meta.url).pathname;

function count(log) {
  return read(log)[0];
}

/** The counts, and the names of the failed tests. */
function read(log) {
  const folder = mkdtempSync(join(tmpdir(), "count-tests-"));
  try {
    writeFileSync(join(folder, "log"), log);
    return execFileSync(process.execPath, [program, join(folder, "log")], { encoding: "utf8" }).trim().split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("cargo test and wasm-bindgen: the sum over the binaries", () => {
  const log = [
    "test result: ok. 18 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 filtered out; finished in 0.02s",
  ].join("\n");
  assert.equal(count(log), "21 1 2");
});

test("cargo nextest: timeouts are failures", () => {
  const line = "     Summary [   1.345s] 31 tests run: 27 passed (1 slow), 2 failed, 1 timed out, 1 exec failed, 4 skipped";
  assert.equal(count(line), "27 4 4");
  assert.equal(count("     Summary [   0.005s] 1 test run: 1 passed, 0 skipped"), "1 0 0");
});

test("Playwright: a flaky test failed, one that did not run was skipped", () => {
  const log = "  1 failed\n    [chromium] > a.spec.ts\n  1 flaky\n  2 skipped\n  3 did not run\n  12 passed (41.2s)\n";
  assert.equal(count(log), "12 2 5");
});

test("node --test, in both of its layouts", () => {
  const block = (mark) =>
    ["tests 6", "suites 0", "pass 3", "fail 1", "cancelled 1", "skipped 1", "todo 0", "duration_ms 5"]
      .map((line) => `${mark} ${line}`)
      .join("\n");
  assert.equal(count(block("#")), "3 2 1");
  assert.equal(count(block("ℹ")), "3 2 1");
});

test("Vitest, with colours", () => {
  assert.equal(count("\x1b[2m      Tests \x1b[22m 1 failed | 5 passed | 1 skipped (7)\n"), "5 1 1");
});

test("our own scripts", () => {
  assert.equal(count("7 passed, 0 failed\n1 passed, 2 failed\n"), "8 2 0");
});

test("a log without a count has no tests", () => {
  assert.equal(count("everything 3 passed well, nothing failed\n"), "0 0 0");
});

test("failed tests are named, each once, whatever ran them", () => {
  const log = [
    "test lexer::a_comment ... FAILED",
    "test lexer::a_string ... ok",
    "        FAIL [   0.036s] (675/684) greenlight-cli::snapshots kills::each_step",
    "     SIGABRT [   0.1s] (3/4) greenlight-core::it limits::large",
    "        PASS [   0.036s] (676/684) greenlight-cli::snapshots kills::another",
    "   Canceling due to test failure",
    "        FAIL [   0.036s] (675/684) greenlight-cli::snapshots kills::each_step",
    "not ok 3 - names what failed",
    "✖ says why (1.25ms)",
    "✖ failing tests:",
    " FAIL  tests/tabs.test.ts > two tabs > one leads",
    "  1) tests/page.spec.ts:286:3 › by keyboard, light ─────",
    "  1 failed",
    "    tests/page.spec.ts:286:3 › by keyboard, light ",
    "  71 passed (6.0m)",
  ].join("\n");
  assert.deepEqual(read(log).slice(1).sort(), [
    "greenlight-cli::snapshots kills::each_step",
    "greenlight-core::it limits::large",
    "lexer::a_comment",
    "names what failed",
    "says why",
    "tests/page.spec.ts:286:3 › by keyboard, light",
    "tests/tabs.test.ts > two tabs > one leads",
  ]);
});
