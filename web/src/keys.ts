// Keys that work everywhere: "/" to the page's search, "n" to its new thing, arrows through a list.

const ROWS = "a.list-row";

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]") !== null) return;
    const target = event.target instanceof HTMLElement ? event.target : document.body;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") return walk(event, target);
    if (target.closest("input, textarea, select, sync-footer") !== null) return;
    const wanted = event.key === "/" ? "[data-search]" : event.key === "n" ? "[data-new]" : null;
    const found = wanted === null ? null : document.querySelector<HTMLElement>(wanted);
    if (found === null) return;
    event.preventDefault();
    if (found.matches("input")) found.focus();
    else found.click();
  });
}

/** From the search into the list, and from row to row. */
function walk(event: KeyboardEvent, from: HTMLElement): void {
  const rows = [...document.querySelectorAll<HTMLElement>(ROWS)];
  const at = rows.indexOf(from);
  const inSearch = from.matches("input[type=search]");
  if (at < 0 && !(inSearch && event.key === "ArrowDown")) return;
  event.preventDefault();
  if (at === 0 && event.key === "ArrowUp") document.querySelector<HTMLElement>("[data-search]")?.focus();
  else rows[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}
