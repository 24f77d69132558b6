// Deliveries or sales: the drafts on top, since they wait for someone, then what was committed.

import { useState } from "preact/hooks";
import { plural, showDay, showDayAndTime, showMoney } from "../data/format.ts";
import { committedNotes, countCommitted, createNote, draftNotes, type Kind, type NoteRow } from "../data/notes.ts";
import { warehouses } from "../data/stock.ts";
import { attempt } from "../ui/feedback.tsx";
import { Icon } from "../ui/icons.tsx";
import { Empty, Head, Pager, Search } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { useLive, useLiveRow, useSettled, useShop } from "../ui/shop.ts";

const SETTLE_MS = 60;

/** The words for both kinds. */
export const WORDS = {
  inbound: { title: "Inbound", one: "delivery", many: "deliveries", fresh: "New delivery", party: "Warehouse", total: "Cost" },
  outbound: { title: "Outbound", one: "sale", many: "sales", fresh: "New sale", party: "Customer", total: "Total" },
} as const;

export function Notes({ kind }: { kind: Kind }) {
  const shop = useShop();
  const words = WORDS[kind];
  const [search, setSearch] = useState("");
  const [page, setPage] = useState(0);
  const settled = useSettled(search, SETTLE_MS);
  const drafts = useLive(draftNotes(kind));
  const committed = useLive(committedNotes(kind, settled, page));
  const total = useLiveRow(countCommitted(kind, settled))?.n;
  const places = useLive(warehouses());
  const start = () => attempt(async () => go(kind, await createNote(shop, kind, nameFor(kind), places?.[0]?.id ?? "", Date.now())));
  const type = (text: string) => {
    setSearch(text);
    setPage(0);
  };
  const nothing = drafts?.length === 0 && total === 0 && settled.trim() === "";
  return (
    <>
      <Head title={words.title} sub={total === undefined ? " " : `${plural(total, words.one, words.many)} committed`}>
        <button class="button primary" type="button" onClick={() => void start()} data-testid="note-new" data-new>
          <Icon name="plus" /> {words.fresh}
        </button>
      </Head>
      {drafts !== undefined && drafts.length > 0 && (
        <section>
          <h2 class="section-title">
            Drafts <span class="aside">{drafts.length}</span>
          </h2>
          <NoteList kind={kind} rows={drafts} label="Drafts" />
        </section>
      )}
      {nothing ? (
        <Empty icon={kind} title={`No ${words.many} yet`}>
          <p>{kind === "inbound" ? "Start one when books arrive: scan them in, then commit." : "Start one at the till: scan the books, then commit."}</p>
        </Empty>
      ) : (
        <section>
          <h2 class="section-title">Committed</h2>
          <Search value={search} set={type} placeholder={`Name of the ${words.one}`} id="note-search" />
          {committed !== undefined && committed.length > 0 && <NoteList kind={kind} rows={committed} label="Committed" />}
          {committed?.length === 0 && settled.trim() !== "" && <Empty icon="search" title={`Nothing matches “${settled.trim()}”`} />}
          {total !== undefined && <Pager page={page} total={total} set={setPage} />}
        </section>
      )}
    </>
  );
}

function NoteList({ kind, rows, label }: { kind: Kind; rows: NoteRow[]; label: string }) {
  const words = WORDS[kind];
  return (
    <ol class="list notes" aria-label={label}>
      <li class="list-head" aria-hidden="true">
        <span>Name</span>
        <span>{words.party}</span>
        <span>Date</span>
        <span class="number">Copies</span>
        <span class="number">{words.total}</span>
      </li>
      {rows.map((row) => (
        <li key={row.id}>
          <a class="list-row" href={href(kind, row.id)} data-testid="note-row" data-note={row.id}>
            <span class="note-name">
              <b>{row.name || "Unnamed"}</b>
              <small>{plural(row.lines, "title")}</small>
            </span>
            <span class="muted wide-only">{row.party}</span>
            <span class="muted" title={showDayAndTime(row.committed_at ?? row.created_at)}>{showDay(row.committed_at ?? row.created_at)}</span>
            <span class="number">{row.copies ?? 0}</span>
            <span class="number wide-only">{showMoney(row.total_cents ?? 0)}</span>
          </a>
        </li>
      ))}
    </ol>
  );
}

/** A name that says when: people rename it where it matters. */
export function nameFor(kind: Kind): string {
  const now = new Date();
  const time = now.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  return `${kind === "inbound" ? "Delivery" : "Sale"} ${showDay(now.getTime())}, ${time}`;
}
