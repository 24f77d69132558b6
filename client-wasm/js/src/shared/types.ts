// What an app sees of Greenlight in the browser: the types of the package, and nothing that runs.

/** A value of SQLite. Integers arrive as `number` or `bigint`, by the option `integers`. */
export type Value = null | number | bigint | string | Uint8Array;

/** One row of a result, by column name. Of two columns with one name the later counts. */
export type Row = Record<string, Value>;

/** How `open` finds and keeps a database. */
export interface OpenOptions {
  /** The database's name: locally, and as the path on the server. Letters, digits, `.`, `_`, `-`; at most 128. */
  name: string;
  /** `ws(s)://host` or `http(s)://host`, with a base path if there is one; "" means where the page came from. */
  url: string;
  /** The schema file's text; its first line reads `-- schema: shop 4`. */
  schema: string;
  /** What the server asks for, or a function that gets it: called at each connection, so it may be renewed. */
  token?: string | (() => string | Promise<string>);
  /**
   * What to do without the origin-private file system: refuse ("never"), or keep the database in this tab's memory,
   * where closing the tab loses what was not synced ("fallback"). "always" never looks for it.
   */
  memory?: "never" | "fallback" | "always";
  /** How integers come back: "auto" as a number where that is exact and else as a bigint; or always the one or other. */
  integers?: Integers;
  /** Whether leaving the page is questioned while something is not yet on the server. Default: yes. */
  warnBeforeUnload?: boolean;
  /** Where the worker's script is. Default: beside this module; bundlers see that by themselves. */
  workerUrl?: string | URL;
  /** Where the wasm module is. Default: beside the worker. */
  wasmUrl?: string | URL;
}

/** How integers come back from queries. With "number", those beyond 2^53 lose digits. */
export type Integers = "auto" | "bigint" | "number";

/** An open database that is kept in step with its server. One per tab and name. */
export interface Greenlight {
  /** The database's name. */
  readonly name: string;
  /** The light: everything there is to know about how far local and server are in step. */
  readonly status: StatusSource;
  /** Runs one statement with parameters, or several without, as one transaction. */
  exec(sql: string, params?: Value[]): Promise<{ changes: number }>;
  /** Runs one statement that only reads. */
  query<T = Row>(sql: string, params?: Value[]): Promise<T[]>;
  /**
   * Runs `body` with the database to itself, in every tab; rolled back when it throws, or after
   * `TRANSACTION_LIMIT_MS`. Inside, use only `tx`: other calls wait until the transaction has ended. When the tab
   * that holds the database goes away in the middle, nothing was written and `body` runs once more.
   */
  transaction<T>(body: (tx: Tx) => Promise<T>): Promise<T>;
  /** Calls back with the names of those of these tables that changed, whoever changed them. Ends by the returned function. */
  watch(tables: string[], callback: (tables: string[]) => void): () => void;
  /** Calls back with the query's rows, now and whenever they are others. Ends by the returned function. */
  watch<T = Row>(query: Query, callback: (rows: T[]) => void): () => void;
  /** Ends the connection and stays offline until `resume`. */
  pause(): Promise<void>;
  /** Goes online again. */
  resume(): Promise<void>;
  /** Dials at once instead of waiting. */
  retry(): Promise<void>;
  /** The last remedy: saves a bundle, drops the local database and downloads it anew; for all tabs. */
  nukeAndResync(): Promise<BundleInfo>;
  /** What was saved so far; kept until discarded. */
  bundles(): Promise<BundleInfo[]>;
  /** A bundle as a file. */
  readBundle(id: string): Promise<Blob>;
  /** Removes a bundle for good. */
  discardBundle(id: string): Promise<void>;
  /** What `replayBundle` would do, without doing it. */
  previewBundle(id: string, options?: ReplayOptions): Promise<ReplayPlan>;
  /**
   * Writes a bundle's rows again where they differ from what is here, as new local writes, in transactions of at most
   * a thousand rows. One that was cut off may be repeated: what is equal already is not written.
   */
  replayBundle(id: string, options?: ReplayOptions): Promise<ReplayResult>;
  /** What the server has not acknowledged, in a bundle's format, without changing anything. */
  exportPending(): Promise<Blob>;
  /** The same, counted by table. */
  pendingByTable(): Promise<{ table: string; changes: number }[]>;
  /** Incoming changes that could not be applied, with why: the first 1,000. They stop nothing that comes after. */
  quarantined(): Promise<SetAside[]>;
  /** Tries them again, once what they failed at is put right; a newer schema does it by itself. */
  retryQuarantined(): Promise<{ applied: number }>;
  /**
   * Leaves those of these ids out of this database: others keep them, the light speaks of them no more, and the database
   * is not compared with the server's as long as there are some. A newer schema tries them again.
   */
  leaveOut(ids: string[]): Promise<{ leftOut: number }>;
  /** Ends this tab's use of the database; another tab takes over. */
  close(): Promise<void>;
  /** Closes the database in every tab and removes it from this browser, pending changes too. Bundles stay. */
  destroy(): Promise<void>;
}

