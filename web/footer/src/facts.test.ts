// Tests of what the footer says of a status.

import { describe, expect, it } from "vitest";
import { SAMPLES } from "../../src/states/samples.ts";
import { diagnostics, fraction, label, numbers, planned, refused, sentence, summary, underWay } from "./facts.js";
import type { Progress, State, Status } from "./status.js";
import { ENGLISH, fill } from "./texts.js";

const NOW = Date.now();
const sample = (name: string): Status => {
  const found = SAMPLES.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`no sample is called ${name}`);
  return found.status;
};

describe("the label", () => {
  it("carries the count only when there is one, in every state", () => {
    for (const { status } of SAMPLES) {
      const pending = status.pending.changes === 0 ? "" : ` (${status.pending.changes} pending)`;
      const expected = `Remote DB${pending}${status.readOnly ? " (read only)" : ""}`;
      expect(label(status, ENGLISH)).toBe(expected);
    }
  });

  it("stands alone before the first status", () => {
    expect(label(null, ENGLISH)).toBe("Remote DB");
  });
});

it("has a sample of each of the six states", () => {
  const states = new Set<State>(SAMPLES.map(({ status }) => status.state));
  expect([...states].sort()).toEqual(["connecting", "disconnected", "incompatible", "stuck", "synced", "syncing"]);
});

it("says the app's sentence for a reason where it has one", () => {
  const status = sample("disconnected");
  expect(sentence(status, ENGLISH)).toBe(status.sentence);
  expect(sentence(status, { ...ENGLISH, reasons: { offline: "Keine Verbindung." } })).toBe("Keine Verbindung.");
});

it("lists what waits and how old it is", () => {
  const facts = Object.fromEntries(summary(sample("disconnected"), NOW, ENGLISH));
  expect(facts["Only on this device"]).toBe("5 changes, 612 B, oldest 11 min");
  expect(facts["Server heard"]).toBeUndefined();
  expect(Object.fromEntries(summary(sample("synced"), NOW, ENGLISH))["Only on this device"]).toBe("nothing");
});

it("shows quarantined changes, those held aside and those left out only when there are some", () => {
  const status: Status = { ...sample("synced"), quarantined: 2, heldAside: 7, leftOut: 3 };
  const facts = Object.fromEntries(summary(status, NOW, ENGLISH));
  expect(facts["Could not be applied"]).toBe("2");
  expect(facts["Held for a newer app"]).toBe("7");
  expect(facts["Left out by hand"]).toBe("3");
  expect(Object.keys(Object.fromEntries(summary(sample("synced"), NOW, ENGLISH)))).not.toContain("Could not be applied");
});

it("tells what could not be applied row by row, with the reason", () => {
  const change = { id: "0", table: "book", key: [{ text: "13" }], column: "title", value: { text: "Emma" }, reason: "no thirteen", since: 0 };
  expect(refused([change], ENGLISH)).toEqual([{ where: 'book ("13").title', what: '"Emma": no thirteen' }]);
  expect(refused([change, { ...change, column: "pages" }, { ...change, key: [{ text: "14" }], column: "-1" }], ENGLISH)).toEqual([
    { where: 'book ("13")', what: "2 fields: no thirteen" },
    { where: 'book ("14")', what: "no thirteen" },
  ]);
});

it("says in the diagnostics what the last close was", () => {
  expect(Object.fromEntries(diagnostics(sample("stuck"), NOW))["last close"]).toBe("1011 storage");
  expect(Object.fromEntries(diagnostics(sample("synced"), NOW))["last close"]).toBe("none");
});

describe("progress", () => {
  const progress = (done: number, total: number): Progress => ({
    direction: "down", changes: { done, total }, bytes: { done: 0, total: 0 }, perSecond: 0, etaMs: null,
  });

  it("never passes the end, nor divides by nothing", () => {
    expect(fraction(progress(0, 0))).toBe(0);
    expect(fraction(progress(5, 10))).toBe(0.5);
    expect(fraction(progress(12, 10))).toBe(1);
  });

  it("goes by bytes where they are known", () => {
    expect(fraction({ ...progress(1, 10), bytes: { done: 9, total: 10 } })).toBe(0.9);
  });

  it("is over when everything is here, though the totals stay", () => {
    const status = sample("connecting");
    expect(underWay(status)).toBe(status.progress);
    expect(underWay({ ...status, progress: progress(10, 10) })).toBeNull();
    expect(underWay({ ...status, progress: null })).toBeNull();
  });

  it("leaves out a rate and a time to go that aren't known", () => {
    expect(numbers(progress(5, 10))).toHaveLength(2);
    expect(numbers({ ...progress(5, 10), perSecond: 2, etaMs: 2500 })).toHaveLength(4);
  });
});

it("tells what a replay would do, by table", () => {
  const nothing = { added: 0, overwritten: 0, deleted: 0, equal: 3, unknown: 0 };
  const plan = { rows: 15, tables: [{ table: "author", ...nothing }, { table: "book", ...nothing, added: 1200, overwritten: 3 }] };
  expect(planned(plan, ENGLISH)).toEqual(["book: 1,200 added, 3 overwritten."]);
  expect(planned({ rows: 0, tables: [{ table: "book", ...nothing }] }, ENGLISH)).toEqual([ENGLISH.replayNothing]);
  const several = [{ table: "book", ...nothing, added: 12, unknown: 1 }, { table: "shelf", ...nothing, added: 1, overwritten: 3, unknownColumns: ["aisle"] }];
  expect(planned({ rows: 16, tables: several }, ENGLISH)).toEqual([
    "In all: 13 added, 3 overwritten, 1 can't be written here.",
    "book: 12 added, 1 can't be written here.",
    "shelf: 1 added, 3 overwritten, without aisle.",
  ]);
});

it("fills texts, and leaves unknown names as they are", () => {
  expect(fill("{n} of {m}", { n: 1 })).toBe("1 of {m}");
});
