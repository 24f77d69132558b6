// The wasm module behind a typed door: what the worker calls in it, and what comes back.
//
// The module holds the database and the sync session. Every call into it may leave effects (frames to send, a socket
// to open, a timer to set, a status to show); the caller takes them right after and carries them out.

import init from "../greenlight.js";
import { GreenlightError } from "../shared/error.js";
import type { Rows } from "../shared/rows.js";
import type { Integers, ReplayPlan, ReplayResult, SetAside, Status, Value } from "../shared/types.js";

/** What to do on the socket, in order. */
export type SocketAction =
  | { kind: "connect" }
  | { kind: "send"; frame: Uint8Array }
  | { kind: "close"; code: number; reason: string }
  /** For the console: what a developer should know. */
  | { kind: "warn"; message: string };

/** What a call into the module leaves to be done. */
export interface Effects {
  actions: SocketAction[];
  /** When the session wants to be woken, counted from now; null: not at all. */
  wakeInMs: number | null;
  /** The status, when it says something new. */
  status: Status | null;
  /** Tables whose rows changed. */
  touched: string[];
}

/** The module's one class. Every method may throw an error with a `code`. */
export interface Engine {
  exec(id: string, sql: string, params: Value[] | undefined): number;
  query(sql: string, params: Value[] | undefined, integers: Integers): Rows;
  /** The tables that a query reads. */
  tables_read(sql: string): string[];
  begin(): void;
  /** Commits under this id, by which a repeated commit is known. */
  commit(id: string): void;
  rollback(): void;
  /** Whether a write of this id was committed. */
  was_written(id: string): boolean;
  connected(token: string): void;
  frame(frame: Uint8Array): void;
  malformed(what: string): void;
  closed(code: number, reason: string): void;
  timeout(): void;
  pause(): void;
  resume(): void;
  retry(): void;
  take_effects(): Effects;
  /** The status as of now. */
  status(): Status;
  pending_by_table(): { table: string; changes: number }[];
  /** Incoming changes that could not be applied. */
  quarantined(limit: number): SetAside[];
  /** Tries them again; how many could be applied. */
  retry_quarantined(): number;
  /** Leaves those of these ids out; how many there were. */
  leave_out(ids: string[]): number;
  /**
   * Begins to write a bundle: its first line. When `whole`, all of the database follows what is pending, unless the
   * light is green: the server has it then.
   */
  bundle_begin(id: string, createdAt: number, whole: boolean): Uint8Array;
  /** More lines of it; undefined when it is complete. */
  bundle_next(): Uint8Array | undefined;
  /** The bundle is written, or given up. */
  bundle_end(): void;
  /** Another bundle is to be read. */
  replay_begin(): void;
  /** Takes in lines of it, cut at line ends. */
  replay_take(lines: Uint8Array): void;
  /** All of it was taken in. `all`: also what the server had acknowledged is meant, where the bundle has it. */
  replay_choose(all: boolean): void;
  /** Goes on finding out what writing it would do; undefined while there is more to look at. */
  replay_plan_some(): ReplayPlan | undefined;
  /** How many rows were written by the replay of this id, where it was finished before. */
  replay_done(id: string): number | undefined;
  /** Writes the next batch as one transaction, the last under this id; undefined while there is more to write. */
  replay_write_some(id: string): { rows: number; refused: number; refusals: ReplayResult["refusals"] } | undefined;
  /** Drops the database's file and opens it anew and empty; the session starts over. */
  start_over(): void;
  /** Gives up connection and files. The engine is only to be freed. */
  close(): void;
  free(): void;
}

let loading: Promise<unknown> | null = null;

/** Loads and compiles the module, once in a worker. */
export function loadModule(wasmUrl: string | null): Promise<unknown> {
  const from = wasmUrl ?? new URL("../greenlight_bg.wasm", import.meta.url);
  loading ??= init({ module_or_path: from }).catch((error: unknown) => {
    throw new GreenlightError("worker", `The wasm module could not be loaded: ${String(error)}`);
  });
  return loading;
}
