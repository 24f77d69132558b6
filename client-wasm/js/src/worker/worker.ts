// The worker's entry: one in each tab. Stands for the lead with the other tabs' workers, and either carries out calls
// itself or passes them on. Never answers a call from memory.

import { openEngine } from "../greenlight.js";
import { fromMessage, GreenlightError, toMessage, type ErrorMessage } from "../shared/error.js";
import { HANDLES_LIMIT_MS, HANDLES_RETRY_MS, TOKEN_LIMIT_MS } from "../shared/limits.js";
import type { Call, Delivery, Settings, ToPage, ToWorker } from "../shared/messages.js";
import { randomId } from "../shared/random.js";
import type { Status } from "../shared/types.js";
import { isNukeUnderWay, recover } from "./bundling.js";
import { loadModule, type Engine } from "./engine.js";
import { hasFiles, removeDatabase } from "./files.js";
import { Leader, type LeaderHost } from "./leader.js";
import { Tabs, type TabHooks } from "./tabs.js";

/** This tab's own page, where tabs are named. */
const OWN_PAGE = "";
const SCHEMA_LINE = /^\s*--\s*schema:\s*\S+\s+(\d+)/;

const page = (message: ToPage) => self.postMessage(message);

class Host implements LeaderHost, TabHooks {
  #leader: Leader | null = null;
  /** Null where the database is in memory: each tab then has its own. */
  #tabs: Tabs | null = null;
  readonly #asks = new Map<string, { resolve(token: string): void; reject(error: Error): void }>();
  /** Why nothing can be carried out. */
  #failure: ErrorMessage | null = null;
  /** Whether the database could be used here before, by this tab or another. */
  #used = false;
  inMemory = false;

  constructor(readonly settings: Settings) {}

  async start(): Promise<void> {
    const { name, schema, memory, wasmUrl } = this.settings;
    try {
      const lasting = memory !== "always" && (await hasFiles());
      if (!lasting && memory === "never") {
        throw new GreenlightError("opfs_unavailable", "This browser window has no file system for pages (OPFS).");
      }
      // Loaded by every tab: it must be at hand when this one takes over, online or not.
      await loadModule(wasmUrl);
      if (lasting) {
        this.#tabs = new Tabs(name, Number(SCHEMA_LINE.exec(schema)?.[1] ?? 0), this);
      } else {
        this.inMemory = true;
        await this.lead();
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  hear(message: Exclude<ToWorker, { kind: "start" }>): void {
    switch (message.kind) {
      case "call":
        return this.#route(message.call);
      case "token":
        return this.#asks.get(message.ask)?.resolve(message.token);
      case "no_token":
        return this.#asks.get(message.ask)?.reject(new Error(message.message));
      case "freeze":
        return void this.#tabs?.leave();
      case "thaw":
        return this.#tabs?.stand();
      case "stop":
        return void this.#stop();
    }
  }

  // --- what the tabs tell ---

  async lead(): Promise<void> {
    page({ kind: "role", leading: true });
    const engine = await this.#openEngine();
    if (!this.inMemory) await recover(this.settings.name);
    this.#used = true;
    this.#leader = new Leader(engine, this);
    page({ kind: "again" });
  }

  failed(error: unknown): { again: boolean } {
    page({ kind: "role", leading: false });
    if (this.#used) {
      console.error("greenlight: this tab could not take over the database yet:", error);
      return { again: true };
    }
    this.#fail(error);
    return { again: false };
  }

  async resign(): Promise<void> {
    this.#leader?.stop();
    this.#leader = null;
    page({ kind: "role", leading: false });
  }

  call(from: string, call: Call): void {
    void this.#leader?.call(from, call);
  }

  delivery(delivery: Delivery): void {
    page(delivery);
  }

  status(status: Status): void {
    this.#used = true;
    page({ kind: "status", status });
  }

  newLeader(): void {
    page({ kind: "again" });
  }

  greeted(): void {
    this.#leader?.announce();
  }

  gone(tab: string): void {
    this.#leader?.gone(tab);
  }

  outdated(): void {
    page({ kind: "outdated" });
    void this.#tabs?.stop();
  }

  destroyed(): void {
    page({ kind: "destroyed" });
    void this.#tabs?.stop();
  }

  // --- what the leader needs ---

  deliver(tab: string, delivery: Delivery): void {
    if (tab === OWN_PAGE) page(delivery);
    else this.#tabs?.deliver(tab, delivery);
  }

  publish(status: Status): void {
    const told = { ...status, diagnostics: { ...status.diagnostics, memory: this.inMemory } };
    page({ kind: "status", status: told });
    this.#tabs?.publish(told);
  }

  askToken(): Promise<string> {
    const ask = randomId();
    return new Promise<string>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error("The app's token function did not answer.")), TOKEN_LIMIT_MS);
      const settled = () => {
        clearTimeout(limit);
        this.#asks.delete(ask);
      };
      this.#asks.set(ask, {
        resolve: (token) => (settled(), resolve(token)),
        reject: (error) => (settled(), reject(error)),
      });
      page({ kind: "ask_token", ask });
    });
  }

  async destroy(): Promise<void> {
    if (!this.inMemory) {
      await removeDatabase(this.settings.name);
    }
    this.#tabs?.announceDestroyed();
    page({ kind: "destroyed" });
  }

  broken(error: Error, culprit: string | null): void {
    this.#leader = null;
    page({ kind: "broken", message: `The database's module broke: ${error.message}`, culprit });
  }

  // --- its own ---

  #route(call: Call): void {
    if (this.#failure !== null) page({ kind: "answer", answer: { id: call.id, error: this.#failure } });
    else if (this.#leader !== null) void this.#leader.call(OWN_PAGE, call);
    else this.#tabs?.forward(call);
  }

  /** Opens the database; a tab that ended a moment ago may still have the files. */
  async #openEngine(): Promise<Engine> {
    const { name, schema } = this.settings;
    const started = performance.now();
    // Asked by the one tab that has the database's lock: nobody else begins a nuke or ends one.
    const fresh = !this.inMemory && (await isNukeUnderWay(name));
    for (;;) {
      const [seed] = crypto.getRandomValues(new BigUint64Array(1));
      try {
        return await openEngine(name, schema, this.inMemory, seed!, fresh);
      } catch (error) {
        const held = (error as { code?: unknown }).code === "files_held";
        if (!held) throw error;
        if (performance.now() - started > HANDLES_LIMIT_MS) {
          throw new GreenlightError("storage", "Another worker of this origin keeps the database's files open.");
        }
      }
      await new Promise((resolve) => setTimeout(resolve, HANDLES_RETRY_MS));
    }
  }

  #fail(error: unknown): void {
    this.#failure = toMessage(error);
    // Whatever is asked, and was asked before, is answered with it.
    page({ kind: "again" });
    console.error("greenlight:", fromMessage(this.#failure));
  }

  async #stop(): Promise<void> {
    if (this.#tabs === null) await this.resign();
    else await this.#tabs.stop();
    page({ kind: "stopped" });
  }
}

let host: Host | null = null;

self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "start") {
    host = new Host(data.settings);
    void host.start();
  } else host?.hear(data);
};
