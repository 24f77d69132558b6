// One book: what it is, where it lies, what came and went.

import { useState } from "preact/hooks";
import { type Book, bookHistory, deleteBook, draftOf, oneBook, priceHistory } from "../data/books.ts";
import { plural, showDay, showDayAndTime, showMoney, showQuantity } from "../data/format.ts";
import { showIsbn } from "../data/isbn.ts";
import { setShelf, stockOfBook } from "../data/stock.ts";
import { BookForm } from "../ui/BookForm.tsx";
import { Cover } from "../ui/Cover.tsx";
import { ask, attempt, notify } from "../ui/feedback.tsx";
import { Icon } from "../ui/icons.tsx";
import { Empty, Head } from "../ui/parts.tsx";
import { go, href } from "../ui/router.ts";
import { useLive, useLiveRow, useShop } from "../ui/shop.ts";

/** Movements shown; older ones are in the notes. */
const HISTORY_LIMIT = 60;
const BACK = { href: href("books"), text: "Books" };

export function BookPage({ isbn }: { isbn: string }) {
  const book = useLiveRow(oneBook(isbn));
  if (book === undefined) return null;
  if (book === null) {
    return (
      <>
        <Head title="Not in the catalogue" back={BACK} />
        <Empty icon="books" title={`No book has the ISBN ${showIsbn(isbn)}`}>
          <p>It may have been deleted on another device.</p>
        </Empty>
      </>
    );
  }
  return <Shown book={book} />;
}

function Shown({ book }: { book: Book }) {
  const shop = useShop();
  const [editing, setEditing] = useState(false);
  const remove = async () => {
    const sure = await ask({
      title: `Delete “${book.title}”?`,
      body: "The book leaves the catalogue on every device. Notes keep the lines with its ISBN.",
      yes: "Delete book",
      danger: true,
    });
    if (!sure || !(await attempt(() => deleteBook(shop, book.isbn)))) return;
    notify(`Deleted “${book.title}”.`);
    go("books");
  };
  return (
    <article class="book-page">
      <Cover isbn={book.isbn} title={book.title} authors={book.authors} large />
      <div>
        <Head title={book.title || "Untitled"} sub={<Byline book={book} />} back={BACK}>
          <button class="button" type="button" onClick={() => setEditing(true)} data-testid="book-edit">
            <Icon name="edit" /> Edit
          </button>
          <button class="button" type="button" onClick={() => void remove()} data-testid="book-delete">
            <Icon name="trash" /> Delete
          </button>
        </Head>
        <p class="price" data-testid="book-price-shown">
          {showMoney(book.price_cents)}
          {book.out_of_print === 1 && <span class="tag">Out of print</span>}
        </p>
        <Facts book={book} />
      </div>
      <StockSection isbn={book.isbn} />
      <HistorySection isbn={book.isbn} />
      {editing && <BookForm before={draftOf(book)} start={draftOf(book)} close={() => setEditing(false)} />}
    </article>
  );
}

function Byline({ book }: { book: Book }) {
  return (
    <>
      {book.subtitle !== "" && <span class="subtitle">{book.subtitle}</span>}
      <span class="by" data-testid="book-by">{book.authors ?? "Unknown author"}</span>
    </>
  );
}

function Facts({ book }: { book: Book }) {
  const facts: [string, string | null][] = [
    ["ISBN", showIsbn(book.isbn)],
    ["Publisher", book.publisher],
    ["Published", book.year === null ? null : String(book.year)],
    ["Format", [book.format, book.pages === null ? "" : `${book.pages} pages`].filter((part) => part !== "").join(", ")],
    ["Category", book.category],
    ["Language", book.language],
    ["Remark", book.remark],
  ];
  return (
    <dl class="facts">
      {facts.filter(([, value]) => value !== null && value !== "").map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function StockSection({ isbn }: { isbn: string }) {
  const shop = useShop();
  const places = useLive(stockOfBook(isbn));
  if (places === undefined) return null;
  const total = places.reduce((sum, place) => sum + place.quantity, 0);
  return (
    <section class="stock-section" data-testid="book-stock">
      <h2>
        In stock <span class="aside">{plural(total, "copy", "copies")}</span>
      </h2>
      {places.length === 0 && <p class="muted">No copies anywhere. A committed delivery brings them in.</p>}
      <ul class="places">
        {places.map((place) => (
          <li key={place.warehouse_id} data-testid="book-stock-row" data-warehouse={place.warehouse_id}>
            <a href={href("warehouse", place.warehouse_id)}>{place.name ?? "Unknown warehouse"}</a>
            <input
              class="shelf"
              key={place.shelf}
              defaultValue={place.shelf ?? ""}
              placeholder="Shelf"
              aria-label={`Shelf in ${place.name ?? "this warehouse"}`}
              onChange={(event) => void attempt(() => setShelf(shop, place.warehouse_id, isbn, event.currentTarget.value.trim()))}
            />
            <b class={place.quantity < 0 ? "number short" : "number"}>{showQuantity(place.quantity)}</b>
          </li>
        ))}
      </ul>
    </section>
  );
}

function HistorySection({ isbn }: { isbn: string }) {
  const movements = useLive(bookHistory(isbn, HISTORY_LIMIT));
  const prices = useLive(priceHistory(isbn)) ?? [];
  if (movements === undefined) return null;
  return (
    <section class="history-section" data-testid="book-history">
      <h2>History</h2>
      {movements.length === 0 && prices.length === 0 && <p class="muted">Nothing has moved yet.</p>}
      <ul class="history">
        {prices.map((price) => (
          <li key={`p${price.changed_at}`}>
            <time>{showDay(price.changed_at)}</time>
            <span>Price from {showMoney(price.old_cents)} to {showMoney(price.new_cents)}</span>
          </li>
        ))}
        {movements.map((movement) => (
          <li key={`${movement.note_id}${movement.warehouse}`}>
            <time title={showDayAndTime(movement.committed_at)}>{showDay(movement.committed_at)}</time>
            <span>
              <a href={href(movement.direction, movement.note_id)}>{movement.note || "Unnamed note"}</a>
              <small>{movement.direction === "inbound" ? "into" : "from"} {movement.warehouse ?? "an unknown warehouse"}</small>
            </span>
            <b class="number">{movement.quantity > 0 ? "+" : ""}{showQuantity(movement.quantity)}</b>
          </li>
        ))}
      </ul>
    </section>
  );
}
