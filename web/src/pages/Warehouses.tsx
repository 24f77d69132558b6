// The places where books lie, each with what it holds now.

import { useState } from "preact/hooks";
import { plural, showCount, showSum } from "../data/format.ts";
import { type WarehouseTotal, warehouseTotals } from "../data/stock.ts";
import { Icon } from "../ui/icons.tsx";
import { Empty, Head } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { useLive } from "../ui/shop.ts";
import { WarehouseForm } from "../ui/WarehouseForm.tsx";

export function Warehouses() {
  const rows = useLive(warehouseTotals());
  const [adding, setAdding] = useState(false);
  const copies = rows?.reduce((sum, row) => sum + row.copies, 0) ?? 0;
  const most = Math.max(1, ...(rows ?? []).map((row) => row.copies));
  return (
    <>
      <Head title="Stock" sub={rows === undefined ? " " : `${plural(copies, "copy", "copies")} in ${plural(rows.length, "warehouse")}`}>
        <button class="button primary" type="button" onClick={() => setAdding(true)} data-testid="warehouse-add" data-new>
          <Icon name="plus" /> Add warehouse
        </button>
      </Head>
      {rows?.length === 0 && (
        <Empty icon="stock" title="No warehouses yet">
          <p>A warehouse is any place with its own stock: the shop, a back room, a market stall.</p>
          <button class="button primary" type="button" onClick={() => setAdding(true)}>
            <Icon name="plus" /> Add warehouse
          </button>
        </Empty>
      )}
      {rows !== undefined && rows.length > 0 && (
        <ol class="list warehouses" aria-label="Warehouses">
          <li class="list-head" aria-hidden="true">
            <span>Name</span>
            <span></span>
            <span class="number">Titles</span>
            <span class="number">Copies</span>
            <span class="number">At list price</span>
          </li>
          {rows.map((row) => (
            <li key={row.id}>
              <a class="list-row" href={href("warehouse", row.id)} data-testid="warehouse-row" data-warehouse={row.id}>
                <span class="note-name">
                  <b>{row.name || "Unnamed"}</b>
                  {about(row) !== "" && <small>{about(row)}</small>}
                </span>
                <span class="bar-cell" aria-hidden="true">
                  <i style={{ width: `${(Math.max(0, row.copies) / most) * 100}%` }} data-none={row.copies <= 0} />
                </span>
                <span class="number wide-only">{showCount(row.titles)}</span>
                <span class="number" data-testid="warehouse-copies">{showCount(row.copies)}</span>
                <span class="number wide-only">{showSum(row.worth_cents)}</span>
              </a>
            </li>
          ))}
        </ol>
      )}
      {adding && <WarehouseForm before={null} close={() => setAdding(false)} saved={(id) => go("warehouse", id)} />}
    </>
  );
}

function about(row: WarehouseTotal): string {
  return [row.address, row.discount_percent > 0 ? `${row.discount_percent} % off` : ""].filter((part) => part !== "").join(" · ");
}
