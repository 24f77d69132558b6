// Bundles: files in the origin-private file system, beside the databases, that hold what a Nuke and Resync would
// otherwise lose. Any tab may read and discard them; only the leading tab's worker writes one.
//
// A bundle is text, one JSON value a line (the README documents them): a header, the changes, perhaps the database
// file, and a last line without which it is not complete. It is written under another name and renamed when done.

import { GreenlightError } from "./error.js";
import { BUNDLE_HEADER_BYTES } from "./limits.js";
import type { BundleInfo } from "./types.js";

const FOLDER = "greenlight-bundles";
const ENDING = ".jsonl";
const ID = /^[0-9a-f]{32}$/;

/** The folder of a database's bundles; null when it isn't there, or there is no such file system. */
export async function bundleFolder(name: string, create: boolean): Promise<FileSystemDirectoryHandle | null> {
  const storage = globalThis.navigator?.storage;
  if (storage?.getDirectory === undefined) return null;
  try {
    const root = await storage.getDirectory();
    return await (await root.getDirectoryHandle(FOLDER, { create })).getDirectoryHandle(name, { create });
  } catch (error) {
    if (error instanceof DOMException && ["NotFoundError", "SecurityError"].includes(error.name)) return null;
    throw error;
  }
}

/** Every complete bundle, the newest first. */
export async function listBundles(name: string): Promise<BundleInfo[]> {
  const folder = await bundleFolder(name, false);
  const found: BundleInfo[] = [];
  if (folder === null) return found;
  for await (const [file, handle] of folder.entries()) {
    if (handle.kind === "file" && isBundle(file)) found.push(await describe(await asFile(handle)));
  }
  return found.sort((a, b) => b.createdAt - a.createdAt);
}

/** The bundle's file. */
export async function readBundle(name: string, id: string): Promise<Blob> {
  const folder = await bundleFolder(name, false);
  if (folder === null || !ID.test(id)) throw missing(id);
  try {
    return await asFile(await folder.getFileHandle(id + ENDING));
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") throw missing(id);
    throw error;
  }
}

export async function discardBundle(name: string, id: string): Promise<void> {
  const folder = await bundleFolder(name, false);
  if (folder === null || !ID.test(id)) throw missing(id);
  try {
    await folder.removeEntry(id + ENDING);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotFoundError") throw missing(id);
    throw error;
  }
}

/** The name of a complete bundle's file. */
export function bundleFile(id: string): string {
  return id + ENDING;
}

/** What the first line says. */
export async function describe(file: Blob): Promise<BundleInfo> {
  const start = await file.slice(0, BUNDLE_HEADER_BYTES).text();
  const { id, createdAt, changes, reason } = JSON.parse(start.slice(0, start.indexOf("\n"))) as BundleInfo;
  return { id, createdAt, changes, reason, bytes: file.size };
}

function isBundle(file: string): boolean {
  return file.endsWith(ENDING) && ID.test(file.slice(0, -ENDING.length));
}

/** Only files are looked up where this is used. */
function asFile(handle: FileSystemHandle): Promise<File> {
  return (handle as FileSystemFileHandle).getFile();
}

function missing(id: string): GreenlightError {
  return new GreenlightError("not_found", `There is no bundle ${id}.`);
}
