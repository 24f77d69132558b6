// The operators' files in deploy/: the unit by systemd's own judgement, and a Dockerfile that only names what there is.
// No engine for containers is needed, and none is asked. Run by `node --test scripts/deploy.test.mjs`.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = new URL("..", import.meta.url).pathname;
const read = (file) => readFileSync(join(root, file), "utf8");
const tracked = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" }).split("\0").filter(Boolean);

// systemd-analyze is a part of systemd; where it is missing, these fail.
function analyze(args) {
  const { error, status, stdout, stderr } = spawnSync("systemd-analyze", args, { encoding: "utf8" });
  if (error) throw error;
  return { status, said: stdout + stderr };
}

/** The unit, with a program that is there on any machine. */
function withUnit(change, work) {
  const folder = mkdtempSync(join(tmpdir(), "unit-"));
  try {
    const program = join(folder, "greenlight-server");
    writeFileSync(program, "#!/bin/sh\n");
    chmodSync(program, 0o755);
    const unit = join(folder, "greenlight.service");
    writeFileSync(unit, change(read("deploy/greenlight.service").replace(/^ExecStart=\S+/m, `ExecStart=${program}`)));
    return work(unit);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const verify = (change) => withUnit(change, (unit) => analyze(["verify", "--man=no", "--recursive-errors=no", unit]));

test("systemd finds nothing wrong with the unit", () => {
  const found = verify((unit) => unit);
  assert.equal(found.status, 0, found.said);
  assert.doesNotMatch(found.said, /greenlight\.service/, "not even a warning");
  // That it looks at all.
  assert.match(verify((unit) => unit.replace("ProtectSystem=strict", "ProtectSystem=strictly")).said, /protect system value/);
});

test("the unit leaves little to attack", () => {
  const exposure = (change) =>
    withUnit(change, (unit) => {
      const { said } = analyze(["security", "--offline=true", "--no-pager", unit]);
      const found = /Overall exposure level for greenlight\.service: ([\d.]+)/.exec(said);
      assert.ok(found, said);
      return Number(found[1]);
    });
  const ours = exposure((unit) => unit);
  assert.ok(ours <= 1.5, `exposed by ${ours} of 10`);
  assert.ok(exposure((unit) => unit.replace(/^SystemCallFilter.*$/gm, "").replace("PrivateUsers=yes", "")) > ours);
});

test("it is given more time to stop than the server takes at most for each part of it", () => {
  const limits = read("server/src/limits.rs");
  const stop = Number(/STOP_LIMIT: Duration = Duration::from_secs\((\d+)\)/.exec(limits)[1]);
  const given = Number(/TimeoutStopSec=(\d+)/.exec(read("deploy/greenlight.service"))[1]);
  // Requests, sockets, three tasks of the server's own, readers and writers.
  assert.ok(given > 7 * stop, `${given} s for ${stop} s each`);
});

/** The instructions of a Dockerfile, continued lines joined. */
const instructions = read("deploy/Dockerfile")
  .replace(/\\\n/g, " ")
  .split("\n")
  .filter((line) => /^[A-Z]+ /.test(line))
  .map((line) => [line.split(" ")[0], line.split(" ").slice(1)]);

test("everything that the Dockerfile copies or runs is there", () => {
  const stages = instructions.filter(([word]) => word === "FROM").map(([, args]) => args[2]).filter(Boolean);
  const copies = instructions.filter(([word]) => word === "COPY").map(([, args]) => args);
  assert.ok(copies.length >= 4 && stages.length === 2);
  for (const args of copies) {
    const from = args[0].startsWith("--from=") ? args[0].slice("--from=".length) : null;
    if (from) assert.ok(stages.includes(from), from);
    else for (const path of args.slice(0, -1)) {
      const there = path === "." || tracked.some((file) => file === path || file.startsWith(`${path}/`));
      assert.ok(there, `${path} is not in the repository`);
    }
  }
  const runs = instructions.filter(([word]) => word === "RUN").map(([, args]) => args);
  for (const [program] of runs) {
    assert.ok(["cargo", "install"].includes(program) || tracked.includes(program), `${program} is no script of ours`);
  }
  // As scripts/release builds it, so that one can't go its own way.
  const built = runs.find(([program]) => program === "cargo").join(" ");
  const command = "cargo build --release --locked -p greenlight-server";
  assert.equal(built, command);
  assert.ok(read("scripts/release").includes(command));
  const ignored = read(".dockerignore").split("\n");
  for (const folder of ["target", "vendor", ".git", "data"]) assert.ok(ignored.includes(folder), folder);
});

test("the container is nobody's root, and its toolchain is the repository's", () => {
  const last = (name) => instructions.filter(([word]) => word === name).pop()[1].join(" ");
  assert.match(last("USER"), /^[1-9]\d*:[1-9]\d*$/);
  const order = instructions.map(([word]) => word);
  assert.ok(order.lastIndexOf("RUN") < order.lastIndexOf("USER"), "nothing is run as root that could be run later");
  const rust = /rust-version = "(.*)"/.exec(read("Cargo.toml"))[1];
  assert.ok(instructions.some(([word, args]) => word === "FROM" && args[0] === `rust:${rust}-bookworm`));
  assert.match(last("HEALTHCHECK"), /\["greenlight-server", "health"\]$/);
});
