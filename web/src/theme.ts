// Light, dark, or as the system has it. Remembered in this browser.

export type Theme = "auto" | "light" | "dark";

const KEY = "bookshop-theme";
const ORDER: Theme[] = ["auto", "light", "dark"];

export function theme(): Theme {
  const asked = new URLSearchParams(location.search).get("theme") ?? localStorage.getItem(KEY);
  return ORDER.find((known) => known === asked) ?? "auto";
}

/** Puts the theme on the page and remembers it. */
export function setTheme(value: Theme): void {
  localStorage.setItem(KEY, value);
  apply(value);
}

export function apply(value: Theme): void {
  if (value === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = value;
}

export function nextTheme(value: Theme): Theme {
  return ORDER[(ORDER.indexOf(value) + 1) % ORDER.length] ?? "auto";
}
