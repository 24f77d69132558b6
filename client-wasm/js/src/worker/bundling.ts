// Writes bundles, reads them back, and does the Nuke and Resync in an order that loses nothing:
//
//   1. the bundle is written under a passing name, flushed, and renamed: now it is complete;
//   2. a marker is written: from here on the nuke is finished, after a crash at the next open, before the files are read;
//   3. the database is dropped and opened empty;
//   4. a file says that this call was carried out, and the marker is removed. The answer may be lost with its tab: the
//      next leading tab is asked again, and must not drop what was written since.
//
// Before 2 a crash leaves the database as it was, and at most a half-written file that the next open removes. Marker and
// that file are empty: their names hold the ids of call and bundle, so each is there whole or not at all.

import { bundleFile, bundleFolder, describe, readBundle } from "../shared/bundles.js";
import { GreenlightError } from "../shared/error.js";
import { randomId } from "../shared/random.js";
import type { BundleInfo, ReplayPlan, ReplayResult } from "../shared/types.js";
import type { Engine } from "./engine.js";

const UNFINISHED = ".part";
const MARKER = "nuke-under-way";
const DONE = "nuke-done";
/** How much of a bundle is read at once, in bytes. */
const READ_BYTES = 1 << 20;
const NEWLINE = 10;

/** What is pending, as a bundle that is kept nowhere. */
export function exportBundle(engine: Engine): Blob {
  const lines: BlobPart[] = [];
  for (const chunk of bundleChunks(engine, randomId(), false)) lines.push(chunk);
  return new Blob(lines, { type: "application/jsonl" });
}

/** The engine has lost hold of its database, which is as its files say: only opening them anew goes on. */
export class DatabaseLost extends Error {
  constructor(
    cause: unknown,
    /** Whether the call may be carried out again. */
    readonly again: boolean,
  ) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/**
 * Saves, drops, starts over: once for each call, however often that is sent. `lasting`: the database has files, so that
 * a nuke that is cut off has something to finish.
 */
export async function nuke(engine: Engine, name: string, call: string, lasting: boolean): Promise<BundleInfo> {
  const folder = await bundleFolder(name, true);
  if (folder === null) {
    throw new GreenlightError("opfs_unavailable", "There is no place to save a bundle here. Export what is pending first.");
  }
  for (const file of await filesOf(folder)) {
    const [done, before, bundle] = file.split(".");
    if (done !== DONE) continue;
    if (before === call && bundle !== undefined) return describe(await readBundle(name, bundle));
    await folder.removeEntry(file);
  }
  const id = randomId();
  const info = await save(engine, folder, id);
  const marker = lasting ? [MARKER, call, id].join(".") : null;
  if (marker !== null) await folder.getFileHandle(marker, { create: true });
  await startOver(engine, folder, marker);
  return info;
}

/**
 * Whether a nuke was interrupted after its bundle was complete: then the database is to be dropped before it is opened,
 * since what the drop has left can't always be opened.
 */
export async function isNukeUnderWay(name: string): Promise<boolean> {
  const folder = await bundleFolder(name, false);
  return folder !== null && (await filesOf(folder)).some(isMarker);
}

/** After that, and after the database was opened: says that the nuke is done, and removes what one left half-written. */
export async function recover(name: string): Promise<void> {
  const folder = await bundleFolder(name, false);
  if (folder === null) return;
  const files = await filesOf(folder);
  for (const file of files) if (file.endsWith(UNFINISHED)) await folder.removeEntry(file);
  for (const marker of files.filter(isMarker)) await finish(folder, marker);
}

/** What replaying a bundle would do. */
export async function preview(engine: Engine, name: string, bundle: string, all: boolean): Promise<ReplayPlan> {
  await takeIn(engine, name, bundle, all);
  for (;;) {
    const plan = engine.replay_plan_some();
    if (plan !== undefined) return plan;
    await breath();
  }
}

/** Writes a bundle's rows again; once it is finished, the same `id` does nothing more. */
export async function replay(engine: Engine, name: string, bundle: string, all: boolean, id: string): Promise<ReplayResult> {
  const before = engine.replay_done(id);
  if (before !== undefined) return { written: before, refused: 0, refusals: [] };
  await takeIn(engine, name, bundle, all);
  for (;;) {
    const done = engine.replay_write_some(id);
    if (done !== undefined) return { written: done.rows, refused: done.refused, refusals: done.refusals };
    await breath();
  }
}

async function takeIn(engine: Engine, name: string, bundle: string, all: boolean): Promise<void> {
  const file = await readBundle(name, bundle);
  engine.replay_begin();
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
  engine.replay_choose(all);
}

/** Lets the socket, the timer and the beat have their turn in between. */
function breath(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

async function filesOf(folder: FileSystemDirectoryHandle): Promise<string[]> {
  const files: string[] = [];
  for await (const file of folder.keys()) files.push(file);
  return files;
}

/** `marker` is the file's name that says which call is carried out and which bundle it saved; in memory there is none. */
async function startOver(engine: Engine, folder: FileSystemDirectoryHandle, marker: string | null): Promise<void> {
  try {
    engine.start_over();
  } catch (error) {
    throw new DatabaseLost(error, marker !== null);
  }
  if (marker !== null) await finish(folder, marker);
}

function isMarker(file: string): boolean {
  return file.split(".")[0] === MARKER;
}

async function finish(folder: FileSystemDirectoryHandle, marker: string): Promise<void> {
  await folder.getFileHandle(marker.replace(MARKER, DONE), { create: true });
  await folder.removeEntry(marker);
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
    try {
      engine.bundle_end();
    } catch (error) {
      throw new DatabaseLost(error, false);
    }
  }
}

/** Renaming within the origin-private file system: in every browser that has it, not yet in TypeScript's library. */
interface Movable extends FileSystemFileHandle {
  move(name: string): Promise<void>;
}
