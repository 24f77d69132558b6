// The catalogue: every book, found as one types.

import { useEffect, useState } from "preact/hooks";
import { type BookRow, countBooks, EMPTY_BOOK, listBooks } from "../data/books.ts";
import { plural, showMoney, showQuantity } from "../data/format.ts";
import { showIsbn } from "../data/isbn.ts";
import { BookForm } from "../ui/BookForm.tsx";
import { Cover } from "../ui/Cover.tsx";
import { Icon } from "../ui/icons.tsx";
import { Empty, Head, Pager, Search } from "../ui/parts.tsx";
import { href, replaceQuery, useRoute } from "../ui/router.ts";
import { useLive, useLiveRow, useSettled } from "../ui/shop.ts";

/** Between the last keystroke and the search. */
const SETTLE_MS = 60;

export function Books() {
  const { query } = useRoute();
  const [search, setSearch] = useState(query.get("q") ?? "");
  const [page, setPage] = useState(0);
  const [adding, setAdding] = useState(false);
  const settled = useSettled(search, SETTLE_MS);
  useEffect(() => replaceQuery({ q: settled }), [settled]);
  const rows = useLive(listBooks(settled, page));
  const total = useLiveRow(countBooks(settled))?.n;
  const type = (text: string) => {
    setSearch(text);
    setPage(0);
  };
  return (
    <>
      <Head title="Books" sub={total === undefined ? " " : <span data-testid="book-count">{countText(total, settled)}</span>}>
        <button class="button primary" type="button" onClick={() => setAdding(true)} data-testid="book-add" data-new>
          <Icon name="plus" /> Add book
        </button>
      </Head>
      <Search value={search} set={type} placeholder="Title, author or ISBN" id="book-search" />
      {rows !== undefined && rows.length > 0 && <BookList rows={rows} />}
      {rows?.length === 0 && total === 0 && <NoBooks search={settled} add={() => setAdding(true)} />}
      {total !== undefined && <Pager page={page} total={total} set={setPage} />}
      {adding && <BookForm before={null} start={{ ...EMPTY_BOOK }} close={() => setAdding(false)} />}
    </>
  );
}

function countText(total: number, search: string): string {
  return search.trim() === "" ? `${plural(total, "title")} in the catalogue` : `${plural(total, "title")} found`;
}

function BookList({ rows }: { rows: BookRow[] }) {
  return (
    <ol class="list books" aria-label="Books">
      <li class="list-head" aria-hidden="true">
        <span>Title</span>
        <span>Publisher</span>
        <span>ISBN</span>
        <span class="number">In stock</span>
        <span class="number">Price</span>
      </li>
      {rows.map((row) => (
        <li key={row.isbn}>
          <a class="list-row" href={href("book", row.isbn)} data-testid="book-row" data-isbn={row.isbn}>
            <span class="work">
              <Cover isbn={row.isbn} />
              <span>
                <b>{row.title || "Untitled"}</b>
                <small>{row.authors ?? "Unknown author"}</small>
              </span>
            </span>
            <span class="muted wide-only">{row.publisher}</span>
            <span class="muted isbn">{showIsbn(row.isbn)}</span>
            <Stock quantity={row.stock} />
            <span class="number">{showMoney(row.price_cents)}</span>
          </a>
        </li>
      ))}
    </ol>
  );
}

/** A quantity, marked when there is none or, after two offline sales, less than none. */
export function Stock({ quantity }: { quantity: number }) {
  const style = quantity < 0 ? "number short" : quantity === 0 ? "number none" : "number";
  return (
    <span class={style}>
      {showQuantity(quantity)}
      <span class="unseen"> in stock</span>
    </span>
  );
}

function NoBooks({ search, add }: { search: string; add: () => void }) {
  if (search.trim() !== "") {
    return (
      <Empty icon="search" title={`Nothing matches “${search.trim()}”`}>
        <p>Try part of the title, an author’s surname, or the first digits of the ISBN.</p>
      </Empty>
    );
  }
  return (
    <Empty icon="books" title="The catalogue is empty">
      <p>Add the first book, or let the server’s shop arrive: it appears here by itself.</p>
      <button class="button primary" type="button" onClick={add}>
        <Icon name="plus" /> Add book
      </button>
    </Empty>
  );
}
