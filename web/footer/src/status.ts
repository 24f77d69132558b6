// What the footer needs to know of a client, as structural types: any object of this shape can be shown,
// so the element depends on no package. Field by field the same as greenlight-client's `Status`.

/** The six states of the light, from worst to best: incompatible, stuck, disconnected, connecting, syncing, synced. */
export type State = "disconnected" | "connecting" | "synced" | "syncing" | "stuck" | "incompatible";

/** What a person can do about it. */
export type Remedy =
  | "none"
  | "wait"
  | "resume"
  | "retry"
  | "sign_in"
  | "reload"
  | "update_app"
  | "free_space"
  | "ask_operator"
  | "nuke_and_resync"
  | "review_quarantine";

/** How far a long transfer is. Counts of changes, bytes on the wire; the rate is changes per second. */
export interface Progress {
  direction: "down" | "up";
  changes: { done: number; total: number };
  bytes: { done: number; total: number };
  perSecond: number;
  /** Milliseconds to go, where they can be told. */
  etaMs: number | null;
}

/** Facts for whoever has to find out what is wrong. */
export interface Diagnostics {
  attempt: number;
  earlyCloses: number;
  lastClose: { code: number; reason: string } | null;
  lastError: string | null;
  nextAttemptAt: number | null;
  server: { siteId: string; epoch: string; head: number } | null;
  siteId: string;
  cursor: number;
  acknowledged: number;
  leader: boolean;
  persisted: boolean;
  memory: boolean;
}

/** One moment of the light. Times are milliseconds since 1970. */
export interface Status {
  state: State;
  reason: string;
  sentence: string;
  remedy: Remedy;
  since: number;
  pending: { changes: number; bytes: number; oldestAgeMs: number | null };
  lastSyncedAt: number | null;
  /** When all rows were last found equal to the server's. Older clients don't say. */
  verifiedAt?: number | null;
  /** Tables with rows that differ, until they are found equal. Older clients don't say. */
  diverged?: { table: string; rows: number }[];
  freshnessMs: number | null;
  progress: Progress | null;
  quarantined: number;
  heldAside: number;
  leftOut?: number;
  /** Whether only reading is allowed; absent where the source doesn't say. */
  readOnly?: boolean;
  diagnostics: Diagnostics;
}

/** A status that changes: `change` is dispatched on it whenever `current` is another one. */
export interface StatusSource extends EventTarget {
  readonly current: Status;
}

/** What was saved before a Nuke and Resync. */
export interface BundleInfo {
  id: string;
  createdAt: number;
  changes: number;
  bytes: number;
  reason: string;
}

/** What replaying a bundle would do. `unknownColumns` are left in the bundle. */
export interface ReplayPlan {
  rows: number;
  tables: {
    table: string;
    added: number;
    overwritten: number;
    deleted: number;
    equal: number;
    unknown: number;
    unknownColumns?: string[];
  }[];
}

/** A value as bundles spell it: exact by type. */
export type SavedValue = null | { integer: string } | { real: string } | { text: string } | { blob: string };

/** An incoming change that could not be applied. */
export interface SetAside {
  id: string;
  table: string;
  key: SavedValue[];
  column: string;
  value: SavedValue;
  reason: string;
  since: number;
}

/** The part of a Greenlight client that the footer's buttons use. */
export interface FooterClient {
  readonly name: string;
  readonly status: StatusSource;
  pause(): Promise<void>;
  resume(): Promise<void>;
  retry(): Promise<void>;
  nukeAndResync(): Promise<BundleInfo>;
  bundles(): Promise<BundleInfo[]>;
  readBundle(id: string): Promise<Blob>;
  discardBundle(id: string): Promise<void>;
  previewBundle(id: string, options?: { rows?: "unacknowledged" | "all" }): Promise<ReplayPlan>;
  replayBundle(id: string, options?: { rows?: "unacknowledged" | "all" }): Promise<{ written: number; refused?: number }>;
  quarantined(): Promise<SetAside[]>;
  retryQuarantined(): Promise<{ applied: number }>;
  leaveOut(ids: string[]): Promise<{ leftOut: number }>;
  exportPending(): Promise<Blob>;
  pendingByTable(): Promise<{ table: string; changes: number }[]>;
}
