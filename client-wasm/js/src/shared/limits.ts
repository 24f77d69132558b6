// Every limit of the browser client by name. The protocol's own limits are in core.

/** Calls of one tab that have no answer yet, beyond which further ones are refused with `busy`. */
export const MAX_UNANSWERED = 1_000;
/** Calls that wait in the leading tab for a transaction to end, beyond which further ones are refused with `busy`. */
export const MAX_WAITING = 4_096;
/** Queries and table lists that one tab watches. */
export const MAX_WATCHES = 256;
/** How long a transaction may hold the database to itself. */
export const TRANSACTION_LIMIT_MS = 5_000;
/** How often a transaction's body is run again after the leading tab went away in the middle. */
export const TRANSACTION_RERUNS = 3;
/** The status is published at least this often: it is also the leading tab's sign of life. */
export const STATUS_BEAT_MS = 1_000;
/** A leading tab that was silent for longer is shown as frozen. */
export const LEADER_SILENCE_MS = 4_000;
/** Nothing older than this is shown green; the same as FRESHNESS in core. */
export const FRESHNESS_MS = 5_000;
/** How often a page looks whether what it shows has become too old. */
export const AGEING_MS = 500;
/** `open` of a tab that follows waits this long for the leading tab, then goes on with the light at `leader_frozen`. */
export const OPEN_LIMIT_MS = 6_000;
/** How long a page's token function may take. */
export const TOKEN_LIMIT_MS = 15_000;
/** A tab's files are given up a moment after its lock: how long, and how often, the next one tries to open them. */
export const HANDLES_LIMIT_MS = 5_000;
export const HANDLES_RETRY_MS = 100;
/** After it failed to open the database, a tab that had it before stands for the lead again this much later. */
export const STAND_AGAIN_MS = 2_000;
/** A watched query is run again at the earliest after so many times what its last run took, up to the longest pause. */
export const WATCH_PAUSE_FACTOR = 4;
export const WATCH_PAUSE_MAX_MS = 1_000;
/** A worker that breaks is replaced so many times in the span, then the tab gives up. */
export const MAX_RESTARTS = 3;
export const RESTARTS_SPAN_MS = 60_000;
/** How long closing waits for the worker to give up its handles in good order before it is ended. */
export const CLOSE_LIMIT_MS = 3_000;
/** Longest name of a database; the same as the server's. */
export const MAX_NAME_LENGTH = 128;
/** How much of a bundle's file is read to find its first line, in bytes. */
export const BUNDLE_HEADER_BYTES = 16_384;
