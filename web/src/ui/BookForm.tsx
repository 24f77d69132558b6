// The form for a book, new or known. It says what is wrong beside the field, before anything is written.

import { useState } from "preact/hooks";
import { addBook, type BookDraft, categories, editBook, FORMATS, publisherNames } from "../data/books.ts";
import { editMoney, parseMoney } from "../data/format.ts";
import { parseIsbn, showIsbn } from "../data/isbn.ts";
import { attempt, Dialog, notify } from "./feedback.tsx";
import { Field } from "./parts.tsx";
import { useLive, useShop } from "./shop.ts";

interface Props {
  /** The book as it was when the form opened; null for a new one. */
  before: BookDraft | null;
  start: BookDraft;
  close: () => void;
  saved?: (isbn: string) => void;
}

type Errors = Partial<Record<"isbn" | "title" | "price" | "year" | "pages", string>>;

/** Texts as typed, for the fields that hold something else. */
interface Typed {
  isbn: string;
  price: string;
  year: string;
  pages: string;
}

export function BookForm({ before, start, close, saved }: Props) {
  const shop = useShop();
  const [draft, setDraft] = useState(start);
  const [typed, setTyped] = useState<Typed>({
    isbn: start.isbn,
    price: start.price_cents === 0 && before === null ? "" : editMoney(start.price_cents),
    year: start.year === null ? "" : String(start.year),
    pages: start.pages === null ? "" : String(start.pages),
  });
  const [errors, setErrors] = useState<Errors>({});
  const groups = useLive(categories()) ?? [];
  const publishers = useLive(publisherNames()) ?? [];
  const text = (field: "title" | "subtitle" | "authors" | "publisher" | "language" | "remark" | "format" | "category_id") => ({
    value: draft[field],
    onInput: (event: { currentTarget: { value: string } }) => setDraft({ ...draft, [field]: event.currentTarget.value }),
  });
  const raw = (field: keyof Typed) => ({
    value: typed[field],
    onInput: (event: { currentTarget: { value: string } }) => setTyped({ ...typed, [field]: event.currentTarget.value }),
  });
  const save = async (event: Event) => {
    event.preventDefault();
    const { value, errors: found } = check(draft, typed, before !== null);
    setErrors(found);
    if (value === null) return;
    const now = Date.now();
    const worked = await attempt(() => (before === null ? addBook(shop, value, now) : editBook(shop, before, value, now)));
    if (!worked) return;
    notify(before === null ? `Added “${value.title}”.` : "Saved.");
    close();
    saved?.(value.isbn);
  };
  return (
    <Dialog title={before === null ? "Add book" : "Edit book"} close={close} id="book-form">
      <form class="form" onSubmit={(event) => void save(event)} noValidate>
        {before === null ? (
          <Field label="ISBN" error={errors.isbn} hint="10 or 13 digits, scanned or typed">
            {(id) => <input id={id} {...raw("isbn")} inputMode="numeric" autoFocus data-testid="book-isbn" />}
          </Field>
        ) : (
          <Field label="ISBN">{(id) => <input id={id} value={showIsbn(before.isbn)} disabled />}</Field>
        )}
        <Field label="Price" error={errors.price}>
          {(id) => <input id={id} {...raw("price")} inputMode="decimal" placeholder="0.00" data-testid="book-price" />}
        </Field>
        <Field label="Title" error={errors.title} wide>
          {(id) => <input id={id} {...text("title")} data-testid="book-title" />}
        </Field>
        <Field label="Subtitle" wide>{(id) => <input id={id} {...text("subtitle")} />}</Field>
        <Field label="Authors" hint="Separated by commas" wide>
          {(id) => <input id={id} {...text("authors")} data-testid="book-authors" />}
        </Field>
        <Field label="Publisher">
          {(id) => <input id={id} {...text("publisher")} list="publishers" data-testid="book-publisher" />}
        </Field>
        <Field label="Category">
          {(id) => (
            <select id={id} {...text("category_id")}>
              <option value="">None</option>
              {groups.map((group) => <option key={group.id} value={group.id}>{group.name}</option>)}
            </select>
          )}
        </Field>
        <Field label="Year" error={errors.year}>{(id) => <input id={id} {...raw("year")} inputMode="numeric" />}</Field>
        <Field label="Pages" error={errors.pages}>{(id) => <input id={id} {...raw("pages")} inputMode="numeric" />}</Field>
        <Field label="Format">
          {(id) => (
            <select id={id} {...text("format")}>
              {[...new Set([...FORMATS, draft.format])].map((format) => <option key={format} value={format}>{format}</option>)}
            </select>
          )}
        </Field>
        <Field label="Language">{(id) => <input id={id} {...text("language")} />}</Field>
        <Field label="Remark" wide>{(id) => <textarea id={id} rows={2} {...text("remark")} />}</Field>
        <label class="check wide">
          <input type="checkbox" checked={draft.out_of_print === 1} onChange={(event) => setDraft({ ...draft, out_of_print: event.currentTarget.checked ? 1 : 0 })} />
          Out of print
        </label>
        <datalist id="publishers">{publishers.map((row) => <option key={row.name} value={row.name} />)}</datalist>
        <div class="dialog-actions wide">
          <button class="button" type="button" onClick={close}>Cancel</button>
          <button class="button primary" type="submit" data-testid="book-save">{before === null ? "Add book" : "Save"}</button>
        </div>
      </form>
    </Dialog>
  );
}

/** The draft with the typed texts understood, or what is wrong with them. */
function check(draft: BookDraft, typed: Typed, known: boolean): { value: BookDraft | null; errors: Errors } {
  const errors: Errors = {};
  const isbn = known ? draft.isbn : parseIsbn(typed.isbn);
  if (isbn === null) errors.isbn = typed.isbn.trim() === "" ? "A book needs its ISBN." : "This is not an ISBN: a digit is wrong or missing.";
  const price = typed.price.trim() === "" ? 0 : parseMoney(typed.price);
  if (price === null) errors.price = "An amount like 12.50.";
  const title = draft.title.trim();
  if (title === "") errors.title = "A book needs a title.";
  const year = wholeNumber(typed.year, 1000, 2100);
  if (year === undefined) errors.year = "A year like 1998.";
  const pages = wholeNumber(typed.pages, 1, 99_999);
  if (pages === undefined) errors.pages = "A number of pages.";
  if (isbn === null || price === null || year === undefined || pages === undefined || title === "") return { value: null, errors };
  return { value: { ...draft, isbn, title, price_cents: price, year, pages }, errors };
}

/** The number, null for an empty text, undefined for anything else. */
function wholeNumber(text: string, least: number, most: number): number | null | undefined {
  if (text.trim() === "") return null;
  const number = Number(text);
  return Number.isInteger(number) && number >= least && number <= most ? number : undefined;
}
