// Where a barcode scanner types its thirteen digits and Enter, and a person a few letters of a title.
// The field keeps the focus, so that scanning goes on.

import { useRef, useState } from "preact/hooks";
import { EMPTY_BOOK, suggestBooks } from "../data/books.ts";
import { showMoney } from "../data/format.ts";
import { looksLikeIsbn, parseIsbn, showIsbn } from "../data/isbn.ts";
import { BookForm } from "./BookForm.tsx";
import { Cover } from "./Cover.tsx";
import { Icon } from "./icons.tsx";
import { useLive, useSettled, useShop } from "./shop.ts";

const SETTLE_MS = 80;
/** On a phone the focus would cover half the page with keys before anyone asked. */
const HAS_KEYBOARD = matchMedia("(hover: hover)").matches;

export function Scan({ take }: { take: (isbn: string) => Promise<unknown> }) {
  const shop = useShop();
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [active, setActive] = useState(0);
  const [problem, setProblem] = useState("");
  const [unknown, setUnknown] = useState<string | null>(null);
  const settled = useSettled(text, SETTLE_MS).trim();
  const found = useLive(suggestBooks(settled)) ?? [];
  const shown = settled.length >= 2 && text.trim() !== "" ? found : [];
  const done = () => {
    setText("");
    setActive(0);
    setProblem("");
    input.current?.focus();
  };
  const add = async (isbn: string) => {
    done();
    await take(isbn);
  };
  const enter = async () => {
    const typed = text.trim();
    if (typed === "") return;
    const isbn = parseIsbn(typed);
    if (isbn !== null) {
      const known = await shop.query("SELECT 1 FROM book WHERE isbn = ?1", [isbn]);
      return known.length > 0 ? add(isbn) : setUnknown(isbn);
    }
    const chosen = shown[active];
    if (chosen !== undefined) return add(chosen.isbn);
    setProblem(looksLikeIsbn(typed) ? "This is not an ISBN: a digit is wrong or missing." : "No book matches.");
  };
  const key = (event: KeyboardEvent) => {
    if (event.key === "Enter") void enter();
    else if (event.key === "ArrowDown") setActive(Math.min(active + 1, shown.length - 1));
    else if (event.key === "ArrowUp") setActive(Math.max(active - 1, 0));
    else if (event.key === "Escape") done();
    else return;
    event.preventDefault();
  };
  return (
    <div class="scan">
      <label class="search">
        <Icon name="scan" />
        <span class="unseen">Scan an ISBN or type a title</span>
        <input
          ref={input} value={text} placeholder="Scan an ISBN or type a title" autocomplete="off" spellcheck={false} autoFocus={HAS_KEYBOARD}
          role="combobox" aria-expanded={shown.length > 0} aria-controls="suggestions" aria-autocomplete="list"
          aria-activedescendant={shown.length > 0 ? `suggestion-${active}` : undefined} data-testid="scan" data-search
          onInput={(event) => { setText(event.currentTarget.value); setActive(0); setProblem(""); }}
          onKeyDown={key}
        />
      </label>
      {problem !== "" && <p class="field-error" role="alert">{problem}</p>}
      {shown.length > 0 && (
        <ul class="suggestions" id="suggestions" role="listbox">
          {shown.map((row, i) => (
            <li key={row.isbn} id={`suggestion-${i}`} role="option" aria-selected={i === active} data-testid="scan-suggestion"
              onPointerDown={(event) => { event.preventDefault(); void add(row.isbn); }}>
              <Cover isbn={row.isbn} />
              <span>
                <b>{row.title}</b>
                <small>{[row.authors, showIsbn(row.isbn)].filter(Boolean).join(" · ")}</small>
              </span>
              <span class="muted">{showMoney(row.price_cents)}</span>
            </li>
          ))}
        </ul>
      )}
      {unknown !== null && (
        <BookForm before={null} start={{ ...EMPTY_BOOK, isbn: unknown }} close={() => { setUnknown(null); done(); }} saved={(isbn) => void take(isbn)} />
      )}
    </div>
  );
}
