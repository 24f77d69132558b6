// Every word the footer says, in English. An app translates by giving its own through `element.texts`.

import type { State } from "./status.js";

/** The words; `{n}`-like parts are filled in where they stand. */
export interface Texts {
  label: string;
  pending: string;
  states: Record<State, string>;
  /** Sentences by reason code; the status's own sentence is shown where there is none. */
  reasons: Record<string, string>;
  details: string;
  close: string;
  since: string;
  lastSynced: string;
  /** Before how long ago all rows were last found equal to the server's. */
  verified: string;
  /** Before a table's name and how many of its rows differ. */
  diverged: string;
  never: string;
  heard: string;
  pendingChanges: string;
  oldest: string;
  nonePending: string;
  setAside: string;
  quarantined: string;
  leftOut: string;
  readOnly: string;
  downloading: string;
  sending: string;
  diagnostics: string;
  retry: string;
  pause: string;
  resume: string;
  signIn: string;
  reload: string;
  download: string;
  nuke: string;
  nukeTitle: string;
  nukeBody: string;
  nukeKept: string;
  nukeConfirm: string;
  nukeDone: string;
  cancel: string;
  bundles: string;
  bundleSummary: string;
  bundleDownload: string;
  bundleReplay: string;
  asideTitle: string;
  asideMore: string;
  /** How many fields of a row could not be applied for the reason that follows. */
  asideFields: string;
  asideRetry: string;
  asideRetried: string;
  asideDownload: string;
  asideLeave: string;
  asideLeaveBody: string;
  asideLeaveKept: string;
  asideLeaveConfirm: string;
  asideLeft: string;
  bundleReplayBody: string;
  /** Beside a tick: the rest of what the bundle holds. What it would do follows. */
  bundleReplayAll: string;
  replayNothing: string;
  /** How many rows of a table a replay would change, and how. */
  replayParts: { added: string; overwritten: string; deleted: string; unknown: string };
  /** Of a table, after that: its columns that this app does not have. */
  replayColumns: string;
  /** Before the tables: rows of all of them together. */
  replayTotal: string;
  bundleReplayed: string;
  /** After that, where constraints kept rows out. */
  bundleRefused: string;
  bundleDiscard: string;
  bundleDiscardBody: string;
  memory: string;
  failed: string;
}

export const ENGLISH: Texts = {
  label: "Remote DB",
  pending: "({n} pending)",
  states: {
    disconnected: "Disconnected",
    connecting: "Connecting",
    synced: "Synced",
    syncing: "Syncing",
    stuck: "Stuck",
    incompatible: "Incompatible",
  },
  reasons: {},
  details: "Sync details",
  close: "Close",
  since: "since {time}",
  lastSynced: "Last in step",
  verified: "Verified",
  diverged: "Differs from the server",
  never: "not yet",
  heard: "Server heard",
  pendingChanges: "Only on this device",
  oldest: "oldest {age}",
  nonePending: "nothing",
  setAside: "Held for a newer app",
  quarantined: "Could not be applied",
  leftOut: "Left out by hand",
  readOnly: "(read only)",
  downloading: "Downloading",
  sending: "Sending",
  diagnostics: "Diagnostics",
  retry: "Try again now",
  pause: "Pause sync",
  resume: "Resume sync",
  signIn: "Sign in",
  reload: "Reload the page",
  download: "Download pending",
  nuke: "Nuke and Resync…",
  nukeTitle: "Nuke and Resync?",
  nukeBody:
    "The database on this device is removed and downloaded again from the server. This goes for every open tab.",
  nukeKept:
    "Nothing is lost: a bundle with what the server may not have is saved on this device first. It stays until you discard it, and you can download it or write it into the new database.",
  nukeConfirm: "Save the bundle and resync",
  nukeDone: "The bundle is saved, and the database comes anew from the server.",
  cancel: "Cancel",
  bundles: "Saved bundles",
  bundleSummary: "{changes} changes, {bytes}",
  bundleDownload: "Download",
  bundleReplay: "Replay",
  asideTitle: "Could not be applied",
  asideMore: "and {n} more rows",
  asideFields: "{n} fields",
  asideRetry: "Try them again",
  asideRetried: "{n} could be applied.",
  asideDownload: "Download them",
  asideLeave: "Leave them out…",
  asideLeaveBody: "{n} changes by others stay out of the database on this device. Everyone else keeps them, and rows may look different there.",
  asideLeaveKept: "The light no longer speaks of them. A newer version of the app tries them again. Download them first if in doubt.",
  asideLeaveConfirm: "Leave them out",
  asideLeft: "{n} changes are left out on this device.",
  bundleReplayBody: "What was saved is written into this database again, as if it were typed now. It wins over what others wrote to the same fields since.",
  bundleReplayAll: "Also everything that the old server had, where this one differs:",
  replayNothing: "Nothing differs from what is here.",
  replayParts: {
    added: "{n} added",
    overwritten: "{n} overwritten",
    deleted: "{n} deleted",
    unknown: "{n} can't be written here",
  },
  replayColumns: "without {names}",
  replayTotal: "In all: {parts}.",
  bundleReplayed: "{n} rows written.",
  bundleRefused: "{n} rows could not be written here. They are still in the bundle.",
  bundleDiscard: "Discard",
  bundleDiscardBody: "This bundle and its {changes} changes are deleted for good. Download it first if in doubt.",
  memory: "This database is held in memory only and ends with the tab.",
  failed: "That did not work: {error}",
};

/** Puts values into the `{name}` parts of a text. */
export function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}
