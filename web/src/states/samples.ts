// Made-up statuses, at least one for each state, for looking at the footer without a server.

import type { BundleInfo, FooterClient, Status } from "greenlight-footer";

type Change = Partial<Omit<Status, "diagnostics" | "pending">> & {
  pending?: Partial<Status["pending"]>;
  diagnostics?: Partial<Status["diagnostics"]>;
};

const NOW = Date.now();
const MINUTE = 60_000;

const BASE: Status = {
  state: "synced",
  reason: "synced",
  sentence: "Everything is saved on the server, and everything on the server is here.",
  remedy: "none",
  since: NOW - 12 * MINUTE,
  pending: { changes: 0, bytes: 0, oldestAgeMs: null },
  lastSyncedAt: NOW - 1200,
  verifiedAt: NOW - 12_000, diverged: [],
  freshnessMs: 900,
  progress: null,
  quarantined: 0,
  heldAside: 0,
  diagnostics: {
    attempt: 1,
    earlyCloses: 0,
    lastClose: null,
    lastError: null,
    nextAttemptAt: null,
    server: { siteId: "7d20b9c2a9f14c0e8a63f0d1be5c7702", epoch: "c1f09ab2", head: 48211 },
    siteId: "19ae44d0c7b34f6f9d0f5a7be21c0c3d",
    cursor: 48211,
    acknowledged: 310,
    leader: true,
    persisted: true,
    memory: false,
  },
};

function status(change: Change): Status {
  return {
    ...BASE,
    ...change,
    pending: { ...BASE.pending, ...change.pending },
    diagnostics: { ...BASE.diagnostics, ...change.diagnostics },
  };
}

/** What each card of the page shows, by a stable name. */
export const SAMPLES: { name: string; status: Status }[] = [
  { name: "synced", status: status({}) },
  {
    name: "read only",
    status: status({ readOnly: true, sentence: "Everything on the server is here. You may read it, but not change it." }),
  },
  {
    name: "syncing",
    status: status({
      state: "syncing", reason: "sending", since: NOW - 400,
      sentence: "Your changes are on their way to the server.",
      pending: { changes: 12, bytes: 1480, oldestAgeMs: 400 },
    }),
  },
  {
    name: "connecting",
    status: status({
      state: "connecting", reason: "catching_up", remedy: "wait", since: NOW - 9000, lastSyncedAt: null,
      sentence: "Fetching what is new on the server.",
      progress: {
        direction: "down", changes: { done: 182_400, total: 412_906 }, bytes: { done: 6_310_000, total: 14_280_000 },
        perSecond: 61_200, etaMs: 4100,
      },
    }),
  },
  {
    name: "disconnected",
    status: status({
      state: "disconnected", reason: "offline", remedy: "retry", since: NOW - 26 * MINUTE, lastSyncedAt: NOW - 26 * MINUTE,
      freshnessMs: null, sentence: "There is no connection to the server. Your changes are kept here and sent later.",
      pending: { changes: 5, bytes: 612, oldestAgeMs: 11 * MINUTE },
      diagnostics: { attempt: 9, lastClose: { code: 1006, reason: "" }, nextAttemptAt: NOW + 14_000 },
    }),
  },
  {
    name: "stuck",
    status: status({
      state: "stuck", reason: "no_acknowledgement", remedy: "retry", since: NOW - 2 * MINUTE, lastSyncedAt: NOW - 3 * MINUTE,
      sentence: "Your changes were sent, but the server has not confirmed that they are saved.",
      pending: { changes: 38, bytes: 5210, oldestAgeMs: 3 * MINUTE },
      diagnostics: { attempt: 4, earlyCloses: 3, lastClose: { code: 1011, reason: "storage" }, lastError: "the server's disk is full" },
    }),
  },
  {
    name: "incompatible",
    status: status({
      state: "incompatible", reason: "lineage", remedy: "nuke_and_resync", since: NOW - MINUTE, lastSyncedAt: NOW - 90 * MINUTE,
      freshnessMs: null, sentence: "The server's database was rebuilt and is not the one that this device followed.",
      pending: { changes: 3, bytes: 340, oldestAgeMs: 80 * MINUTE },
      diagnostics: { lastClose: { code: 4003, reason: "lineage" } },
    }),
  },
  {
    name: "paused",
    status: status({
      state: "disconnected", reason: "paused", remedy: "resume", since: NOW - 4 * MINUTE, lastSyncedAt: NOW - 4 * MINUTE, freshnessMs: null,
      sentence: "Sync is paused. Your changes are kept here until you resume.", pending: { changes: 1, bytes: 96, oldestAgeMs: MINUTE },
    }),
  },
  {
    name: "signed-out",
    status: status({
      state: "stuck", reason: "unauthorized", remedy: "sign_in", since: NOW - MINUTE, freshnessMs: null,
      sentence: "Your sign-in is missing or has expired. Sign in again; nothing is lost.",
    }),
  },
];

const BUNDLE: BundleInfo = { id: "b1", createdAt: NOW - 88 * MINUTE, changes: 214, bytes: 31_800, reason: "before Nuke and Resync" };

/** A client that shows one status for ever and answers its buttons without doing anything. */
export function sampleClient(sample: Status): FooterClient {
  const nothing = () => Promise.resolve();
  const blob = () => Promise.resolve(new Blob(["a sample"]));
  const hasBundle = sample.state === "incompatible";
  return {
    name: "shop",
    status: Object.assign(new EventTarget(), { current: sample }),
    pause: nothing,
    resume: nothing,
    retry: nothing,
    nukeAndResync: () => Promise.resolve(BUNDLE),
    bundles: () => Promise.resolve(hasBundle ? [BUNDLE] : []),
    readBundle: blob,
    discardBundle: nothing,
    quarantined: () => Promise.resolve([]),
    leaveOut: () => Promise.resolve({ leftOut: 0 }),
    retryQuarantined: () => Promise.resolve({ applied: 0 }),
    previewBundle: (_id, options) => Promise.resolve({
      rows: options?.rows === "all" ? 15 : 3,
      tables: [{ table: "book", added: options?.rows === "all" ? 12 : 0, overwritten: 3, deleted: 0, equal: 6000, unknown: 0 }],
    }),
    replayBundle: () => Promise.resolve({ written: BUNDLE.changes }),
    exportPending: blob,
    pendingByTable: () => Promise.resolve(split(sample.pending.changes)),
  };
}

/** A plausible share per table that adds up to the count. */
function split(changes: number): { table: string; changes: number }[] {
  if (changes === 0) return [];
  const lines = Math.ceil(changes * 0.6);
  return [{ table: "outbound_line", changes: lines }, { table: "book", changes: changes - lines }].filter((row) => row.changes > 0);
}
