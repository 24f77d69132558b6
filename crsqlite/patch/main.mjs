// Makes vendor/cr-sqlite: the source of cr-sqlite, fetched, checked against a pinned hash, patched.
//
// In: the npm package named in source.mjs. Out: a folder of crates and C files that this repository's `crsqlite`
// crate builds. It never changes anything outside of that folder, and never leaves a half-made one behind.
//
// usage: crsqlite/prepare [--without N]... [--into DIR]
//   --without N  leaves patch N out, to watch its regression tests fail; needs --into.
//   --into DIR   makes DIR instead of vendor/cr-sqlite.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { INTEGRITY, NAME, VERSION, unpackInto } from "./source.mjs";
import { Tree } from "./tree.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const STAMP = ".stamp";

/** What the caller asked for; ends the process with a sentence when it makes no sense. */
function parse(args) {
  const wish = { without: [], into: join(HERE, "..", "..", "vendor", "cr-sqlite") };
  for (let i = 0; i < args.length; i += 1) {
    if (args[i] === "--without" && /^[0-9]+$/.test(args[i + 1] ?? "")) {
      wish.without.push(Number(args[(i += 1)]));
    } else if (args[i] === "--into" && args[i + 1]) {
      wish.into = resolve(args[(i += 1)]);
    } else {
      throw new Error(`unknown argument ${args[i]}; usage: prepare [--without N]... [--into DIR]`);
    }
  }
  if (wish.without.length > 0 && !args.includes("--into")) {
    throw new Error("--without needs --into, so that the source the crates are built from stays whole");
  }
  return wish;
}

/** The patches in the order of their numbers: 1-build.mjs is patch 1. */
async function patches() {
  const names = readdirSync(HERE).filter((name) => /^[0-9]+-.*\.mjs$/.test(name));
  const numbered = names.map((name) => ({ number: Number.parseInt(name, 10), name }));
  numbered.sort((a, b) => a.number - b.number);
  return Promise.all(
    numbered.map(async ({ number, name }) => ({ number, name, apply: (await import(join(HERE, name))).default })),
  );
}

/** Changes when the source, this script, a patch or the choice of patches does. */
function stampOf(wish) {
  const hash = createHash("sha256").update(`${NAME}@${VERSION} ${INTEGRITY} without ${wish.without.join(",")}\n`);
  for (const name of readdirSync(HERE).sort()) {
    hash.update(`${name}\n`).update(readFileSync(join(HERE, name)));
  }
  return hash.digest("hex");
}

async function main() {
  const wish = parse(process.argv.slice(2));
  const stamp = stampOf(wish);
  const stampFile = join(wish.into, STAMP);
  if (existsSync(stampFile) && readFileSync(stampFile, "utf8") === stamp) return;

  const all = await patches();
  for (const number of wish.without) {
    if (!all.some((patch) => patch.number === number)) throw new Error(`there is no patch ${number}`);
  }
  // Made beside its place and moved there whole, so that an interrupted run leaves no half-patched source.
  const making = `${wish.into}.making-${process.pid}`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making, { recursive: true });
  try {
    unpackInto(making);
    for (const patch of all.filter(({ number }) => !wish.without.includes(number))) {
      patch.apply(new Tree(making, patch.name));
    }
    writeFileSync(join(making, STAMP), stamp);
    rmSync(wish.into, { recursive: true, force: true });
    renameSync(making, wish.into);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  console.log(`crsqlite/prepare: ${NAME} ${VERSION} patched in ${wish.into}`);
}

main().catch((error) => {
  console.error(`crsqlite/prepare: ${error.message}`);
  process.exit(1);
});
