// The WebSocket to the server: at most one, driven by the session. Never decides when to dial.


/** The version of the protocol that is spoken, as WebSockets negotiate it. */
const SUBPROTOCOL = "greenlight.v1";
/** What a socket that could not be opened, or broke, is reported with. */
const ABNORMAL = 1006;
const NORMAL = 1000;

/** What the session is told. */
export interface SocketEvents {
  connected(token: string): void;
  frame(frame: Uint8Array): void;
  malformed(what: string): void;
  closed(code: number, reason: string): void;
}

export class ServerSocket {
  #socket: WebSocket | null = null;
  /** Counts attempts: whatever an older one still says is ignored. */
  #attempt = 0;

  constructor(
    readonly url: string,
    readonly askToken: () => Promise<string>,
    readonly events: SocketEvents,
  ) {}

  /** Gets a token and dials; told by `connected` or `closed`. */
  async connect(): Promise<void> {
    this.#drop();
    const attempt = this.#attempt;
    let token: string;
    try {
      token = await this.askToken();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (attempt === this.#attempt) this.events.closed(ABNORMAL, reason);
      return;
    }
    // Closed, or dialled anew, while the token was fetched.
    if (attempt === this.#attempt) this.#dial(attempt, token);
  }

  send(frame: Uint8Array): void {
    // The buffer is the session's own copy, never shared memory.
    this.#socket?.send(frame as Uint8Array<ArrayBuffer>);
  }

  close(code: number, reason: string): void {
    const socket = this.#socket;
    this.#drop();
    // A page may close with 1000 or a code of its protocol's own, nothing else.
    socket?.close(code >= 3000 && code <= 4999 ? code : NORMAL, reason);
  }

  #dial(attempt: number, token: string): void {
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.url, SUBPROTOCOL);
    } catch (error) {
      // A page on https may not dial ws, and a policy may forbid the host.
      this.events.closed(ABNORMAL, error instanceof Error ? error.message : String(error));
      return;
    }
    socket.binaryType = "arraybuffer";
    const current = () => attempt === this.#attempt;
    socket.onopen = () => current() && this.events.connected(token);
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      if (!current()) return;
      if (typeof data === "string") this.events.malformed("a text message");
      else this.events.frame(new Uint8Array(data));
    };
    socket.onclose = ({ code, reason }) => {
      if (!current()) return;
      this.#drop();
      this.events.closed(code, reason);
    };
    this.#socket = socket;
  }

  #drop(): void {
    this.#attempt++;
    this.#socket = null;
  }
}
