// A query as a value: what pages watch and what the data files make.

import type { Value } from "greenlight-client";

export interface Query<T> {
  sql: string;
  params: Value[];
  /** Never set: it carries the type of a row to whoever runs the query. */
  row?: T;
}

/** Rows of a list page. Long tables are read a page at a time. */
export const PAGE_SIZE = 50;

export function query<T>(sql: string, params: Value[] = []): Query<T> {
  return { sql, params };
}

/** A LIKE pattern that finds the text anywhere, with its wildcards meant literally (ESCAPE '\'). */
export function containing(text: string): string {
  return `%${text.replace(/[\\%_]/g, "\\$&")}%`;
}
