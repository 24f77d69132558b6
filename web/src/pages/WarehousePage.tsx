// One warehouse and every title in it, live.

import { useState } from "preact/hooks";
import { plural, showMoney } from "../data/format.ts";
import { showIsbn } from "../data/isbn.ts";
import { countStockOf, deleteWarehouse, oneWarehouse, stockOf, type Warehouse } from "../data/stock.ts";
import { Cover } from "../ui/Cover.tsx";
import { ask, attempt, notify } from "../ui/feedback.tsx";
import { Icon } from "../ui/icons.tsx";
import { Empty, Head, Pager, Search } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { useLive, useLiveRow, useSettled, useShop } from "../ui/shop.ts";
import { WarehouseForm } from "../ui/WarehouseForm.tsx";
import { Stock } from "./Books.tsx";

const SETTLE_MS = 60;
const BACK = { href: href("warehouses"), text: "Stock" };

export function WarehousePage({ id }: { id: string }) {
  const warehouse = useLiveRow(oneWarehouse(id));
  if (warehouse === undefined) return null;
  if (warehouse === null) {
    return (
      <>
        <Head title="Not here" back={BACK} />
        <Empty icon="stock" title="This warehouse doesn’t exist">
          <p>It may have been deleted on another device.</p>
        </Empty>
      </>
    );
  }
  return <Shown warehouse={warehouse} />;
}

function Shown({ warehouse }: { warehouse: Warehouse }) {
  const shop = useShop();
  const [search, setSearch] = useState("");
  const [page, setPage] = useState(0);
  const [editing, setEditing] = useState(false);
  const settled = useSettled(search, SETTLE_MS);
  const rows = useLive(stockOf(warehouse.id, settled, page));
  const total = useLiveRow(countStockOf(warehouse.id, settled));
  const type = (text: string) => {
    setSearch(text);
    setPage(0);
  };
  const remove = async () => {
    if (!(await ask({ title: `Delete ${warehouse.name}?`, body: "Only a warehouse that no note refers to can go.", yes: "Delete warehouse", danger: true }))) return;
    if (!(await attempt(() => deleteWarehouse(shop, warehouse.id)))) return;
    notify(`Deleted ${warehouse.name}.`);
    go("warehouses");
  };
  const discount = warehouse.discount_percent > 0 ? ` · ${warehouse.discount_percent} % off` : "";
  const sub = total === undefined || total === null ? " " : `${plural(total.copies ?? 0, "copy", "copies")} of ${plural(total.n, "title")}${discount}`;
  return (
    <>
      <Head title={warehouse.name || "Unnamed"} sub={<span data-testid="warehouse-sum">{sub}</span>} back={BACK}>
        <button class="button" type="button" onClick={() => setEditing(true)} data-testid="warehouse-edit">
          <Icon name="edit" /> Edit
        </button>
        <button class="button" type="button" onClick={() => void remove()} data-testid="warehouse-delete">
          <Icon name="trash" /> Delete
        </button>
      </Head>
      <Search value={search} set={type} placeholder="Title or ISBN" id="stock-search" />
      {rows?.length === 0 && (
        <Empty icon="stock" title={settled.trim() === "" ? "Nothing in stock" : `Nothing matches “${settled.trim()}”`}>
          {settled.trim() === "" && <p>Books appear here when a delivery into this warehouse is committed.</p>}
        </Empty>
      )}
      {rows !== undefined && rows.length > 0 && (
        <ol class="list stock" aria-label="Stock">
          <li class="list-head" aria-hidden="true">
            <span>Title</span>
            <span>ISBN</span>
            <span>Shelf</span>
            <span class="number">Copies</span>
            <span class="number">Price</span>
          </li>
          {rows.map((row) => (
            <li key={row.isbn}>
              <a class="list-row" href={href("book", row.isbn)} data-testid="stock-row" data-isbn={row.isbn}>
                <span class="work">
                  <Cover isbn={row.isbn} />
                  <span>
                    <b>{row.title ?? "Not in the catalogue"}</b>
                    <small>{row.authors}</small>
                  </span>
                </span>
                <span class="muted isbn">{showIsbn(row.isbn)}</span>
                <span class="muted">{row.shelf}</span>
                <Stock quantity={row.quantity} />
                <span class="number wide-only">{row.price_cents === null ? "" : showMoney(row.price_cents)}</span>
              </a>
            </li>
          ))}
        </ol>
      )}
      {total !== undefined && total !== null && <Pager page={page} total={total.n} set={setPage} />}
      {editing && <WarehouseForm before={warehouse} close={() => setEditing(false)} />}
    </>
  );
}
