// Counts, sizes and times as a person reads them, in the page's language.

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const counts = new Intl.NumberFormat();
const tenths = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/** 12345 as "12,345". */
export function count(n: number): string {
  return counts.format(n);
}

/** Bytes as "820 B", "14.2 kB", "3.1 MB". */
export function bytes(n: number): string {
  if (n < 1000) return `${counts.format(n)} B`;
  if (n < 1_000_000) return `${tenths.format(n / 1000)} kB`;
  if (n < 1_000_000_000) return `${tenths.format(n / 1_000_000)} MB`;
  return `${tenths.format(n / 1_000_000_000)} GB`;
}

/** A length of time in its largest unit: "4 s", "12 min", "3 h", "2 d". Below a second: "now". */
export function duration(ms: number): string {
  if (ms < SECOND) return "now";
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${Math.floor(ms / DAY)} d`;
}

/** How long ago: "now", "4 s ago". A moment in the future counts as now. */
export function ago(at: number, now: number): string {
  const age = duration(Math.max(0, now - at));
  return age === "now" ? age : `${age} ago`;
}

/** The time of day, with the day where it isn't today. */
export function clock(at: number, now: number): string {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return new Intl.DateTimeFormat(undefined, sameDay
    ? { hour: "2-digit", minute: "2-digit" }
    : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" }).format(at);
}
