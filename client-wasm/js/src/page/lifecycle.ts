// What the browser does to a page, as far as the database must know: frozen, shown again, online again, left.

/** What to do about it. */
export interface LifecycleEvents {
  freeze(): void;
  thaw(): void;
  /** It is a good moment to dial. */
  retry(): void;
  /** The page is looked at again: what it shows must be true. */
  shown(): void;
  /** Whether leaving now should be questioned. */
  shouldWarn(): boolean;
}

/** Listens until the returned function is called. */
export function follow(events: LifecycleEvents): () => void {
  const end = new AbortController();
  const options = { signal: end.signal };
  document.addEventListener("freeze", () => events.freeze(), options);
  document.addEventListener("resume", () => events.thaw(), options);
  // Kept for the way back (bfcache) is another way to be frozen.
  addEventListener("pagehide", (event) => event.persisted && events.freeze(), options);
  addEventListener("pageshow", (event) => event.persisted && events.thaw(), options);
  addEventListener("online", () => events.retry(), options);
  document.addEventListener(
    "visibilitychange",
    () => {
      if (document.visibilityState !== "visible") return;
      events.shown();
      events.retry();
    },
    options,
  );
  addEventListener(
    "beforeunload",
    (event) => {
      if (events.shouldWarn()) event.preventDefault();
    },
    options,
  );
  return () => end.abort();
}
