// A page's link to its worker: keeps every call until it is answered, sends them again when another tab leads, and
// replaces a worker whose wasm module broke. Never looks into a call.

import { fromMessage, GreenlightError } from "../shared/error.js";
import { CLOSE_LIMIT_MS, MAX_RESTARTS, MAX_UNANSWERED, RESTARTS_SPAN_MS } from "../shared/limits.js";
import type { Answer, Call, Delivery, Request, Settings, ToPage, ToWorker } from "../shared/messages.js";
import { randomId } from "../shared/random.js";
import type { Integers, Status } from "../shared/types.js";

/** What the link tells the client. */
export interface LinkEvents {
  status(status: Status): void;
  role(leading: boolean): void;
  /** Another tab leads: what was watched must be watched again. */
  again(): void;
  delivery(delivery: Exclude<Delivery, { kind: "answer" }>): void;
  token(): string | Promise<string>;
  /** Nothing more will come. */
  ended(why: "older_tab" | "worker_broken" | "closed"): void;
}

interface Unanswered {
  call: Call;
  resolve(value: unknown): void;
  reject(error: GreenlightError): void;
}

export class Link {
  readonly #unanswered = new Map<string, Unanswered>();
  #worker: Worker;
  /** Why no more calls are taken. */
  #end: GreenlightError | null = null;
  #restarts: number[] = [];
  #stopped: (() => void) | null = null;

  constructor(
    readonly settings: Settings,
    readonly workerUrl: string | URL | null,
    readonly integers: Integers,
    readonly events: LinkEvents,
  ) {
    this.#worker = this.#start();
  }

  /** Asks something of the database, wherever it is; resolves with the answer's value. */
  call(request: Request): Promise<unknown> {
    if (this.#end !== null) return Promise.reject(this.#end);
    if (this.#unanswered.size >= MAX_UNANSWERED) {
      return Promise.reject(new GreenlightError("busy", `${MAX_UNANSWERED} calls are waiting for an answer already.`));
    }
    const call: Call = { id: randomId(), integers: this.integers, request };
    return new Promise((resolve, reject) => {
      this.#unanswered.set(call.id, { call, resolve, reject });
      try {
        this.#post({ kind: "call", call });
      } catch (error) {
        // A parameter that can't be cloned, such as a function.
        this.#unanswered.delete(call.id);
        reject(new GreenlightError("invalid", String(error)));
      }
    });
  }

  /** Whether a write waits for its answer. */
  get writing(): boolean {
    for (const { call } of this.#unanswered.values()) {
      if (["exec", "commit", "replay"].includes(call.request.kind)) return true;
    }
    return false;
  }

  freeze(): void {
    if (this.#end === null) this.#post({ kind: "freeze" });
  }

  thaw(): void {
    if (this.#end === null) this.#post({ kind: "thaw" });
  }

  /** Ends the worker in good order, so that another tab finds the files free. */
  async stop(): Promise<void> {
    if (this.#end !== null) return;
    const stopped = new Promise<void>((resolve) => {
      this.#stopped = resolve;
      setTimeout(resolve, CLOSE_LIMIT_MS);
    });
    this.#post({ kind: "stop" });
    this.#finish(new GreenlightError("closed", "The database was closed."));
    await stopped;
    this.#worker.terminate();
  }

  #start(): Worker {
    // Written out so that bundlers find the worker's file.
    const worker =
      this.workerUrl === null
        ? new Worker(new URL("../worker/worker.js", import.meta.url), { type: "module" })
        : new Worker(this.workerUrl, { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<ToPage>) => this.#hear(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.#broken(event.message || "The worker's script could not be loaded.", null);
    };
    worker.postMessage({ kind: "start", settings: this.settings } satisfies ToWorker);
    return worker;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #hear(message: ToPage): void {
    switch (message.kind) {
      case "answer":
        return this.#answer(message.answer);
      case "status":
        return this.events.status(message.status);
      case "role":
        return this.events.role(message.leading);
      case "again":
        return this.#again();
      case "ask_token":
        return void this.#fetchToken(message.ask);
      case "outdated":
        return this.#fail("older_tab", "A newer version of this app runs in another tab. Reload this one.");
      case "destroyed":
        // By this page, or by another tab.
        for (const { call, resolve } of this.#unanswered.values()) if (call.request.kind === "destroy") resolve(null);
        return this.#fail("closed", "The database was destroyed.");
      case "broken":
        return this.#broken(message.message, message.culprit);
      case "stopped":
        return this.#stopped?.();
      default:
        this.events.delivery(message);
    }
  }

  #answer(answer: Answer): void {
    const waiting = this.#unanswered.get(answer.id);
    // Answered twice when it was sent twice.
    if (waiting === undefined) return;
    this.#unanswered.delete(answer.id);
    if ("error" in answer) waiting.reject(fromMessage(answer.error));
    else waiting.resolve(answer.value);
  }

  #again(): void {
    for (const { call } of this.#unanswered.values()) this.#post({ kind: "call", call });
    this.events.again();
  }

  async #fetchToken(ask: string): Promise<void> {
    try {
      this.#post({ kind: "token", ask, token: await this.events.token() });
    } catch (error) {
      this.#post({ kind: "no_token", ask, message: error instanceof Error ? error.message : String(error) });
    }
  }

  /** A new worker in place of a broken one. The call that broke it is not tried again. */
  #broken(message: string, culprit: string | null): void {
    if (this.#end !== null) return;
    const error = new GreenlightError("worker", message);
    if (culprit !== null) this.#answer({ id: culprit, error: { code: "worker", message } });
    const now = performance.now();
    this.#restarts = this.#restarts.filter((at) => now - at < RESTARTS_SPAN_MS);
    this.#worker.terminate();
    if (this.#restarts.length >= MAX_RESTARTS) {
      this.#finish(error);
      this.events.ended("worker_broken");
      return;
    }
    this.#restarts.push(now);
    this.events.role(false);
    this.#worker = this.#start();
    this.#again();
  }

  #fail(why: "older_tab" | "closed", message: string): void {
    if (this.#end !== null) return;
    this.#finish(new GreenlightError(why, message));
    this.#worker.terminate();
    this.events.ended(why);
  }

  #finish(error: GreenlightError): void {
    this.#end = error;
    for (const { reject } of this.#unanswered.values()) reject(error);
    this.#unanswered.clear();
  }
}
