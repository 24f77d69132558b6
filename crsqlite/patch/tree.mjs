// The patched source while it is being made: anchored edits that say how many places they must match.
//
// A patch is code, not a diff, so that none of the foreign source has to be kept here, and so that an anchor that
// doesn't match is an error with a sentence rather than a silent miss.
import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export class Tree {
  /** `folder` holds the source; `patch` is named in errors. */
  constructor(folder, patch) {
    this.folder = folder;
    this.patch = patch;
  }

  /**
   * Replaces every match of `anchor` (a string, or a regular expression with the flag g) in `file` by `put`
   * (a string taken literally, or a function of the match). `times` is how many matches there must be.
   */
  edit(file, anchor, put, times = 1) {
    const path = join(this.folder, file);
    const before = readFileSync(path, "utf8");
    const found = typeof anchor === "string" ? before.split(anchor).length - 1 : [...before.matchAll(anchor)].length;
    if (found !== times) {
      throw new Error(
        `patch ${this.patch} expects ${times} place(s) like ${String(anchor).trim()} in ${file} and found ${found}; ` +
          "the fetched source is not the one that the patch was written for",
      );
    }
    const literal = typeof put === "string" ? () => put : put;
    writeFileSync(path, before.replaceAll(anchor, literal));
  }

  /** Adds `text` at the end of `file`. */
  append(file, text) {
    appendFileSync(join(this.folder, file), text);
  }

  /** Adds `text` in front of `file`. */
  prepend(file, text) {
    const path = join(this.folder, file);
    writeFileSync(path, text + readFileSync(path, "utf8"));
  }
}
