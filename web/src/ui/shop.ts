// The open database, for every component below; and rows that stay current.

import type { Greenlight } from "greenlight-client";
import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Query } from "../data/query.ts";

export const Shop = createContext<Greenlight | null>(null);

export function useShop(): Greenlight {
  const shop = useContext(Shop);
  if (shop === null) throw new Error("there is no open database above this component");
  return shop;
}

/** The query's rows, renewed whenever a table it reads changes here or elsewhere. Undefined until the first answer;
 *  while another query's answer is on its way the old rows stay, so that nothing flickers. */
export function useLive<T>(query: Query<T>): T[] | undefined {
  const shop = useShop();
  const [rows, setRows] = useState<T[]>();
  const key = JSON.stringify([query.sql, query.params]);
  useEffect(() => shop.watch<T>(query, (found) => setRows(found as T[])), [shop, key]);
  return rows;
}

/** The first row of a live query: undefined until the answer, null where there is none. */
export function useLiveRow<T>(query: Query<T>): T | null | undefined {
  const rows = useLive(query);
  return rows === undefined ? undefined : (rows[0] ?? null);
}

/** The value, a moment after it stopped changing. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return settled;
}
