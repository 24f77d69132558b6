// Which tab holds the database. The origin-private file system admits one connection at a time, so the tabs of a
// database elect one by a Web Lock: whoever holds the lock leads, the others wait for it and pass their calls on.
//
// Tabs speak over BroadcastChannels, one that all hear and one for each tab. A MessagePort can't be handed from tab to
// tab without a shared or service worker, which an app may not have and some browsers lack.
//
// Never looks into a call, and never decides what a lock's loss means for the database: see `hooks`.

import { STAND_AGAIN_MS } from "../shared/limits.js";
import { TAB_PROTOCOL, type Call, type Delivery, type TabVersion, type ToAll, type ToTab } from "../shared/messages.js";
import { randomId } from "../shared/random.js";
import type { Status } from "../shared/types.js";

/** What the worker does when the roles change. */
export interface TabHooks {
  /** Opens the database. When it throws, the lead is given up again; true asks to stand again later. */
  lead(): Promise<void>;
  failed(error: unknown): { again: boolean };
  /** Gives up the database's files; the lock goes when this has ended. */
  resign(): Promise<void>;
  /** A call from another tab, while leading. */
  call(from: string, call: Call): void;
  /** From the leading tab. */
  delivery(delivery: Delivery): void;
  status(status: Status): void;
  /** Another leader, or the same one anew. */
  newLeader(): void;
  /** Another tab has come, and wants to know who leads; called while leading. */
  greeted(): void;
  /** A tab is gone that was heard of before. */
  gone(tab: string): void;
  outdated(): void;
  destroyed(): void;
}

export class Tabs {
  readonly #id = randomId();
  readonly #version: TabVersion;
  readonly #all: BroadcastChannel;
  readonly #inbox: BroadcastChannel;
  readonly #outboxes = new Map<string, BroadcastChannel>();
  readonly #end = new AbortController();
  /** Ends the wait for the lock. */
  #standing: AbortController | null = null;
  /** Ends this tab's lead; null while it doesn't lead. */
  #abdicate: (() => void) | null = null;
  /** Resolves when the last lead has ended and the lock is free. */
  #reign: Promise<unknown> = Promise.resolve();
  #term: string | null = null;
  /** Whether this tab leads and has the database open. */
  #open = false;
  /** The leading tab, when it is another one. */
  #leader: { id: string; term: string } | null = null;

  constructor(
    readonly name: string,
    schema: number,
    readonly hooks: TabHooks,
  ) {
    this.#version = { protocol: TAB_PROTOCOL, schema };
    this.#all = new BroadcastChannel(this.#channel());
    this.#inbox = new BroadcastChannel(this.#channel(this.#id));
    this.#all.onmessage = ({ data }: MessageEvent<ToAll>) => this.#hearAll(data);
    this.#inbox.onmessage = ({ data }: MessageEvent<ToTab>) => this.#hearTab(data);
    // Held as long as this tab lives: that is how the leading tab learns that it is gone.
    this.#hold(this.#channel(this.#id), new Promise<void>((resolve) => this.#onEnd(resolve)));
    this.#all.postMessage({ kind: "hello", from: this.#id, version: this.#version } satisfies ToAll);
    this.stand();
  }

