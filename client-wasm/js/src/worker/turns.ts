// Whose turn it is at the one connection: a transaction has it to itself, what comes meanwhile waits in order.
// Bounded: what finds too many waiting is refused.

import { GreenlightError } from "../shared/error.js";
import { MAX_WAITING } from "../shared/limits.js";

export class Turns {
  /** The transaction, or longer work, that has the connection. */
  #holder: string | null = null;
  #waiting: { holder: string; start(): void }[] = [];

  /** Who has the connection to itself; null when nobody has. */
  get holder(): string | null {
    return this.#holder;
  }

  /** Does something short, at once when nobody has the connection to itself. */
  async once<T>(id: string, job: () => T): Promise<T> {
    if (this.#holder === null) return job();
    await this.take(id);
    try {
      return job();
    } finally {
      this.give(id);
    }
  }

  /** Waits for the connection and keeps it until `give`. */
  take(holder: string): Promise<void> {
    if (this.#holder === null) {
      this.#holder = holder;
      return Promise.resolve();
    }
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(new GreenlightError("busy", `${MAX_WAITING} calls are waiting for a transaction already.`));
    }
    return new Promise((start) => this.#waiting.push({ holder, start }));
  }

  /** Gives the connection to the next. Ignored from anyone who hasn't got it. */
  give(holder: string): void {
    if (this.#holder !== holder) return;
    const next = this.#waiting.shift();
    this.#holder = next?.holder ?? null;
    next?.start();
  }
}
