// What every tab watches, in the leading tab: runs a query again when a table that it reads changed, and delivers
// rows only when they are others. A heavy query is run less often, so that a long download is not held up by it.

import { toMessage } from "../shared/error.js";
import { WATCH_PAUSE_FACTOR, WATCH_PAUSE_MAX_MS } from "../shared/limits.js";
import type { Delivery, Watched } from "../shared/messages.js";
import { sameRows, type Rows } from "../shared/rows.js";
import type { Integers, Query } from "../shared/types.js";

/** How the leading tab runs a query, in its turn. */
export interface QueryRunner {
  tablesRead(sql: string): string[];
  query(query: Query, integers: Integers): Promise<Rows>;
  deliver(tab: string, delivery: Delivery): void;
}

interface WatchedTables {
  tab: string;
  tables: Set<string>;
}

interface WatchedQuery extends WatchedTables {
  query: Query;
  integers: Integers;
  rows: Rows | null;
  /** Whether a run is due, or under way. */
  state: "idle" | "due" | "running" | "running_and_due";
  /** Not to be run before, by the monotonic clock. */
  notBefore: number;
}

export class Watches {
  readonly #tables = new Map<string, WatchedTables>();
  readonly #queries = new Map<string, WatchedQuery>();

  constructor(readonly runner: QueryRunner) {}

  /** Begins to watch for a tab. A query's first rows are delivered as soon as they are there. */
  add(tab: string, watch: string, what: Watched, integers: Integers): void {
    if ("tables" in what) {
      this.#tables.set(watch, { tab, tables: new Set(what.tables) });
      return;
    }
    const tables = new Set(this.runner.tablesRead(what.query.sql));
    this.#queries.set(watch, { tab, tables, query: what.query, integers, rows: null, state: "idle", notBefore: 0 });
    this.#due(watch);
  }

  remove(watch: string): void {
    this.#tables.delete(watch);
    this.#queries.delete(watch);
  }

  /** Forgets what a tab watched that is gone. */
  removeTab(tab: string): void {
    for (const watches of [this.#tables, this.#queries]) {
      for (const [watch, { tab: owner }] of watches) if (owner === tab) watches.delete(watch);
    }
  }

  /** Rows of these tables changed. */
  touched(tables: string[]): void {
    for (const [watch, watched] of this.#tables) {
      const hit = tables.filter((table) => watched.tables.has(table));
      if (hit.length > 0) this.runner.deliver(watched.tab, { kind: "tables", watch, tables: hit });
    }
    for (const [watch, watched] of this.#queries) {
      if (tables.some((table) => watched.tables.has(table))) this.#due(watch);
    }
  }

  #due(watch: string): void {
    const watched = this.#queries.get(watch);
    if (watched === undefined) return;
    if (watched.state === "running") watched.state = "running_and_due";
    if (watched.state !== "idle") return;
    watched.state = "due";
    // Not at once: one commit may be followed by others that wait already.
    setTimeout(() => void this.#run(watch, watched), Math.max(0, watched.notBefore - performance.now()));
  }

  async #run(watch: string, watched: WatchedQuery): Promise<void> {
    if (this.#queries.get(watch) !== watched) return;
    watched.state = "running";
    const started = performance.now();
    let delivery: Delivery | null = null;
    try {
      const rows = await this.runner.query(watched.query, watched.integers);
      if (watched.rows === null || !sameRows(watched.rows, rows)) delivery = { kind: "rows", watch, rows };
      watched.rows = rows;
    } catch (error) {
      delivery = { kind: "watch_failed", watch, error: toMessage(error) };
    }
    if (this.#queries.get(watch) !== watched) return;
    if (delivery !== null) this.runner.deliver(watched.tab, delivery);
    const ended = performance.now();
    watched.notBefore = ended + Math.min(WATCH_PAUSE_MAX_MS, (ended - started) * WATCH_PAUSE_FACTOR);
    const again = (watched.state as WatchedQuery["state"]) === "running_and_due";
    watched.state = "idle";
    if (again) this.#due(watch);
  }
}
