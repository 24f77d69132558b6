// The lines of a note. In a draft quantity, price and warehouse are fields; once committed they are text.

import { editMoney, parseMoney, showMoney } from "../data/format.ts";
import { showIsbn } from "../data/isbn.ts";
import { type Kind, type Line, moveLine, type Note, removeLine, setLine } from "../data/notes.ts";
import { type Warehouse, warehouses } from "../data/stock.ts";
import { Cover } from "./Cover.tsx";
import { attempt, notify } from "./feedback.tsx";
import { Icon } from "./icons.tsx";
import { href } from "./router.ts";
import { useLive, useShop } from "./shop.ts";

/** More copies of one title in one line are a slip of the scanner. */
const QUANTITY_LIMIT = 100_000;

export function Lines({ kind, note, lines }: { kind: Kind; note: Note; lines: Line[] }) {
  const places = useLive(warehouses()) ?? [];
  return (
    <div class={`list lines ${kind} ${note.committed_at === null ? "draft" : ""}`} role="table" aria-label="Lines">
      <div class="list-head" role="row">
        <span role="columnheader">Title</span>
        {kind === "outbound" && <span role="columnheader">From</span>}
        <span role="columnheader" class="number">Copies</span>
        <span role="columnheader" class="number">{kind === "inbound" ? "Cost each" : "Price each"}</span>
        <span role="columnheader" class="number">Sum</span>
        {note.committed_at === null && <span role="columnheader"><span class="unseen">Remove</span></span>}
      </div>
      {lines.map((line) => <Row key={`${line.isbn} ${line.warehouse_id}`} kind={kind} note={note} line={line} places={places} />)}
    </div>
  );
}

function Row({ kind, note, line, places }: { kind: Kind; note: Note; line: Line; places: Warehouse[] }) {
  const shop = useShop();
  const draft = note.committed_at === null;
  const title = line.title ?? "Not in the catalogue";
  const write = (field: "quantity" | "each", input: HTMLInputElement) => {
    const typed = field === "quantity" ? wholeNumber(input.value) : parseMoney(input.value);
    const before = field === "quantity" ? String(line.quantity) : editMoney(line.each_cents);
    if (typed === null) {
      notify(field === "quantity" ? "A quantity is a whole number from 1 up." : "A price is an amount like 12.50.", true);
      input.value = before;
      return;
    }
    void attempt(() => setLine(shop, kind, note.id, line, field, typed));
  };
  return (
    <div class="list-row" role="row" data-testid="line-row" data-isbn={line.isbn}>
      <span role="cell" class="work">
        <Cover isbn={line.isbn} />
        <span>
          <a href={href("book", line.isbn)}><b>{title}</b></a>
          <small>{[line.authors, showIsbn(line.isbn)].filter(Boolean).join(" · ")}</small>
        </span>
      </span>
      {kind === "outbound" && <span role="cell">{draft ? <From note={note} line={line} places={places} /> : places.find((p) => p.id === line.warehouse_id)?.name}</span>}
      <span role="cell" class="number">
        {draft ? (
          <input key={line.quantity} class="tiny" type="number" min={1} max={QUANTITY_LIMIT} defaultValue={line.quantity} aria-label={`Copies of ${title}`}
            onChange={(event) => write("quantity", event.currentTarget)} data-testid="line-quantity" />
        ) : <b>{line.quantity}</b>}
      </span>
      <span role="cell" class="number">
        {draft ? (
          <input key={line.each_cents} class="tiny" inputMode="decimal" defaultValue={editMoney(line.each_cents)} aria-label={`Price of ${title}`}
            onChange={(event) => write("each", event.currentTarget)} data-testid="line-each" />
        ) : showMoney(line.each_cents)}
      </span>
      <span role="cell" class="number line-sum">{showMoney(line.quantity * line.each_cents)}</span>
      {draft && (
        <span role="cell" class="line-remove">
          <button class="button quiet" type="button" aria-label={`Remove ${title}`} onClick={() => void attempt(() => removeLine(shop, kind, note.id, line))} data-testid="line-remove">
            <Icon name="close" />
          </button>
        </span>
      )}
    </div>
  );
}

function From({ note, line, places }: { note: Note; line: Line; places: Warehouse[] }) {
  const shop = useShop();
  return (
    <select value={line.warehouse_id} aria-label="From warehouse" onChange={(event) => void attempt(() => moveLine(shop, note.id, line, event.currentTarget.value))} data-testid="line-warehouse">
      {places.map((place) => <option key={place.id} value={place.id}>{place.name}</option>)}
    </select>
  );
}

function wholeNumber(text: string): number | null {
  const number = Number(text);
  return text.trim() !== "" && Number.isInteger(number) && number >= 1 && number <= QUANTITY_LIMIT ? number : null;
}
