// Exits with 0 when every package of package-lock.json may be used by its licence. Called by `make test`.
import { readFileSync } from "node:fs";

/** Permissive ones, and for fonts and tools of the tests their own. */
const allowed = new Set(["0BSD", "Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "OFL-1.1"]);
/** The lock file says nothing of these; their repository says MIT. */
const known = new Set(["@vlcn.io/crsqlite-wasm", "@vlcn.io/wa-sqlite", "@vlcn.io/xplat-api"]);

const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
const wrong = Object.entries(packages)
  .filter(([path, entry]) => path.includes("node_modules/") && !entry.link && !allowed.has(entry.license))
  .map(([path, entry]) => [path.split("node_modules/").pop(), entry.license ?? "none"])
  .filter(([name, licence]) => !(licence === "none" && known.has(name)));
for (const [name, licence] of wrong) console.log(`${name}: its licence (${licence}) is not among those that are allowed`);
process.exit(wrong.length === 0 ? 0 : 1);
