// Query results as they travel: one flat list of values, so that column names are not copied with every row.

import type { Row, Value } from "./types.js";

/** A result: `values` holds the rows one after another, each as long as `columns`. */
export interface Rows {
  columns: string[];
  values: Value[];
}

/** The rows as objects. */
export function toObjects({ columns, values }: Rows): Row[] {
  const rows: Row[] = [];
  if (columns.length === 0) return rows;
  for (let start = 0; start < values.length; start += columns.length) {
    const row: Row = {};
    for (let i = 0; i < columns.length; i++) row[columns[i]!] = values[start + i]!;
    rows.push(row);
  }
  return rows;
}

/** Whether two results are the same, type-exact. */
export function sameRows(a: Rows, b: Rows): boolean {
  return (
    a.columns.length === b.columns.length &&
    a.values.length === b.values.length &&
    a.columns.every((column, i) => column === b.columns[i]) &&
    a.values.every((value, i) => sameValue(value, b.values[i]!))
  );
}

function sameValue(a: Value, b: Value): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, i) => byte === b[i]);
  }
  return Object.is(a, b);
}
