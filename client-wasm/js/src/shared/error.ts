// The errors of the package: one class with a stable code, and the form in which they travel between threads.

/**
 * What an app can tell apart:
 * - `sql`: SQLite refused the statement; the message is SQLite's.
 * - `invalid`: an argument that can't be what it should be.
 * - `schema`: the schema can't be read, or can't be reached from the one that the local database has.
 * - `opfs_unavailable`: no origin-private file system here (a private window, an insecure page, an old browser).
 * - `storage_full`: the disk or the browser's quota is full; nothing was written.
 * - `read_only`: the server said that this sign-in may read only; nothing was written.
 * - `busy`: too much is waiting already.
 * - `timeout`: the transaction took longer than its limit and was rolled back.
 * - `older_tab`: another tab runs a newer version of the app; reload this one.
 * - `closed`: the client was closed, or the database destroyed.
 * - `worker`: the worker or its wasm module could not be loaded, or broke.
 * - `transaction_lost`: the tab that held the database went away in the middle, several times in a row.
 * - `not_found`: no bundle of that id.
 * - `storage`: any other failure of the local database.
 */
export type ErrorCode =
  | "sql"
  | "invalid"
  | "schema"
  | "opfs_unavailable"
  | "storage_full"
  | "read_only"
  | "busy"
  | "timeout"
  | "older_tab"
  | "closed"
  | "worker"
  | "transaction_lost"
  | "not_found"
  | "storage";

/** Every error that this package throws on purpose. */
export class GreenlightError extends Error {
  override readonly name = "GreenlightError";

  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** An error between threads and tabs: structured cloning keeps no class and no added property. */
export interface ErrorMessage {
  code: ErrorCode;
  message: string;
}

/** Any thrown value as it travels. The wasm module throws errors with a property `code`. */
export function toMessage(error: unknown): ErrorMessage {
  if (error instanceof Error) {
    if (error.name === "QuotaExceededError") return { code: "storage_full", message: error.message };
    const code = (error as { code?: unknown }).code;
    return { code: typeof code === "string" ? (code as ErrorCode) : "storage", message: error.message };
  }
  return { code: "storage", message: String(error) };
}

/** The inverse of `toMessage`. */
export function fromMessage({ code, message }: ErrorMessage): GreenlightError {
  return new GreenlightError(code, message);
}
