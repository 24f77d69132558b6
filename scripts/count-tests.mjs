// Reads the log of one stage of tests and prints "PASSED FAILED SKIPPED", summed over every runner it finds in it, and
// below that the names of the tests that failed, a line each.
// Called by scripts/test, which calls a stage without a single test a failure: a runner that this file can't read
// shows up as that, never as a pass.
import { readFileSync } from "node:fs";

const log = readFileSync(process.argv[2], "utf8").replace(/\x1b\[[0-9;]*[A-Za-z]/g, "");
const total = { passed: 0, failed: 0, skipped: 0 };

function add(passed, failed, skipped) {
  total.passed += Number(passed ?? 0);
  total.failed += Number(failed ?? 0);
  total.skipped += Number(skipped ?? 0);
}

/** The number in front of a word, as in "3 passed". */
const before = (text, word) => text.match(new RegExp(`(\\d+) ${word}`))?.[1];
/** The number behind a word, as in "pass 3". */
const behind = (text, word) => text.match(new RegExp(`${word} (\\d+)`))?.[1];

function eachLine(pattern, read) {
  for (const [line] of log.matchAll(pattern)) read(line);
}

// cargo test, wasm-bindgen's runner: one line for each test binary.
eachLine(/^test result: .*$/gm, (line) => add(before(line, "passed"), before(line, "failed"), before(line, "ignored")));

// cargo nextest: one summary; a timeout or a crash counts beside the failures.
eachLine(/^ *Summary \[.*$/gm, (line) => {
  const other = Number(before(line, "timed out") ?? 0) + Number(before(line, "exec failed") ?? 0);
  add(before(line, "passed"), Number(before(line, "failed") ?? 0) + other, before(line, "skipped"));
});

// Our own scripts.
eachLine(/^\d+ passed, \d+ failed$/gm, (line) => add(before(line, "passed"), before(line, "failed"), 0));

// Playwright: counts on lines of their own. A flaky test failed once, and so it failed.
eachLine(/^ +\d+ (passed|failed|flaky|skipped|did not run|interrupted)( \(.*\))?$/gm, (line) => {
  const failed = before(line, "failed") ?? before(line, "flaky") ?? before(line, "interrupted");
  add(before(line, "passed"), failed, before(line, "skipped") ?? before(line, "did not run"));
});

// node --test: a block of counts.
for (const [block] of log.matchAll(/^[#ℹ] tests \d+$[^]*?^[#ℹ] todo \d+$/gm)) {
  const failed = Number(behind(block, "fail") ?? 0) + Number(behind(block, "cancelled") ?? 0);
  add(behind(block, "pass"), failed, Number(behind(block, "skipped") ?? 0) + Number(behind(block, "todo") ?? 0));
}

// Vitest.
eachLine(/^ +Tests +.*$/gm, (line) => add(before(line, "passed"), before(line, "failed"), before(line, "skipped")));

/** How each runner names a test that failed; each pattern's group is the name. */
const names = [
  /^test (.+) \.\.\. FAILED$/gm,
  /^ *(?:FAIL|TIMEOUT|SIGNAL|SIG[A-Z]+|ABORT) \[.*?\] (?:\([ \d/]+\) )?(.+)$/gm,
  /^not ok \d+ - (.+)$/gm,
  /^✖ (?!failing tests:)(.+?) \([\d.]+ms\)$/gm,
  /^ *FAIL +(\S+ > .+)$/gm,
  // Playwright lists them below their count.
  /^ {4}(\S+:\d+:\d+ › .+?) *$/gm,
];
const failed = new Set(names.flatMap((pattern) => [...log.matchAll(pattern)].map((match) => match[1].trim())));

console.log(total.passed, total.failed, total.skipped);
for (const name of failed) console.log(name);
