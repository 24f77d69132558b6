// Where cr-sqlite's source comes from, and how it is laid out for us. Unpatched: the patches follow.
//
// The npm package carries the whole C and Rust source beside its loader; its binaries come from elsewhere and are
// not used. It is fetched by name through npm (so mirrors, proxies and caches work as configured), from npm's cache
// when it is there.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const NAME = "@vlcn.io/crsqlite";
export const VERSION = "0.16.3";
export const INTEGRITY = "sha512-1rKylRr2LyW5kwh/a6ZFmvt7kFK+aKLGkz9+O1w9EFVdH11SMUg6MfvxTfoczKCyb3/E5qvdOk2NDW/Zin6OjQ==";

/** Seconds that npm may take, so that a machine without a network gets an error rather than silence. */
const FETCH_LIMIT_S = 180;

/** From a place in the package to a place in our folder. Tests, examples and build outputs are left behind. */
const LAYOUT = [
  ["LICENSE", "LICENSE"],
  ...["crsqlite", "changes-vtab", "ext-data"].map((name) => [`src/${name}.c`, `c/${name}.c`]),
  ...["crsqlite", "changes-vtab", "ext-data", "consts", "util", "rust"].map((name) => [`src/${name}.h`, `c/${name}.h`]),
  ...["sqlite3", "sqlite3ext"].map((name) => [`src/sqlite/${name}.h`, `c/${name}.h`]),
  ["rs/core/src", "core/src"],
  ["rs/core/Cargo.toml", "core/Cargo.toml"],
  ["rs/fractindex-core/src", "fractindex-core/src"],
  ["rs/fractindex-core/Cargo.toml", "fractindex-core/Cargo.toml"],
  ...["sqlite3_capi", "sqlite_nostd", "sqlite3_allocator"].flatMap((name) => [
    [`rs/sqlite-rs-embedded/${name}/src`, `sqlite-rs-embedded/${name}/src`],
    [`rs/sqlite-rs-embedded/${name}/Cargo.toml`, `sqlite-rs-embedded/${name}/Cargo.toml`],
  ]),
  // The bindings that upstream generated for its own static build: so that bindgen and libclang aren't needed.
  [
    "rs/bundle_static/target/release/build/sqlite3_capi-41f11011a1f1500c/out/bindings.rs",
    "sqlite-rs-embedded/sqlite3_capi/src/bindings.rs",
  ],
];

/** Fetches, checks and lays out the source in `folder`. */
export function unpackInto(folder) {
  const scratch = mkdtempSync(join(tmpdir(), "crsqlite-"));
  try {
    const tarball = fetch(scratch);
    const hash = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
    if (hash !== INTEGRITY) {
      throw new Error(`${NAME}@${VERSION} has the hash ${hash} instead of the pinned ${INTEGRITY}; not used`);
    }
    execFileSync("tar", ["xzf", tarball, "-C", scratch]);
    for (const [from, to] of LAYOUT) {
      const target = join(folder, to);
      mkdirSync(join(target, ".."), { recursive: true });
      cpSync(join(scratch, "package", from), target, { recursive: true });
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The path of the package's tarball, fetched into `scratch`. */
function fetch(scratch) {
  try {
    const names = execFileSync(
      "npm",
      ["pack", `${NAME}@${VERSION}`, "--prefer-offline", "--loglevel=error", "--pack-destination", scratch],
      { cwd: scratch, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], timeout: FETCH_LIMIT_S * 1000 },
    );
    return join(scratch, names.trim().split("\n").at(-1));
  } catch (error) {
    throw new Error(`npm could not fetch ${NAME}@${VERSION}: ${error.stderr || error.message}`);
  }
}
