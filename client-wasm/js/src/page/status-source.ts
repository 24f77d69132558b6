// The light as a page sees it: what the worker last said, unless that has become too old or something ended it.
//
// A green that was true is false once nobody renews it: a frozen tab, a busy worker or a sleeping laptop says nothing.
// So the page itself turns away from green by the deadline, and needs no message for it.

import { AGEING_MS, FRESHNESS_MS, LEADER_SILENCE_MS } from "../shared/limits.js";
import type { Remedy, State, Status, StatusSource } from "../shared/types.js";

/** What this page knows better than the last status. */
interface Verdict {
  state: State;
  reason: string;
  sentence: string;
  remedy: Remedy;
}

const OPENING: Verdict = {
  state: "connecting",
  reason: "opening",
  sentence: "The local database is being opened.",
  remedy: "wait",
};
const LEADER_FROZEN: Verdict = {
  state: "stuck",
  reason: "leader_frozen",
  sentence: "Another tab holds the database and does not answer. Bring it to the front or close it; what you do here waits.",
  remedy: "wait",
};
const WORKER_BUSY: Verdict = {
  state: "connecting",
  reason: "worker_busy",
  sentence: "The database in this tab is busy.",
  remedy: "wait",
};
/** The lasting verdicts. */
export const VERDICTS = {
  older_tab: {
    state: "incompatible",
    reason: "older_tab",
    sentence: "A newer version of this app is open in another tab. Reload this one.",
    remedy: "reload",
  },
  worker_broken: {
    state: "stuck",
    reason: "worker_broken",
    sentence: "The database in this tab broke several times. Reload the page.",
    remedy: "reload",
  },
  closed: { state: "disconnected", reason: "closed", sentence: "The database is closed.", remedy: "reload" },
} satisfies Record<string, Verdict>;

/** A moment by both clocks: the monotonic one may stand still while a laptop sleeps, the other may be set. */
class Moment {
  readonly #monotonic = performance.now();
  readonly #wall = Date.now();

  get ageMs(): number {
    return Math.max(performance.now() - this.#monotonic, Date.now() - this.#wall);
  }
}

export class LiveStatus extends EventTarget implements StatusSource {
  #heard: Status | null = null;
  #heardAt = new Moment();
  #leading = false;
  #persisted = false;
  #final: Verdict | null = null;
  #current: Status;
  #timer: ReturnType<typeof setInterval>;

  constructor() {
    super();
    this.#current = merge(blankStatus(), OPENING, null);
    this.#timer = setInterval(() => this.look(), AGEING_MS);
  }

  get current(): Status {
    return this.#current;
  }

  /** A status from the leading tab. */
  hear(status: Status): void {
    const diagnostics = { ...status.diagnostics, leader: this.#leading, persisted: this.#persisted };
    this.#heard = { ...status, diagnostics };
    this.#heardAt = new Moment();
    this.look();
  }

  /** Whether this tab leads. The one that begins to lead is given time to open the database. */
  lead(leading: boolean): void {
    this.#leading = leading;
    if (leading) {
      this.#heard = null;
      this.#heardAt = new Moment();
    }
    this.look();
  }

  /** Whether the browser promised to keep the database; shown with the next status. */
  persist(persisted: boolean): void {
    this.#persisted = persisted;
  }

  /** Something that no later status changes. */
  end(verdict: keyof typeof VERDICTS): void {
    this.#final = VERDICTS[verdict];
    clearInterval(this.#timer);
    this.look();
  }

  /** Judges what was heard by its age. Also to be called when the page is shown again. */
  look(): void {
    const base = this.#heard ?? this.#current;
    const verdict = this.#final ?? this.#verdict();
    const next = verdict === null ? base : merge(base, verdict, this.#current);
    if (next === this.#current) return;
    this.#current = next;
    this.dispatchEvent(new Event("change"));
  }

  #verdict(): Verdict | null {
    const age = this.#heardAt.ageMs;
    if (this.#heard === null) return this.#leading || age <= LEADER_SILENCE_MS ? OPENING : LEADER_FROZEN;
    const green = this.#heard.state === "synced" || this.#heard.state === "syncing";
    const stale = green && age + (this.#heard.freshnessMs ?? 0) > FRESHNESS_MS;
    if (age <= LEADER_SILENCE_MS && !stale) return null;
    return this.#leading ? WORKER_BUSY : LEADER_FROZEN;
  }

  /** The current status, and then every newer one; a slow reader sees only the newest. */
  async *[Symbol.asyncIterator](): AsyncIterator<Status> {
    let seen: Status | null = null;
    for (;;) {
      if (this.#current === seen) {
        if (this.#final !== null) return;
        await new Promise((resolve) => this.addEventListener("change", resolve, { once: true }));
      }
      seen = this.#current;
      yield seen;
    }
  }
}

/** The status with another verdict; the shown one itself when it says the same already. */
function merge(base: Status, verdict: Verdict, shown: Status | null): Status {
  const same = shown !== null && shown.state === verdict.state && shown.reason === verdict.reason;
  if (same) return shown;
  return { ...base, ...verdict, since: Date.now(), freshnessMs: null };
}

function blankStatus(): Status {
  return {
    ...OPENING,
    since: Date.now(),
    pending: { changes: 0, bytes: 0, oldestAgeMs: null },
    lastSyncedAt: null,
    verifiedAt: null,
    diverged: [],
    freshnessMs: null,
    progress: null,
    quarantined: 0,
    heldAside: 0,
    leftOut: 0,
    readOnly: false,
    diagnostics: {
      attempt: 0,
      earlyCloses: 0,
      lastClose: null,
      lastError: null,
      nextAttemptAt: null,
      server: null,
      siteId: "",
      cursor: 0,
      acknowledged: 0,
      leader: false,
      persisted: false,
      memory: false,
    },
  };
}