  /** Waits for the lock, and leads from when it comes. */
  stand(): void {
    if (this.#standing !== null || this.#end.signal.aborted) return;
    const standing = (this.#standing = new AbortController());
    this.#reign = navigator.locks
      .request(this.#lock(), { signal: standing.signal }, () => this.#lead())
      .catch((error: unknown) => {
        // Called off by `leave` before the lock came.
        if (!standing.signal.aborted) throw error;
      })
      .finally(() => {
        if (this.#standing === standing) this.#standing = null;
      });
  }

  /** Gives up the lead, or the wait for it. Resolves when the lock is free. */
  async leave(): Promise<void> {
    this.#standing?.abort();
    this.#standing = null;
    this.#leader = null;
    this.#abdicate?.();
    await this.#reign;
  }

  /** Leaves, and ends every channel and lock. */
  async stop(): Promise<void> {
    if (this.#end.signal.aborted) return;
    const left = this.leave();
    this.#end.abort();
    await left;
    this.#all.close();
    this.#inbox.close();
    for (const outbox of this.#outboxes.values()) outbox.close();
  }

  /** Passes a call to the leading tab. Dropped where none is known: its page sends it again when one is. */
  forward(call: Call): void {
    if (this.#leader === null) return;
    this.#outbox(this.#leader.id).postMessage({ kind: "call", from: this.#id, call } satisfies ToTab);
  }

  deliver(tab: string, delivery: Delivery): void {
    if (this.#term === null) return;
    this.#outbox(tab).postMessage({ kind: "delivery", term: this.#term, delivery } satisfies ToTab);
  }

  /** Says to all tabs how things are, and that this one leads. */
  publish(status: Status): void {
    if (this.#term === null) return;
    this.#all.postMessage({ kind: "status", from: this.#id, term: this.#term, version: this.#version, status } satisfies ToAll);
  }

  /** Tells the other tabs that the database is no more. */
  announceDestroyed(): void {
    this.#all.postMessage({ kind: "destroyed" } satisfies ToAll);
  }

  async #lead(): Promise<void> {
    const reigned = new Promise<void>((resolve) => (this.#abdicate = resolve));
    this.#term = randomId();
    this.#leader = null;
    try {
      await this.hooks.lead();
    } catch (error) {
      this.#abdicate = null;
      this.#term = null;
      if (this.hooks.failed(error).again) setTimeout(() => this.stand(), STAND_AGAIN_MS);
      return;
    }
    this.#open = true;
    await reigned;
    this.#open = false;
    this.#abdicate = null;
    await this.hooks.resign();
    this.#term = null;
  }

  #hearAll(message: ToAll): void {
    if (message.kind === "destroyed") return this.hooks.destroyed();
    if (newer(message.version, this.#version)) return this.hooks.outdated();
    if (message.kind === "hello") {
      this.#meet(message.from);
      if (this.#open) this.hooks.greeted();
      return;
    }
    // An older tab leads, which gives up the lead when it hears of us.
    if (newer(this.#version, message.version)) return this.#greet();
    if (this.#term !== null || this.#standing === null) return;
    if (this.#leader?.term !== message.term) {
      this.#leader = { id: message.from, term: message.term };
      this.hooks.newLeader();
    }
    this.hooks.status(message.status);
  }

  #hearTab(message: ToTab): void {
    if (message.kind === "call") {
      this.#meet(message.from);
      if (this.#open) this.hooks.call(message.from, message.call);
    } else if (message.term === this.#leader?.term) this.hooks.delivery(message.delivery);
  }

  #greet(): void {
    this.#all.postMessage({ kind: "hello", from: this.#id, version: this.#version } satisfies ToAll);
  }

  /** Learns when a tab goes: its own lock is free then. */
  #meet(tab: string): void {
    if (this.#outboxes.has(tab)) return;
    this.#outbox(tab);
    navigator.locks
      .request(this.#channel(tab), { signal: this.#end.signal }, () => {
        this.#outboxes.get(tab)?.close();
        this.#outboxes.delete(tab);
        this.hooks.gone(tab);
      })
      .catch(() => {
        // This tab ended first.
      });
  }

  #outbox(tab: string): BroadcastChannel {
    let outbox = this.#outboxes.get(tab);
    if (outbox === undefined) {
      outbox = new BroadcastChannel(this.#channel(tab));
      this.#outboxes.set(tab, outbox);
    }
    return outbox;
  }

  #hold(lock: string, until: Promise<void>): void {
    void navigator.locks.request(lock, () => until);
  }

  #onEnd(then: () => void): void {
    this.#end.signal.addEventListener("abort", then);
  }

  #channel(tab?: string): string {
    return tab === undefined ? `greenlight:${this.name}:tabs` : `greenlight:${this.name}:tab:${tab}`;
  }

  #lock(): string {
    return `greenlight:${this.name}`;
  }
}

/** Whether a tab of version `a` knows more than one of version `b`. */
function newer(a: TabVersion, b: TabVersion): boolean {
  return a.protocol > b.protocol || (a.protocol === b.protocol && a.schema > b.schema);
}
