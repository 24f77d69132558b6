// The first page: the shop at a glance, and what waits for someone.

import { plural, showCount, showDay, showLongDay, showSum } from "../data/format.ts";
import { createNote, type Kind } from "../data/notes.ts";
import { copiesByWarehouse } from "../data/stock.ts";
import { bestSellers, CHART_DAYS, figures, openNotes, salesByDay } from "../data/today.ts";
import { Cover } from "../ui/Cover.tsx";
import { attempt } from "../ui/feedback.tsx";
import { Icon } from "../ui/icons.tsx";
import { Head } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { useLive, useLiveRow, useShop } from "../ui/shop.ts";
import { nameFor, WORDS } from "./Notes.tsx";

const DAY_MS = 86_400_000;

export function Today() {
  const shop = useShop();
  const now = Date.now();
  const totals = useLiveRow(figures(now));
  const places = useLive(copiesByWarehouse());
  const open = useLive(openNotes());
  const copies = places?.reduce((sum, place) => sum + place.copies, 0);
  const start = (kind: Kind) => attempt(async () => go(kind, await createNote(shop, kind, nameFor(kind), places?.[0]?.id ?? "", Date.now())));
  const waiting = open === undefined ? " " : open.length === 0 ? "Nothing waits to be committed" : `${plural(open.length, "draft")} to finish`;
  return (
    <>
      <Head title={showLongDay(now)} sub={waiting}>
        <button class="button" type="button" onClick={() => void start("inbound")} data-testid="today-inbound">
          <Icon name="inbound" /> New delivery
        </button>
        <button class="button primary" type="button" onClick={() => void start("outbound")} data-testid="today-outbound" data-new>
          <Icon name="outbound" /> New sale
        </button>
      </Head>
      <dl class="figures">
        <Figure term="Copies in stock" value={copies} id="figure-copies" />
        <Figure term="Titles" value={totals?.titles} id="figure-titles" />
        <Figure term="Sold in 30 days" value={totals?.sold_copies ?? 0} id="figure-sold" />
        <div>
          <dt>Takings in 30 days</dt>
          <dd data-testid="figure-takings">{totals === undefined ? "" : showSum(totals?.sold_cents ?? 0)}</dd>
        </div>
      </dl>
      <div class="today">
        <div>
          <Sales now={now} />
          <Sellers now={now} />
        </div>
        <div>
          <Drafts rows={open ?? []} />
          <Places rows={places ?? []} />
        </div>
      </div>
    </>
  );
}

function Figure({ term, value, id }: { term: string; value: number | undefined; id: string }) {
  return (
    <div>
      <dt>{term}</dt>
      <dd data-testid={id}>{value === undefined ? "" : showCount(value)}</dd>
    </div>
  );
}

function Sales({ now }: { now: number }) {
  const rows = useLive(salesByDay(now));
  if (rows === undefined) return null;
  const days = Array.from({ length: CHART_DAYS }, (_, i) => rows.find((row) => row.day === CHART_DAYS - 1 - i)?.copies ?? 0);
  const most = Math.max(...days);
  const day = (i: number) => showDay(now - (CHART_DAYS - 1 - i) * DAY_MS);
  return (
    <section>
      <h2 class="section-title">
        Copies sold <span class="aside">last {CHART_DAYS} days</span>
      </h2>
      {most === 0 ? (
        <p class="muted">No sales in this time.</p>
      ) : (
        <figure class="chart">
          <ol>
            {days.map((copies, i) => (
              <li key={i} title={`${day(i)}: ${plural(copies, "copy", "copies")}`} class={i === CHART_DAYS - 1 ? "now" : ""}>
                <i style={{ height: `${(copies / most) * 100}%` }} />
                <span class="unseen">{day(i)}: {plural(copies, "copy", "copies")}</span>
              </li>
            ))}
          </ol>
          <figcaption aria-hidden="true">
            <span>{day(0)}</span>
            <span>most on a day: {showCount(most)}</span>
            <span>today</span>
          </figcaption>
        </figure>
      )}
    </section>
  );
}

function Sellers({ now }: { now: number }) {
  const rows = useLive(bestSellers(now)) ?? [];
  if (rows.length === 0) return null;
  return (
    <section>
      <h2 class="section-title">
        Selling best <span class="aside">last 30 days</span>
      </h2>
      <ol class="sellers">
        {rows.map((row) => (
          <li key={row.isbn}>
            <a href={href("book", row.isbn)} class="work">
              <Cover isbn={row.isbn} />
              <span>
                <b>{row.title ?? "Not in the catalogue"}</b>
                <small>{row.authors}</small>
              </span>
            </a>
            <b class="number">{row.copies}</b>
          </li>
        ))}
      </ol>
    </section>
  );
}

function Drafts({ rows }: { rows: { kind: Kind; id: string; name: string; created_at: number; lines: number }[] }) {
  return (
    <section>
      <h2 class="section-title">Drafts</h2>
      {rows.length === 0 && <p class="muted">All notes are committed.</p>}
      <ul class="drafts">
        {rows.map((row) => (
          <li key={row.id}>
            <a href={href(row.kind, row.id)}>
              <Icon name={row.kind} />
              <span>
                <b>{row.name || `Unnamed ${WORDS[row.kind].one}`}</b>
                <small>{plural(row.lines, "title")}, {showDay(row.created_at)}</small>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Places({ rows }: { rows: { id: string; name: string; copies: number }[] }) {
  const most = Math.max(1, ...rows.map((row) => row.copies));
  return (
    <section data-testid="today-stock">
      <h2 class="section-title">Stock by warehouse</h2>
      {rows.length === 0 && <p class="muted">No warehouses yet. <a href={href("warehouses")}>Add the first</a>.</p>}
      <ul class="bars">
        {rows.map((row) => (
          <li key={row.id}>
            <a href={href("warehouse", row.id)}>{row.name || "Unnamed"}</a>
            <span class="number">{showCount(row.copies)}</span>
            <i style={{ width: `${(Math.max(0, row.copies) / most) * 100}%` }} data-none={row.copies <= 0} />
          </li>
        ))}
      </ul>
    </section>
  );
}
