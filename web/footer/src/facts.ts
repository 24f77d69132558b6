// The panel's rows of facts, as pairs of words. Pure: a status and the time in, text out.

import { ago, bytes, clock, count, duration } from "./format.js";
import type { Progress, ReplayPlan, SavedValue, SetAside, Status } from "./status.js";
import { fill, type Texts } from "./texts.js";

/** Characters of a value that are shown. */
const SHOWN_LENGTH = 40;

export type Fact = [term: string, value: string];

/** The label with its count, and whether only reading is allowed, as it stands beside the light. */
export function label(status: Status | null, texts: Texts): string {
  const pending = status?.pending.changes ?? 0;
  const words = [texts.label];
  if (pending > 0) words.push(fill(texts.pending, { n: pending }));
  if (status?.readOnly) words.push(texts.readOnly);
  return words.join(" ");
}

/** One sentence on what is going on, the app's own where it has one. */
export function sentence(status: Status, texts: Texts): string {
  return texts.reasons[status.reason] ?? status.sentence;
}

/** What everyone may want to know. */
export function summary(status: Status, now: number, texts: Texts): Fact[] {
  const { pending } = status;
  const oldest = pending.oldestAgeMs === null ? "" : `, ${fill(texts.oldest, { age: duration(pending.oldestAgeMs) })}`;
  const facts: Fact[] = [
    [texts.lastSynced, status.lastSyncedAt === null ? texts.never : ago(status.lastSyncedAt, now)],
    [texts.pendingChanges, pending.changes === 0
      ? texts.nonePending
      : `${fill(texts.bundleSummary, { changes: count(pending.changes), bytes: bytes(pending.bytes) })}${oldest}`],
  ];
  if (status.verifiedAt) facts.splice(1, 0, [texts.verified, ago(status.verifiedAt, now)]);
  if (status.freshnessMs !== null) facts.splice(1, 0, [texts.heard, ago(now - status.freshnessMs, now)]);
  for (const { table, rows } of status.diverged ?? []) facts.push([texts.diverged, `${table}: ${count(rows)}`]);
  if (status.heldAside > 0) facts.push([texts.setAside, count(status.heldAside)]);
  if (status.leftOut) facts.push([texts.leftOut, count(status.leftOut)]);
  if (status.quarantined > 0) facts.push([texts.quarantined, count(status.quarantined)]);
  return facts;
}

/** What someone who looks for the fault wants to know; copied into bug reports, so in English. */
export function diagnostics(status: Status, now: number): Fact[] {
  const { diagnostics: d } = status;
  const facts: Fact[] = [
    ["reason", status.reason],
    ["attempt", String(d.attempt)],
    ["early closes", String(d.earlyCloses)],
    ["last close", d.lastClose === null ? "none" : `${d.lastClose.code} ${d.lastClose.reason}`.trim()],
    ["last error", d.lastError ?? "none"],
    ["next attempt", d.nextAttemptAt === null ? "none" : clock(d.nextAttemptAt, now)],
    ["server", d.server === null ? "unknown" : `${d.server.siteId} at ${d.server.head}`],
    ["epoch", d.server === null ? "unknown" : d.server.epoch],
    ["this device", d.siteId],
    ["cursor", String(d.cursor)],
    ["acknowledged", String(d.acknowledged)],
    ["leading tab", d.leader ? "yes" : "no"],
    ["storage", d.memory ? "memory" : d.persisted ? "persistent" : "best effort"],
  ];
  return facts;
}

const PARTS = ["added", "overwritten", "deleted", "unknown"] as const;

/** What a replay would do, a sentence for each table that it would change, and one for all where there are several. */
export function planned(plan: ReplayPlan, texts: Texts): string[] {
  const parts = (numbers: Record<(typeof PARTS)[number], number>) =>
    PARTS.filter((what) => numbers[what] > 0).map((what) => fill(texts.replayParts[what], { n: count(numbers[what]) }));
  const lines: string[] = [];
  const sum = { added: 0, overwritten: 0, deleted: 0, unknown: 0 };
  for (const { table, unknownColumns = [], ...numbers } of plan.tables) {
    const told = parts(numbers);
    if (unknownColumns.length > 0) told.push(fill(texts.replayColumns, { names: unknownColumns.join(", ") }));
    if (told.length === 0) continue;
    for (const what of PARTS) sum[what] += numbers[what];
    lines.push(`${table}: ${told.join(", ")}.`);
  }
  if (lines.length === 0) return [texts.replayNothing];
  return lines.length > 1 ? [fill(texts.replayTotal, { parts: parts(sum).join(", ") }), ...lines] : lines;
}

/** A value in words short enough for a line. */
export function shown(value: SavedValue): string {
  if (value === null) return "NULL";
  if ("blob" in value) return "a blob";
  const text = "text" in value ? JSON.stringify(value.text) : "integer" in value ? value.integer : value.real;
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}

/** Which row a change is of. */
function rowOf({ table, key }: SetAside): string {
  return `${table} (${key.map(shown).join(", ")})`;
}

/** What could not be applied, by row and reason: a row that was refused is many cells. */
export function refused(aside: SetAside[], texts: Texts): { where: string; what: string }[] {
  const rows = new Map<string, SetAside[]>();
  for (const change of aside) {
    const name = JSON.stringify([rowOf(change), change.reason]);
    rows.set(name, [...(rows.get(name) ?? []), change]);
  }
  return [...rows.values()].map((changes) => {
    const [first] = changes as [SetAside];
    if (changes.length > 1) {
      return { where: rowOf(first), what: `${fill(texts.asideFields, { n: count(changes.length) })}: ${first.reason}` };
    }
    const isRow = first.column === "-1";
    return { where: isRow ? rowOf(first) : `${rowOf(first)}.${first.column}`, what: isRow ? first.reason : `${shown(first.value)}: ${first.reason}` };
  });
}

/** The transfer that is under way. A finished one keeps its totals in the status, for whoever looks late. */
export function underWay(status: Status): Progress | null {
  const { progress } = status;
  return progress !== null && progress.changes.done < progress.changes.total ? progress : null;
}

/** How far a transfer is, from 0 to 1. By bytes where they are known, since changes differ in size. */
export function fraction(progress: Progress): number {
  const { done, total } = progress.bytes.total > 0 ? progress.bytes : progress.changes;
  return total > 0 ? Math.min(1, done / total) : 0;
}

/** The numbers under a progress bar. */
export function numbers(progress: Progress): string[] {
  const parts = [
    `${count(progress.changes.done)} of ${count(progress.changes.total)} changes`,
    `${bytes(progress.bytes.done)} of ${bytes(progress.bytes.total)}`,
  ];
  if (progress.perSecond > 0) parts.push(`${count(Math.round(progress.perSecond))} changes/s`);
  if (progress.etaMs !== null && progress.etaMs >= 1000) parts.push(`${duration(progress.etaMs)} left`);
  return parts;
}
