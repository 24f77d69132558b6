// While the shop arrives for the first time: how far it is, in changes and bytes. Later transfers show in the footer only.

import type { Status } from "greenlight-client";
import { useEffect, useState } from "preact/hooks";
import { showCount } from "../data/format.ts";
import { useShop } from "./shop.ts";

/** The final numbers stay for this long, so that they can be read. */
const LINGER_MS = 2500;
/** Fewer changes than these arrive before anyone has read about them. */
const WORTH_SHOWING = 1000;

/** The client's status, renewed with every change. */
export function useStatus(): Status {
  const { status } = useShop();
  const [current, setCurrent] = useState(status.current);
  useEffect(() => {
    const changed = () => setCurrent(status.current);
    status.addEventListener("change", changed);
    changed();
    return () => status.removeEventListener("change", changed);
  }, [status]);
  return current;
}

export function FirstSync() {
  const status = useStatus();
  const [first, setFirst] = useState(status.lastSyncedAt === null);
  const [last, setLast] = useState<Status["progress"]>(null);
  const { progress } = status;
  const arriving = first && progress?.direction === "down" && progress.changes.total >= WORTH_SHOWING ? progress : null;
  useEffect(() => {
    if (arriving !== null) setLast(arriving);
  }, [arriving]);
  // Only whether it was ever in step: the moment itself moves on with every heartbeat.
  const done = status.lastSyncedAt !== null;
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setFirst(false), LINGER_MS);
    return () => clearTimeout(timer);
  }, [done]);
  const shown = arriving ?? (first ? last : null);
  if (shown === null) return null;
  const { changes, bytes } = shown;
  const part = done ? 1 : bytes.total > 0 ? bytes.done / bytes.total : changes.total > 0 ? changes.done / changes.total : 0;
  const percent = Math.min(100, Math.round(part * 100));
  return (
    <section class="first-sync" data-testid="first-sync" data-done={String(done)} aria-label="First download">
      <div>
        <b>{done ? "The shop is here" : "Fetching the shop"}</b>
        <span>
          <span data-testid="first-sync-changes">{showCount(done ? changes.total : changes.done)} of {showCount(changes.total)} changes</span>
          {" · "}
          <span data-testid="first-sync-bytes">{megabytes(done ? bytes.total : bytes.done)} of {megabytes(bytes.total)} MB</span>
          {!done && shown.etaMs !== null && shown.etaMs >= 1000 && <> · <span>{Math.ceil(shown.etaMs / 1000)} s left</span></>}
        </span>
      </div>
      <div class="track" role="progressbar" aria-label="First download" aria-valuemin={0} aria-valuemax={100} aria-valuenow={percent}>
        <i style={{ transform: `scaleX(${percent / 100})` }} />
      </div>
    </section>
  );
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(bytes < 10_000_000 ? 2 : 1);
}
