// One delivery or sale: scan its books, set the quantities, commit. On paper it is the delivery note.

import { plural, showDayAndTime, showMoney } from "../data/format.ts";
import {
  commitNote, customers, deleteNote, type Kind, type Line, linesOf, type Note, type NoteField, oneNote, scanIn, scanOut, setNote,
  shortages, suppliers,
} from "../data/notes.ts";
import { warehouses } from "../data/stock.ts";
import { ask, attempt, notify } from "../ui/feedback.tsx";
import { Icon } from "../ui/icons.tsx";
import { Lines } from "../ui/Lines.tsx";
import { Empty, Field, Head } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { Scan } from "../ui/Scan.tsx";
import { useLive, useLiveRow, useShop } from "../ui/shop.ts";
import { WORDS } from "./Notes.tsx";

export function NotePage({ kind, id }: { kind: Kind; id: string }) {
  const note = useLiveRow(oneNote(kind, id));
  const lines = useLive(linesOf(kind, id));
  const back = { href: href(kind), text: WORDS[kind].title };
  if (note === undefined || lines === undefined) return null;
  if (note === null) {
    return (
      <>
        <Head title="Not here" back={back} />
        <Empty icon={kind} title={`This ${WORDS[kind].one} doesn’t exist`}>
          <p>It may have been deleted on another device.</p>
        </Empty>
      </>
    );
  }
  return <Shown kind={kind} note={note} lines={lines} back={back} />;
}

function Shown({ kind, note, lines, back }: { kind: Kind; note: Note; lines: Line[]; back: { href: string; text: string } }) {
  const shop = useShop();
  const words = WORDS[kind];
  const draft = note.committed_at === null;
  const copies = lines.reduce((sum, line) => sum + line.quantity, 0);
  const cents = lines.reduce((sum, line) => sum + line.quantity * line.each_cents, 0);
  const scan = (isbn: string) => attempt(() => (kind === "inbound" ? scanIn : scanOut)(shop, note, isbn, Date.now()));
  const sub = draft ? <span class="tag draft">Draft</span> : `Committed ${showDayAndTime(note.committed_at!)}`;
  return (
    <article class="note-page" data-testid="note" data-committed={String(!draft)}>
      <Head title={note.name || "Unnamed"} sub={sub} back={back}>
        {draft ? <DraftActions kind={kind} note={note} lines={lines} copies={copies} /> : (
          <button class="button" type="button" onClick={() => print()}>
            <Icon name="print" /> Print
          </button>
        )}
      </Head>
      <NoteFields kind={kind} note={note} />
      {draft && <Scan take={scan} />}
      {lines.length === 0 ? (
        <Empty icon="scan" title="No books yet">
          <p>{draft ? "Scan a barcode, or type a title and choose." : `This ${words.one} was committed without books.`}</p>
        </Empty>
      ) : (
        <>
          <Lines kind={kind} note={note} lines={lines} />
          <p class="sum" data-testid="note-sum">
            <span>{plural(lines.length, "title")}, {plural(copies, "copy", "copies")}</span>
            <b>{showMoney(cents)}</b>
          </p>
        </>
      )}
    </article>
  );
}

function DraftActions({ kind, note, lines, copies }: { kind: Kind; note: Note; lines: Line[]; copies: number }) {
  const shop = useShop();
  const words = WORDS[kind];
  const remove = async () => {
    const sure = lines.length === 0 || (await ask({
      title: `Delete this ${words.one}?`,
      body: `${plural(lines.length, "line")} will be thrown away on every device. Stock stays as it is.`,
      yes: "Delete draft",
      danger: true,
    }));
    if (sure && (await attempt(() => deleteNote(shop, kind, note.id)))) go(kind);
  };
  const commit = async () => {
    if (kind === "inbound" && note.warehouse_id === "") return notify("Choose the warehouse that the books go into.", true);
    const missing = kind === "inbound" ? [] : await shop.query<{ title: string }>(shortages(note.id).sql, shortages(note.id).params);
    const body = missing.length === 0
      ? `${plural(copies, "copy", "copies")} ${kind === "inbound" ? "go into" : "leave"} stock. A committed note can’t be changed.`
      : `There is less in stock than this sale takes of: ${missing.map((row) => row.title).join(", ")}. Commit it all the same?`;
    if (!(await ask({ title: `Commit this ${words.one}?`, body, yes: "Commit" }))) return;
    if (await attempt(() => commitNote(shop, kind, note.id, Date.now()))) notify(`${note.name} is committed.`);
  };
  return (
    <>
      <button class="button" type="button" onClick={() => void remove()} data-testid="note-delete">
        <Icon name="trash" /> Delete
      </button>
      <button class="button primary" type="button" disabled={lines.length === 0} onClick={() => void commit()} data-testid="note-commit">
        <Icon name="check" /> Commit
      </button>
    </>
  );
}

function NoteFields({ kind, note }: { kind: Kind; note: Note }) {
  const shop = useShop();
  const draft = note.committed_at === null;
  const places = useLive(warehouses()) ?? [];
  const parties = useLive(kind === "inbound" ? suppliers() : customers()) ?? [];
  const set = (field: NoteField) => (event: { currentTarget: { value: string } }) =>
    void attempt(() => setNote(shop, kind, note.id, field, event.currentTarget.value));
  const choice = (label: string, field: NoteField, value: string, options: { id: string; name: string }[], none: string) => (
    <Field label={label}>
      {(id) => (
        <select id={id} value={value} onChange={set(field)} disabled={!draft} data-testid={`note-${field.replace("_id", "")}`}>
          <option value="">{none}</option>
          {options.map((option) => <option key={option.id} value={option.id}>{option.name}</option>)}
        </select>
      )}
    </Field>
  );
  return (
    <div class="note-fields">
      {draft && (
        <Field label="Name">
          {(id) => <input id={id} key={note.name} defaultValue={note.name} onChange={set("name")} data-testid="note-name" />}
        </Field>
      )}
      {kind === "inbound" && choice("Into warehouse", "warehouse_id", note.warehouse_id, places, "Choose…")}
      {kind === "inbound" && choice("From supplier", "supplier_id", note.supplier_id, parties, "Unknown")}
      {kind === "outbound" && choice("Customer", "customer_id", note.customer_id, parties, "At the till")}
    </div>
  );
}
