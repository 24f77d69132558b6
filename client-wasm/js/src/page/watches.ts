// What a page watches: keeps each subscription so that it can be made again when another tab leads, and calls back
// only when there is something new.

import { GreenlightError } from "../shared/error.js";
import { MAX_WATCHES } from "../shared/limits.js";
import type { Delivery, Request, Watched } from "../shared/messages.js";
import { randomId } from "../shared/random.js";
import { sameRows, toObjects, type Rows } from "../shared/rows.js";
import type { Query, Row } from "../shared/types.js";

interface Watch {
  what: Watched;
  rows: Rows | null;
  callback(found: Row[] | string[]): void;
}

export class PageWatches {
  readonly #watches = new Map<string, Watch>();

  constructor(readonly call: (request: Request) => Promise<unknown>) {}

  /** Begins to watch; the returned function ends it. */
  add(what: string[] | Query, callback: Watch["callback"]): () => void {
    if (this.#watches.size >= MAX_WATCHES) throw new GreenlightError("busy", `${MAX_WATCHES} watches are open already.`);
    const watch = randomId();
    const watched: Watched = Array.isArray(what) ? { tables: [...what] } : { query: { ...what } };
    this.#watches.set(watch, { what: watched, rows: null, callback });
    this.#ask(watch, watched);
    return () => {
      if (!this.#watches.delete(watch)) return;
      this.call({ kind: "unwatch", watch }).catch(() => {
        // The client has ended, and with it every watch.
      });
    };
  }

  /** Watches everything again after another tab began to lead. Meanwhile any of the tables may have changed. */
  again(): void {
    for (const [watch, { what, callback }] of this.#watches) {
      this.#ask(watch, what);
      if ("tables" in what) callback([...what.tables]);
    }
  }

  hear(delivery: Exclude<Delivery, { kind: "answer" }>): void {
    const watch = this.#watches.get(delivery.watch);
    if (watch === undefined) return;
    if (delivery.kind === "watch_failed") {
      return report(new GreenlightError(delivery.error.code, `A watched query failed: ${delivery.error.message}`));
    }
    if (delivery.kind === "tables") return watch.callback(delivery.tables);
    if (watch.rows !== null && sameRows(watch.rows, delivery.rows)) return;
    watch.rows = delivery.rows;
    watch.callback(toObjects(delivery.rows));
  }

  #ask(watch: string, what: Watched): void {
    this.call({ kind: "watch", watch, what }).catch((error: unknown) => {
      if (error instanceof GreenlightError && (error.code === "closed" || error.code === "older_tab")) return;
      this.#watches.delete(watch);
      report(error);
    });
  }
}

/** `watch` returns at once, so what fails later has no caller: it goes where uncaught errors go. */
function report(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
