// Greenlight in the browser: the package's entry. Importing it does nothing; `open` starts a worker.

import { Client } from "./page/client.js";
import { checkOptions } from "./page/options.js";
import type { Greenlight, OpenOptions } from "./shared/types.js";

export { GreenlightError, type ErrorCode } from "./shared/error.js";
export { TRANSACTION_LIMIT_MS } from "./shared/limits.js";
export type * from "./shared/types.js";

/**
 * Opens the database, in this tab or through the tab that has it open, and keeps it in step with the server from then
 * on. Resolves once it can be used, online or not. Where another tab holds it and doesn't answer (frozen by the
 * browser), it resolves all the same after `OPEN_LIMIT_MS` with the light at `leader_frozen`, and what is asked of it
 * waits.
 *
 * Rejects with a GreenlightError: `invalid`, `opfs_unavailable`, `schema`, `storage_full`, `older_tab`, `worker`.
 */
export async function open(options: OpenOptions): Promise<Greenlight> {
  const client = new Client(checkOptions(options));
  await client.opened();
  return client;
}
