// The tab that holds the database: carries out the calls of every tab in turn, drives the session's socket and timer,
// tells who watches, publishes the status. Never elects anyone and never speaks to a tab but through its host.

import { GreenlightError, toMessage } from "../shared/error.js";
import { STATUS_BEAT_MS, TRANSACTION_LIMIT_MS } from "../shared/limits.js";
import type { Answer, Call, Delivery, Request, Settings } from "../shared/messages.js";
import type { Integers, Status, Value } from "../shared/types.js";
import { DatabaseLost, exportBundle, nuke, preview, replay } from "./bundling.js";
import type { Engine } from "./engine.js";
import { ServerSocket } from "./socket.js";
import { Turns } from "./turns.js";
import { Watches } from "./watches.js";

/** The worker around the leader. */
export interface LeaderHost {
  readonly settings: Settings;
  /** Whether the database ends with this tab. */
  readonly inMemory: boolean;
  deliver(tab: string, delivery: Delivery): void;
  publish(status: Status): void;
  askToken(): Promise<string>;
  /** Removes the database's files, after the engine has closed them, and tells every tab. */
  destroy(): Promise<void>;
  /** The wasm module broke: nothing here can be used any more. */
  broken(error: Error, culprit: string | null): void;
}

/** setTimeout takes 31 bits; a longer wait is cut short and asked for again. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;
/** Changes in quarantine that are told at a time. */
const QUARANTINED_SHOWN = 1_000;

interface Transaction {
  id: string;
  tab: string;
  limit: ReturnType<typeof setTimeout>;
}

export class Leader {
  readonly #turns = new Turns();
  readonly #socket: ServerSocket;
  readonly #watches: Watches;
  readonly #beat: ReturnType<typeof setInterval>;
  /** Calls under way: one that is sent again meanwhile is answered once. */
  readonly #working = new Set<string>();
  #tx: Transaction | null = null;
  /** The last transaction that took too long, so that its owner is told so. */
  #expired: string | null = null;
  #wake: ReturnType<typeof setTimeout> | undefined;
  /** The call that the module is working on. */
  #culprit: string | null = null;
  #ended = false;

