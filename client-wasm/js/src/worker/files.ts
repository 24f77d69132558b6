// The origin-private file system around the databases: whether there is one, and removing a database for good.
// The files themselves are the wasm module's (src/pool.rs).

/** The folder of all databases; the same as FOLDER in src/pool.rs. */
const DATABASES = "greenlight-databases";

/** Whether this worker has the file system for pages, with the synchronous access that SQLite needs, and locks. */
export async function hasFiles(): Promise<boolean> {
  if (navigator.locks === undefined || navigator.storage?.getDirectory === undefined) return false;
  if (!("createSyncAccessHandle" in FileSystemFileHandle.prototype)) return false;
  try {
    await navigator.storage.getDirectory();
    return true;
  } catch {
    // Private windows of some browsers have the function but refuse it.
    return false;
  }
}

/** Removes a closed database's files. */
export async function removeDatabase(name: string): Promise<void> {
  const root = await navigator.storage.getDirectory();
  const databases = await root.getDirectoryHandle(DATABASES, { create: true });
  await databases.removeEntry(name, { recursive: true });
}
