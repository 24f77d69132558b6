// Exits with 0 when node_modules holds every package of package-lock.json at its version, so that `npm ci` (which
// deletes everything first) can be left out. Called by scripts/setup; changes nothing.
import { readFileSync } from "node:fs";

function packagesOf(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8")).packages;
  } catch {
    console.log(`${path} is not there`);
    process.exit(1);
  }
}

const wanted = packagesOf("package-lock.json");
const installed = packagesOf("node_modules/.package-lock.json");
for (const [path, entry] of Object.entries(wanted)) {
  // Sources of the workspace are in the tree itself, and optional packages are mostly for other platforms.
  if (!path.includes("node_modules/") || entry.optional) continue;
  const there = installed[path];
  if (there === undefined || there.version !== entry.version || Boolean(there.link) !== Boolean(entry.link)) {
    console.log(`${path}: ${entry.version ?? "link"} wanted, ${there?.version ?? "none"} here`);
    process.exit(1);
  }
}