/** A query that is watched. */
export interface Query {
  sql: string;
  params?: Value[];
}

/** The database inside a transaction. */
export interface Tx {
  exec: Greenlight["exec"];
  query: Greenlight["query"];
}

/** Which rows of a bundle are replayed. */
export interface ReplayOptions {
  /**
   * "unacknowledged" (the default): what the server had not acknowledged. "all": everything that was in the database,
   * where the bundle has it; after a reset of the server it may exist nowhere else.
   */
  rows?: "unacknowledged" | "all";
}

/** What replaying a bundle would do. */
export interface ReplayPlan {
  /** How many rows would be written or deleted. */
  rows: number;
  /** Whether the bundle holds everything that was in the database; else "all" means no more than "unacknowledged". */
  whole: boolean;
  tables: {
    table: string;
    /** Rows that are not here; that are here with other values; that the bundle deletes; that need nothing. */
    added: number;
    overwritten: number;
    deleted: number;
    equal: number;
    /** Rows that can't be written, since their table, key or columns are unknown here. */
    unknown: number;
    /** Columns that are unknown here; their cells stay in the bundle. At most 20. */
    unknownColumns: string[];
    /** Some of the cells that would be overwritten: at most 20. */
    samples: { key: Excerpt[]; column: string; here: Excerpt; bundle: Excerpt }[];
  }[];
}

/** An incoming change that could not be applied. */
export interface SetAside {
  /** Names it while it is set aside. */
  id: string;
  table: string;
  key: SavedValue[];
  /** "-1" for the row's creation or deletion. */
  column: string;
  value: SavedValue;
  reason: string;
  /** Milliseconds since 1970. */
  since: number;
}

/** What a replay has done. */
export interface ReplayResult {
  /** Rows written or deleted. */
  written: number;
  /** Rows that a constraint of the schema did not let in; they stay in the bundle. */
  refused: number;
  /** Some of them, at most 20, with SQLite's sentence. */
  refusals: { table: string; key: Excerpt[]; why: string }[];
}

/** A value's beginning: texts and blobs are cut to 240 bytes, and `of_bytes` says how long the whole is. */
export type Excerpt = null | (NonNullable<SavedValue> & { of_bytes?: number });

/** A value as bundles spell it: exact by type, numbers in digits, blobs in base64. */
export type SavedValue = null | { integer: string } | { real: string } | { text: string } | { blob: string };

/** What was saved before a Nuke and Resync. */
export interface BundleInfo {
  id: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** How many unacknowledged changes are in it. */
  changes: number;
  /** The file's size. */
  bytes: number;
  /** The status' reason when it was saved. */
  reason: string;
}

/** The six states of the light. */
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

/** One moment of the light. Times are milliseconds since 1970. */
export interface Status {
  state: State;
  /** Why, as a stable code: "synced", "offline", "unauthorized", "leader_frozen", ... */
  reason: string;
  /** The same for a person, in English; translate by the reason. */
  sentence: string;
  remedy: Remedy;
  /** Since when it has been in this state for this reason. */
  since: number;
  /** Own changes that the server has not acknowledged. */
  pending: { changes: number; bytes: number; oldestAgeMs: number | null };
  lastSyncedAt: number | null;
  /** When the server was asked whose digests of all tables were equal to those here. */
  verifiedAt: number | null;
  /** What differed when it was last compared, and is being mended; empty once it is found equal. */
  diverged: { table: string; rows: number }[];
  /** The age of what is shown. */
  freshnessMs: number | null;
  progress: Progress | null;
  /** Incoming changes that could not be applied, those that wait for a newer schema, and those that were left out. */
  quarantined: number;
  heldAside: number;
  leftOut: number;
  /** Whether the server last said that this sign-in may only read: the app's writes are refused with `read_only`. */
  readOnly: boolean;
  diagnostics: Diagnostics;
}

/** How far a transfer is that takes several parts. */
export interface Progress {
  direction: "down" | "up";
  changes: { done: number; total: number };
  bytes: { done: number; total: number };
  /** Changes per second. */
  perSecond: number;
  etaMs: number | null;
}

/** Facts behind the state. */
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
  /** Whether this tab is the one that holds the database. */
  leader: boolean;
  /** Whether the browser promised not to evict the database when space is short. */
  persisted: boolean;
  /** Whether the database is only in memory. */
  memory: boolean;
}

/** The light as it changes: dispatches "change"; can be iterated with `for await`, which skips what is outdated. */
export interface StatusSource extends EventTarget, AsyncIterable<Status> {
  readonly current: Status;
}