  constructor(
    readonly engine: Engine,
    readonly host: LeaderHost,
  ) {
    this.#socket = new ServerSocket(host.settings.socketUrl, () => host.askToken(), {
      connected: (token) => this.#drive(() => engine.connected(token)),
      frame: (frame) => this.#drive(() => engine.frame(frame)),
      malformed: (what) => this.#drive(() => engine.malformed(what)),
      closed: (code, reason) => this.#drive(() => engine.closed(code, reason)),
    });
    this.#watches = new Watches({
      tablesRead: (sql) => this.#use(() => engine.tables_read(sql)),
      query: (query, integers) => this.#query(`watch ${query.sql}`, query.sql, query.params, integers),
      deliver: (tab, delivery) => host.deliver(tab, delivery),
    });
    this.#beat = setInterval(() => this.announce(), STATUS_BEAT_MS);
    this.#drive(() => engine.timeout());
    this.announce();
  }

  /** Publishes the status as of now: also the sign that this tab is alive. */
  announce(): void {
    this.#drive(() => this.host.publish(this.engine.status()));
  }

  /** Carries out a call of a tab and delivers the answer. */
  async call(tab: string, call: Call): Promise<void> {
    if (this.#ended || this.#working.has(call.id)) return;
    this.#working.add(call.id);
    let answer: Answer;
    try {
      answer = { id: call.id, value: await this.#carryOut(tab, call.id, call.request, call.integers) };
    } catch (error) {
      answer = { id: call.id, error: toMessage(error) };
    }
    this.#working.delete(call.id);
    // What was interrupted by the end is unanswered: its page sends it to the next leader.
    if (!this.#ended) this.host.deliver(tab, { kind: "answer", answer });
  }

  /** A tab is gone: its transaction is rolled back, its watches are forgotten. */
  gone(tab: string): void {
    this.#watches.removeTab(tab);
    if (this.#tx?.tab === tab) this.#endTransaction(() => this.engine.rollback());
  }

  /** Gives up connection, files and timers. */
  stop(): void {
    if (this.#ended) return;
    this.#silence();
    this.#socket.close(1000, "the tab goes");
    this.engine.close();
    this.engine.free();
  }

  async #carryOut(tab: string, id: string, request: Request, integers: Integers): Promise<unknown> {
    const { engine } = this;
    switch (request.kind) {
      case "open":
        return this.#checkSchema(request.schema);
      case "exec":
        return this.#inTurn(id, request.tx, () => ({ changes: engine.exec(id, request.sql, request.params) }));
      case "query":
        return this.#inTurn(id, request.tx, () => engine.query(request.sql, request.params, integers));
      case "begin":
        return this.#begin(tab, id);
      case "commit":
        return this.#commit(id, request.tx);
      case "rollback":
        if (this.#tx?.id === request.tx) this.#endTransaction(() => engine.rollback());
        return null;
      case "watch":
        return this.#watches.add(tab, request.watch, request.what, integers);
      case "unwatch":
        return this.#watches.remove(request.watch);
      case "pause":
      case "resume":
      case "retry":
        return this.#use(() => engine[request.kind as "pause"](), id);
      case "pending_by_table":
        return this.#inTurn(id, undefined, () => engine.pending_by_table());
      case "quarantined":
        return this.#inTurn(id, undefined, () => engine.quarantined(QUARANTINED_SHOWN));
      case "retry_quarantined":
        return this.#inTurn(id, undefined, () => ({ applied: engine.retry_quarantined() }));
      case "leave_out":
        return this.#inTurn(id, undefined, () => ({ leftOut: engine.leave_out(request.ids) }));
      case "export":
        return this.#alone(id, async () => exportBundle(engine));
      case "nuke":
        return this.#alone(id, () => nuke(engine, this.host.settings.name, id, !this.host.inMemory));
      case "replay":
        return this.#alone(id, () => replay(engine, this.host.settings.name, request.bundle, request.all, id));
      case "preview":
        return this.#alone(id, () => preview(engine, this.host.settings.name, request.bundle, request.all));
      case "destroy":
        return this.#destroy(id);
    }
  }

  #checkSchema(schema: string): null {
    if (schema === this.host.settings.schema) return null;
    throw new GreenlightError("schema", "Another tab has this database open with another schema of the same number.");
  }

  async #query(id: string, sql: string, params: Value[] | undefined, integers: Integers) {
    return this.#inTurn(id, undefined, () => this.engine.query(sql, params, integers));
  }

  /** Does something short inside a transaction, or when nobody has one. */
  async #inTurn<T>(id: string, tx: string | undefined, job: () => T): Promise<T> {
    if (tx === undefined) return this.#turns.once(id, () => this.#use(job, id));
    this.#checkTransaction(tx);
    return this.#use(job, id);
  }

  /** Does something longer with nobody in between. */
  async #alone<T>(id: string, job: () => Promise<T>): Promise<T> {
    await this.#turns.take(id);
    this.#culprit = id;
    try {
      return await job();
    } catch (error) {
      throw this.#examine(error);
    } finally {
      this.#culprit = null;
      this.#turns.give(id);
      this.#settle();
    }
  }

  async #begin(tab: string, id: string): Promise<string> {
    await this.#turns.take(id);
    try {
      this.#use(() => this.engine.begin(), id);
    } catch (error) {
      this.#turns.give(id);
      throw error;
    }
    const limit = setTimeout(() => {
      this.#expired = id;
      this.#endTransaction(() => this.engine.rollback());
    }, TRANSACTION_LIMIT_MS);
    this.#tx = { id, tab, limit };
    return id;
  }

  #commit(id: string, tx: string): null {
    if (this.#tx?.id === tx) {
      this.#endTransaction(() => this.engine.commit(id));
      return null;
    }
    // Committed already, perhaps by the tab that led before, when only the answer was lost.
    if (this.#use(() => this.engine.was_written(id), id)) return null;
    return this.#checkTransaction(tx);
  }

  /** Commits or rolls back; whatever comes of it, the transaction is over. */
  #endTransaction(job: () => void): void {
    const tx = this.#tx;
    if (tx === null) return;
    clearTimeout(tx.limit);
    try {
      this.#use(job, tx.id);
    } finally {
      this.#tx = null;
      this.#turns.give(tx.id);
    }
  }

  #checkTransaction(tx: string): null {
    if (this.#tx?.id === tx) return null;
    if (this.#expired === tx) {
      const sentence = `The transaction took longer than ${TRANSACTION_LIMIT_MS} ms and was rolled back.`;
      throw new GreenlightError("timeout", `${sentence} Inside, only \`tx\` may be used.`);
    }
    throw new GreenlightError("transaction_lost", "The tab that held the database went away; nothing was written.");
  }

  async #destroy(id: string): Promise<null> {
    await this.#turns.take(id);
    this.#socket.close(1000, "destroyed");
    this.engine.close();
    await this.host.destroy();
    return null;
  }

  /** Uses the module from an event that has no caller to tell: what fails shows in the light. */
  #drive(job: () => void): void {
    if (this.#ended) return;
    try {
      this.#use(job);
    } catch (error) {
      // A broken module has been reported; anything else the session itself turned into a status.
      console.error("greenlight:", error);
    }
  }

  /** Every use of the module: carries out afterwards what the session wants done. */
  #use<T>(job: () => T, id: string | null = null): T {
    if (this.#ended) throw new GreenlightError("closed", "The database was closed.");
    const before = this.#culprit;
    this.#culprit = id ?? before;
    try {
      const result = job();
      this.#settle();
      return result;
    } catch (error) {
      const examined = this.#examine(error);
      this.#settle();
      throw examined;
    } finally {
      this.#culprit = before;
    }
  }

  #settle(): void {
    if (this.#ended) return;
    const effects = this.engine.take_effects();
    for (const action of effects.actions) {
      if (action.kind === "connect") void this.#socket.connect();
      else if (action.kind === "send") this.#socket.send(action.frame);
      else if (action.kind === "warn") console.warn(`Greenlight: ${action.message}`);
      else this.#socket.close(action.code, action.reason);
    }
    clearTimeout(this.#wake);
    if (effects.wakeInMs !== null) {
      const wait = Math.min(effects.wakeInMs, LONGEST_TIMEOUT_MS);
      this.#wake = setTimeout(() => this.#drive(() => this.engine.timeout()), wait);
    }
    if (effects.status !== null) this.host.publish(effects.status);
    if (effects.touched.length > 0) this.#watches.touched(effects.touched);
  }

  /** A trap leaves the module in no state to go on: everything ends here, and the page starts another worker. */
  #examine(error: unknown): unknown {
    if (error instanceof DatabaseLost && !this.#ended) {
      this.#silence();
      this.host.broken(error, error.again ? null : this.#culprit);
    }
    if (error instanceof WebAssembly.RuntimeError && !this.#ended) {
      this.#silence();
      this.host.broken(error, this.#culprit);
    }
    return error;
  }

  #silence(): void {
    this.#ended = true;
    clearInterval(this.#beat);
    clearTimeout(this.#wake);
    if (this.#tx !== null) clearTimeout(this.#tx.limit);
  }
}
