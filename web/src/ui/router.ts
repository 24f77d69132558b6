// Addresses behind the hash: "#/books?q=winter". The server needs to know one page only.

import { useEffect, useState } from "preact/hooks";

export interface Route {
  /** Decoded parts of the path: ["book", "9780141439518"]. */
  path: string[];
  query: URLSearchParams;
}

function current(): Route {
  const [path = "", search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter((part) => part !== "").map(decodeURIComponent), query: new URLSearchParams(search) };
}

export function useRoute(): Route {
  const [route, setRoute] = useState(current);
  useEffect(() => {
    const changed = () => setRoute(current());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}

export function href(...path: string[]): string {
  return `#/${path.map(encodeURIComponent).join("/")}`;
}

export function go(...path: string[]): void {
  location.hash = href(...path);
}

/** Changes the address's query without a new entry in the history: for searches and pages. */
export function replaceQuery(values: Record<string, string>): void {
  const kept = Object.entries(values).filter(([, value]) => value !== "");
  const search = new URLSearchParams(kept).toString();
  const path = location.hash.split("?")[0] || "#/";
  history.replaceState(null, "", search === "" ? path : `${path}?${search}`);
}
