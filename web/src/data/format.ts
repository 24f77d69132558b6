// Money, counts and dates as the person's language writes them. Money is kept in cents.

/** The demo's shop trades in one currency. */
const CURRENCY = "EUR";

const money = new Intl.NumberFormat(undefined, { style: "currency", currency: CURRENCY });
const wholeMoney = new Intl.NumberFormat(undefined, { style: "currency", currency: CURRENCY, maximumFractionDigits: 0 });
const counts = new Intl.NumberFormat();
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const dayAndTime = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
const longDay = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

export const showMoney = (cents: number): string => money.format(cents / 100);
/** Without cents, for large sums. */
export const showSum = (cents: number): string => wholeMoney.format(Math.round(cents / 100));
export const showCount = (n: number): string => counts.format(n);
/** A quantity in a list, with a real minus sign. */
export const showQuantity = (n: number): string => (n < 0 ? `\u2212${counts.format(-n)}` : counts.format(n));
export const showDay = (at: number): string => day.format(at);
export const showDayAndTime = (at: number): string => dayAndTime.format(at);
export const showLongDay = (at: number): string => longDay.format(at);

/** "1 copy", "5 copies". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${counts.format(n)} ${n === 1 ? one : many}`;
}

/** Cents of "12", "12.5", "12,50"; null where it isn't an amount. */
export function parseMoney(typed: string): number | null {
  const text = typed.trim().replace(/[€\s]/g, "").replace(",", ".");
  return /^\d{1,7}(\.\d{0,2})?$/.test(text) ? Math.round(Number(text) * 100) : null;
}

/** What an input field shows for an amount. */
export const editMoney = (cents: number): string => (cents / 100).toFixed(2);
