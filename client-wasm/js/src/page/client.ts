// The client that an app holds: turns its calls into requests for the leading tab, and what comes back into values.
// Never touches the database: that is the leading tab's worker.

import { discardBundle, listBundles, readBundle } from "../shared/bundles.js";
import { GreenlightError } from "../shared/error.js";
import { OPEN_LIMIT_MS, TRANSACTION_RERUNS } from "../shared/limits.js";
import { toObjects, type Rows } from "../shared/rows.js";
import type { BundleInfo, Greenlight, Query, ReplayOptions, ReplayPlan, ReplayResult, Row, SetAside, Tx, Value } from "../shared/types.js";
import { follow } from "./lifecycle.js";
import { Link } from "./link.js";
import type { CheckedOptions } from "./options.js";
import { LiveStatus } from "./status-source.js";
import { PageWatches } from "./watches.js";

export class Client implements Greenlight {
  readonly name: string;
  readonly status = new LiveStatus();
  readonly #link: Link;
  readonly #watches: PageWatches;
  readonly #unfollow: () => void;
  readonly #schema: string;
  #leading = false;

  constructor(options: CheckedOptions) {
    const { name, socketUrl, schema, memory, wasmUrl, workerUrl, integers, token } = options;
    this.name = name;
    this.#schema = schema;
    this.#watches = new PageWatches((request) => this.#link.call(request));
    this.#link = new Link({ name, socketUrl, schema, memory, wasmUrl }, workerUrl, integers, {
      status: (status) => this.status.hear(status),
      role: (leading) => {
        this.#leading = leading;
        this.status.lead(leading);
      },
      again: () => this.#watches.again(),
      delivery: (delivery) => this.#watches.hear(delivery),
      token,
      ended: (why) => {
        this.#unfollow();
        this.status.end(why);
      },
    });
    this.#unfollow = follow({
      freeze: () => this.#link.freeze(),
      thaw: () => this.#link.thaw(),
      shown: () => this.status.look(),
      retry: () => this.#retryQuietly(),
      shouldWarn: () =>
        options.warnBeforeUnload && (this.status.current.pending.changes > 0 || this.#link.writing),
    });
    void askToPersist().then((persisted) => this.status.persist(persisted));
  }

  /** Resolves once the database can be used; see `open`. */
  async opened(): Promise<void> {
    const answered = this.#link.call({ kind: "open", schema: this.#schema });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        if (!this.#leading) resolve();
      }, OPEN_LIMIT_MS);
    });
    try {
      await Promise.race([answered, silence]);
    } catch (error) {
      await this.close();
      throw error;
    } finally {
      clearTimeout(timer);
      // When the silence was first, a later failure shows in every other call.
      answered.catch(() => undefined);
    }
  }

  async exec(sql: string, params?: Value[]): Promise<{ changes: number }> {
    return (await this.#link.call({ kind: "exec", sql, params })) as { changes: number };
  }

  async query<T = Row>(sql: string, params?: Value[]): Promise<T[]> {
    return toObjects((await this.#link.call({ kind: "query", sql, params })) as Rows) as T[];
  }

  async transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    for (let run = 0; ; run++) {
      try {
        return await this.#runOnce(body);
      } catch (error) {
        const lost = error instanceof GreenlightError && error.code === "transaction_lost";
        if (!lost || run >= TRANSACTION_RERUNS) throw error;
      }
    }
  }

  async #runOnce<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    const tx = (await this.#link.call({ kind: "begin" })) as string;
    let lost: GreenlightError | null = null;
    const inside = async (request: { kind: "exec" | "query"; sql: string; params?: Value[] }): Promise<unknown> => {
      try {
        return await this.#link.call({ ...request, tx });
      } catch (error) {
        // Whatever the body makes of it: it must run again, or has taken too long.
        if (error instanceof GreenlightError && (error.code === "transaction_lost" || error.code === "timeout")) {
          lost = error;
        }
        throw error;
      }
    };
    let result: T;
    try {
      result = await body({
        exec: async (sql, params) => (await inside({ kind: "exec", sql, params })) as { changes: number },
        query: async <R = Row>(sql: string, params?: Value[]) =>
          toObjects((await inside({ kind: "query", sql, params })) as Rows) as R[],
      });
    } catch (error) {
      // Nothing is kept of a transaction that can't be rolled back by this call: it is gone already.
      await this.#link.call({ kind: "rollback", tx }).catch(() => undefined);
      throw lost ?? error;
    }
    await this.#link.call({ kind: "commit", tx });
    return result;
  }

  watch(tables: string[], callback: (tables: string[]) => void): () => void;
  watch<T = Row>(query: Query, callback: (rows: T[]) => void): () => void;
  watch(what: string[] | Query, callback: (found: never[]) => void): () => void {
    return this.#watches.add(what, callback as (found: Row[] | string[]) => void);
  }

  async pause(): Promise<void> {
    await this.#link.call({ kind: "pause" });
  }

  async resume(): Promise<void> {
    await this.#link.call({ kind: "resume" });
  }

  async retry(): Promise<void> {
    await this.#link.call({ kind: "retry" });
  }

  async nukeAndResync(): Promise<BundleInfo> {
    return (await this.#link.call({ kind: "nuke" })) as BundleInfo;
  }

  bundles(): Promise<BundleInfo[]> {
    return listBundles(this.name);
  }

  readBundle(id: string): Promise<Blob> {
    return readBundle(this.name, id);
  }

  discardBundle(id: string): Promise<void> {
    return discardBundle(this.name, id);
  }

  async quarantined(): Promise<SetAside[]> {
    return (await this.#link.call({ kind: "quarantined" })) as SetAside[];
  }

  async retryQuarantined(): Promise<{ applied: number }> {
    return (await this.#link.call({ kind: "retry_quarantined" })) as { applied: number };
  }

  async leaveOut(ids: string[]): Promise<{ leftOut: number }> {
    return (await this.#link.call({ kind: "leave_out", ids })) as { leftOut: number };
  }

  async previewBundle(id: string, options: ReplayOptions = {}): Promise<ReplayPlan> {
    return (await this.#link.call({ kind: "preview", bundle: id, all: options.rows === "all" })) as ReplayPlan;
  }

  async replayBundle(id: string, options: ReplayOptions = {}): Promise<ReplayResult> {
    return (await this.#link.call({ kind: "replay", bundle: id, all: options.rows === "all" })) as ReplayResult;
  }

  async exportPending(): Promise<Blob> {
    return (await this.#link.call({ kind: "export" })) as Blob;
  }

  async pendingByTable(): Promise<{ table: string; changes: number }[]> {
    return (await this.#link.call({ kind: "pending_by_table" })) as { table: string; changes: number }[];
  }

  async close(): Promise<void> {
    this.#unfollow();
    await this.#link.stop();
    this.status.end("closed");
  }

  async destroy(): Promise<void> {
    await this.#link.call({ kind: "destroy" });
    await this.close();
  }

  #retryQuietly(): void {
    const { state } = this.status.current;
    if (state === "synced" || state === "syncing") return;
    this.#link.call({ kind: "retry" }).catch(() => {
      // Only a hint: whatever keeps it from being heard shows in the light.
    });
  }
}

/** Asks the browser not to evict the database when space is short. Some ask the person, some decide by themselves. */
async function askToPersist(): Promise<boolean> {
  try {
    return (await navigator.storage?.persist?.()) ?? false;
  } catch {
    // Refused in some private windows; the light's diagnostics say that it is not persisted.
    return false;
  }
}
