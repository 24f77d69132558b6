// What page, worker and tabs say to each other.
//
// A page speaks only to its own worker. The worker of the tab that leads carries calls out; the others pass them on to
// it and bring the answers back. A page keeps every call until it is answered and sends it again, under the same id,
// when another tab leads; writes are recorded by that id in the database, so none is done twice.

import type { ErrorMessage } from "./error.js";
import type { Rows } from "./rows.js";
import type { Integers, Query, Status, Value } from "./types.js";

/** Raised when tabs of different versions of this package would misunderstand each other. */
export const TAB_PROTOCOL = 1;

/** What a page asks of the database. */
export type Request =
  | { kind: "open"; schema: string }
  | { kind: "exec"; sql: string; params?: Value[]; tx?: string }
  | { kind: "query"; sql: string; params?: Value[]; tx?: string }
  | { kind: "begin" }
  | { kind: "commit"; tx: string }
  | { kind: "rollback"; tx: string }
  | { kind: "watch"; watch: string; what: Watched }
  | { kind: "unwatch"; watch: string }
  | { kind: "quarantined" }
  | { kind: "retry_quarantined" }
  | { kind: "leave_out"; ids: string[] }
  | { kind: "replay"; bundle: string; all: boolean }
  | { kind: "preview"; bundle: string; all: boolean }
  | { kind: "pause" | "resume" | "retry" | "nuke" | "export" | "pending_by_table" | "destroy" };

/** Tables, or a query. */
export type Watched = { tables: string[] } | { query: Query };

/** A request with the id that its answer carries. */
export interface Call {
  id: string;
  integers: Integers;
  request: Request;
}

/** What became of a call. */
export type Answer = { id: string; value: unknown } | { id: string; error: ErrorMessage };

/** What a worker starts from. */
export interface Settings {
  name: string;
  /** The WebSocket's address. */
  socketUrl: string;
  schema: string;
  memory: "never" | "fallback" | "always";
  wasmUrl: string | null;
}

/** From a page to its worker. */
export type ToWorker =
  | { kind: "start"; settings: Settings }
  | { kind: "call"; call: Call }
  | { kind: "token"; ask: string; token: string }
  | { kind: "no_token"; ask: string; message: string }
  /** The page is about to be frozen: give up the database at once. */
  | { kind: "freeze" }
  | { kind: "thaw" }
  /** Give up everything; answered by "stopped". */
  | { kind: "stop" };

/** From a worker to its page. */
export type ToPage =
  | Delivery
  | { kind: "status"; status: Status }
  /** Whether this tab leads. */
  | { kind: "role"; leading: boolean }
  /** Another tab leads, or this one does: send again what has no answer, and watch again. */
  | { kind: "again" }
  | { kind: "ask_token"; ask: string }
  /** A newer version of the app runs in another tab. */
  | { kind: "outdated" }
  /** The database is no more: this page or another tab destroyed it. */
  | { kind: "destroyed" }
  /** The wasm module broke; `culprit` is the call it was working on. */
  | { kind: "broken"; message: string; culprit: string | null }
  | { kind: "stopped" };

/** What the leading tab has for one page, its own or another. */
export type Delivery =
  | { kind: "answer"; answer: Answer }
  | { kind: "rows"; watch: string; rows: Rows }
  | { kind: "tables"; watch: string; tables: string[] }
  | { kind: "watch_failed"; watch: string; error: ErrorMessage };

/** What a tab says of itself, so that older ones know that they are. */
export interface TabVersion {
  protocol: number;
  /** The schema's number. */
  schema: number;
}

/** On the channel that every tab of a database hears. */
export type ToAll =
  | { kind: "hello"; from: string; version: TabVersion }
  /** From the leading tab; `term` is another one each time that a tab begins to lead. */
  | { kind: "status"; from: string; term: string; version: TabVersion; status: Status }
  | { kind: "destroyed" };

/** On the channel that one tab hears. */
export type ToTab = { kind: "call"; from: string; call: Call } | { kind: "delivery"; term: string; delivery: Delivery };
