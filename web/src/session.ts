// Opens the shop's database, as the address says. For trying things out and for tests:
//   ?db=NAME      another database than "shop"
//   ?server=URL   another server than the one that served the page
//   #token=TOKEN  kept in this browser and taken out of the address; no server ever gets to see it there
//   ?memory=always|fallback   hold the database in memory (always, or where the browser can't keep files)

import { type Greenlight, open, type OpenOptions } from "greenlight-client";
import schema from "../schemas/shop.sql?raw";

const TOKEN_KEY = "bookshop-token";

declare global {
  interface Window {
    /** The open client, for the console: `await greenlight.query("SELECT COUNT(*) FROM book")`. */
    greenlight?: Greenlight;
  }
}

export function token(): string {
  return localStorage.getItem(TOKEN_KEY) ?? "";
}

export function setToken(value: string): void {
  if (value === "") localStorage.removeItem(TOKEN_KEY);
  else localStorage.setItem(TOKEN_KEY, value);
}

/** What the address asks for. A token found there moves to this browser's storage. */
function options(): OpenOptions {
  const address = new URL(location.href);
  const fragment = new URLSearchParams(address.hash.slice(1));
  const given = fragment.get("token");
  if (given !== null) {
    setToken(given);
    address.hash = "";
    history.replaceState(null, "", address);
  }
  const memory = address.searchParams.get("memory");
  return {
    name: address.searchParams.get("db") ?? "shop",
    url: address.searchParams.get("server") ?? "",
    schema,
    token,
    memory: memory === "always" || memory === "fallback" ? memory : "never",
  };
}

/** Opens the database; rejects with the client's error where that can't be done. */
export async function openShop(change: Partial<OpenOptions> = {}): Promise<Greenlight> {
  const shop = await open({ ...options(), ...change });
  window.greenlight = shop;
  return shop;
}
