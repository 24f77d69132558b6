// Small parts that several pages share: heads, searches, pagers, fields, empty states.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { showCount } from "../data/format.ts";
import { PAGE_SIZE } from "../data/query.ts";
import { Icon, type IconName } from "./icons.tsx";

/** The page's title, also for the window. The focus moves here on arrival, so that a screen reader starts at the top. */
export function Head(props: { title: string; sub?: ComponentChildren; back?: { href: string; text: string }; children?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${props.title} · Colophon`;
  }, [props.title]);
  useEffect(() => {
    if (document.activeElement === null || document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <header class="head">
      {props.back !== undefined && (
        <a class="back" href={props.back.href}>
          <Icon name="back" /> {props.back.text}
        </a>
      )}
      <div class="head-row">
        <div class="head-text">
          <h1 ref={heading} tabIndex={-1}>
            {props.title}
          </h1>
          {props.sub !== undefined && <p>{props.sub}</p>}
        </div>
        {props.children !== undefined && <div class="head-actions">{props.children}</div>}
      </div>
    </header>
  );
}

/** A search field; "/" jumps to it from anywhere on the page. */
export function Search(props: { value: string; set: (text: string) => void; placeholder: string; id: string }) {
  return (
    <label class="search">
      <Icon name="search" />
      <span class="unseen">{props.placeholder}</span>
      <input
        type="search"
        value={props.value}
        placeholder={props.placeholder}
        autocomplete="off"
        spellcheck={false}
        data-testid={props.id}
        data-search
        onInput={(event) => props.set(event.currentTarget.value)}
      />
      <kbd>/</kbd>
    </label>
  );
}

/** From one page of a list to the next. Nothing where all fits. */
export function Pager(props: { page: number; total: number; set: (page: number) => void }) {
  const last = Math.max(0, Math.ceil(props.total / PAGE_SIZE) - 1);
  if (last === 0) return null;
  const from = props.page * PAGE_SIZE + 1;
  const to = Math.min(props.total, from + PAGE_SIZE - 1);
  const turn = (page: number) => {
    props.set(page);
    scrollTo({ top: 0 });
  };
  return (
    <nav class="pager" aria-label="Pages">
      <button class="button" type="button" disabled={props.page === 0} onClick={() => turn(props.page - 1)} data-testid="page-back">
        <Icon name="back" /> Back
      </button>
      <span>
        {showCount(from)} to {showCount(to)} of {showCount(props.total)}
      </span>
      <button class="button" type="button" disabled={props.page >= last} onClick={() => turn(props.page + 1)} data-testid="page-next">
        Next <Icon name="next" />
      </button>
    </nav>
  );
}

/** What stands where a list would, and what to do about it. */
export function Empty(props: { title: string; children?: ComponentChildren; icon: IconName }) {
  return (
    <div class="empty" data-testid="empty">
      <Icon name={props.icon} />
      <h2>{props.title}</h2>
      {props.children}
    </div>
  );
}

/** A labelled field of a form, with what is wrong with it below. */
export function Field(props: { label: string; hint?: string | undefined; error?: string | undefined; wide?: boolean; children: (id: string) => ComponentChildren }) {
  const id = useId();
  return (
    <div class={props.wide === true ? "field wide" : "field"}>
      <label for={id}>{props.label}</label>
      {props.children(id)}
      {props.error !== undefined ? (
        <p class="field-error" role="alert">
          {props.error}
        </p>
      ) : (
        props.hint !== undefined && <p class="field-hint">{props.hint}</p>
      )}
    </div>
  );
}
