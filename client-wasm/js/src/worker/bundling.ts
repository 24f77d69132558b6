// Writes bundles, reads them back, and does the Nuke and Resync in an order that loses nothing:
//
//   1. the bundle is written under a passing name, flushed, and renamed: now it is complete;
//   2. a marker is written: from here on the nuke is finished, after a crash at the next open;
//   3. the database is dropped and opened empty;
//   4. the marker is removed.
//
// Before 2 a crash leaves the database as it was, and at most a half-written file that the next open removes.

import { bundleFile, bundleFolder, describe, readBundle } from "../shared/bundles.js";
import { GreenlightError } from "../shared/error.js";
import { randomId } from "../shared/random.js";
import type { BundleInfo, ReplayPlan } from "../shared/types.js";
import type { Engine } from "./engine.js";

const UNFINISHED = ".part";
const MARKER = "nuke-under-way";
/** How much of a bundle is read at once, in bytes. */
const READ_BYTES = 1 << 20;
const NEWLINE = 10;

/** What is pending, as a bundle that is kept nowhere. */
export function exportBundle(engine: Engine): Blob {
  const lines: BlobPart[] = [];
  for (const chunk of bundleChunks(engine, randomId(), false)) lines.push(chunk);
  return new Blob(lines, { type: "application/jsonl" });
}

/** Saves, drops, starts over. */
export async function nuke(engine: Engine, name: string): Promise<BundleInfo> {
  const folder = await bundleFolder(name, true);
  if (folder === null) {
    throw new GreenlightError("opfs_unavailable", "There is no place to save a bundle here. Export what is pending first.");
  }
  const id = randomId();
  const info = await save(engine, folder, id);
  await folder.getFileHandle(MARKER, { create: true });
  await startOver(engine, folder);
  return info;
}

/** After the database was opened: finishes a nuke that was interrupted, and removes what one left half-written. */
export async function recover(engine: Engine, name: string): Promise<void> {
  const folder = await bundleFolder(name, false);
  if (folder === null) return;
  let underWay = false;
  const unfinished: string[] = [];
  for await (const file of folder.keys()) {
    if (file === MARKER) underWay = true;
    if (file.endsWith(UNFINISHED)) unfinished.push(file);
  }
  for (const file of unfinished) await folder.removeEntry(file);
  if (underWay) await startOver(engine, folder);
}

/** What replaying a bundle would do. */
export async function preview(engine: Engine, name: string, bundle: string, all: boolean): Promise<ReplayPlan> {
  await takeIn(engine, name, bundle);
  return engine.replay_plan(all);
}

/** Writes a bundle's rows again; `id` makes it happen once. */
export async function replay(engine: Engine, name: string, bundle: string, all: boolean, id: string): Promise<{ written: number }> {
  await takeIn(engine, name, bundle);
  return { written: engine.replay_write(id, all) };
}

async function takeIn(engine: Engine, name: string, bundle: string): Promise<void> {
  const file = await readBundle(name, bundle);
  let rest = new Uint8Array();
  for (let at = 0; at < file.size; at += READ_BYTES) {
    const read = new Uint8Array(await file.slice(at, at + READ_BYTES).arrayBuffer());
    const lines = new Uint8Array(rest.length + read.length);
    lines.set(rest);
    lines.set(read, rest.length);
    const end = lines.lastIndexOf(NEWLINE) + 1;
    engine.replay_take(lines.subarray(0, end));
    rest = lines.slice(end);
  }
}

async function startOver(engine: Engine, folder: FileSystemDirectoryHandle): Promise<void> {
  engine.start_over();
  await folder.removeEntry(MARKER);
}

async function save(engine: Engine, folder: FileSystemDirectoryHandle, id: string): Promise<BundleInfo> {
  const handle = (await folder.getFileHandle(id + UNFINISHED, { create: true })) as Movable;
  const access = await handle.createSyncAccessHandle();
  try {
    let at = 0;
    for (const chunk of bundleChunks(engine, id, true)) {
      const written = access.write(chunk, { at });
      if (written !== chunk.length) throw new GreenlightError("storage_full", "There is no room for the bundle.");
      at += written;
    }
    access.flush();
  } catch (error) {
    access.close();
    await folder.removeEntry(id + UNFINISHED);
    throw error;
  }
  access.close();
  await handle.move(bundleFile(id));
  return describe(await (await folder.getFileHandle(bundleFile(id))).getFile());
}

function* bundleChunks(engine: Engine, id: string, whole: boolean): Generator<Uint8Array<ArrayBuffer>> {
  yield engine.bundle_begin(id, Date.now(), whole) as Uint8Array<ArrayBuffer>;
  try {
    for (;;) {
      const chunk = engine.bundle_next();
      if (chunk === undefined) return;
      yield chunk as Uint8Array<ArrayBuffer>;
    }
  } finally {
    engine.bundle_end();
  }
}

/** Renaming within the origin-private file system: in every browser that has it, not yet in TypeScript's library. */
interface Movable extends FileSystemFileHandle {
  move(name: string): Promise<void>;
}
