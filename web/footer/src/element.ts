// <sync-footer>: the light at the bottom of the page, and the panel behind it.
// It shows the status it is given and never decides one. Everything is in its shadow root; what a test or a
// style sheet wants to know stands on the element as data-status, data-pending and data-reason.

import { make, say } from "./dom.js";
import { fraction, label, sentence, underWay } from "./facts.js";
import { icon } from "./icons.js";
import { Panel, type PanelHost } from "./panel.js";
import type { FooterClient, Status, StatusSource } from "./status.js";
import { STYLES } from "./styles.js";
import { ENGLISH, type Texts } from "./texts.js";

/** Ages in the open panel are renewed this often. */
const TICK_MS = 1000;
/** Between the bar and its panel, and between the panel and the window's edge, in pixels. */
const GAP_PX = 8;

// Where there is no page (server rendering) the class can still be named.
const Base: typeof HTMLElement = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

export class SyncFooter extends Base implements PanelHost {
  /** The shadow root, open so that tests and assistive tools can look in. */
  readonly root: ShadowRoot;
  #texts: Texts = ENGLISH;
  #client: FooterClient | null = null;
  #source: StatusSource | null = null;
  #panel: Panel | null = null;
  #tick: ReturnType<typeof setInterval> | undefined;
  #announced = "";
  readonly #light = make("span", { class: "light" });
  readonly #label = make("span", { class: "label", part: "label", "data-testid": "sync-label" });
  readonly #word = make("span", { class: "word", part: "state", "data-testid": "sync-state" });
  readonly #sentence = make("span", { class: "sentence", part: "sentence" });
  readonly #live = make("span", { class: "unseen", role: "status", "aria-live": "polite" });
  readonly #lineFill = make("i");
  readonly #line = make("div", { class: "line", "aria-hidden": "true", hidden: true }, this.#lineFill);
  readonly #bar = make(
    "button",
    { class: "bar", part: "bar", type: "button", "aria-expanded": "false", "aria-haspopup": "dialog", "data-testid": "sync-button", click: () => this.toggle() },
    this.#light,
    this.#label,
    this.#word,
    this.#sentence,
  );

  constructor() {
    super();
    this.root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLES);
    this.root.adoptedStyleSheets = [sheet];
    this.#bar.insertAdjacentHTML("beforeend", '<svg class="caret" viewBox="0 0 10 10" aria-hidden="true"><path d="M1.5 7 5 3.5 8.5 7"/></svg>');
    this.root.append(this.#line, this.#bar, this.#live);
    this.#render();
  }

  /** The client whose status is shown and whose remedies the buttons offer. */
  get client(): FooterClient | null {
    return this.#client;
  }
  set client(client: FooterClient | null) {
    this.#client = client;
    this.source = client?.status ?? null;
  }

  /** A status alone, to show it without buttons. */
  get source(): StatusSource | null {
    return this.#source;
  }
  set source(source: StatusSource | null) {
    this.#source?.removeEventListener("change", this.#changed);
    this.#source = source;
    if (this.isConnected) source?.addEventListener("change", this.#changed);
    this.#rebuildPanel();
    this.#render();
  }

  /** The words; give a part of them to translate the element. */
  get texts(): Texts {
    return this.#texts;
  }
  set texts(texts: Partial<Texts>) {
    this.#texts = { ...ENGLISH, ...texts };
    this.#rebuildPanel();
    this.#render();
  }

  /** Whether the panel is open. */
  get open(): boolean {
    return this.#panel?.element.matches(":popover-open") ?? false;
  }

  connectedCallback(): void {
    this.#source?.addEventListener("change", this.#changed);
    this.#render();
  }

  disconnectedCallback(): void {
    this.close();
    this.#source?.removeEventListener("change", this.#changed);
  }

  toggle(): void {
    if (this.open) this.close();
    else this.show();
  }

  /** Opens the panel and moves the focus into it. */
  show(): void {
    if (this.#source === null || this.open) return;
    this.#panel ??= this.#makePanel();
    const panel = this.#panel;
    panel.quiet();
    panel.element.showPopover();
    this.#bar.setAttribute("aria-expanded", "true");
    this.#render();
    this.#place();
    panel.element.focus();
    void panel.refresh();
    this.#tick = setInterval(() => this.#render(), TICK_MS);
    document.addEventListener("pointerdown", this.#outside);
    addEventListener("resize", this.#place);
  }

  /** Closes the panel; the focus returns to the bar if it was inside. */
  close(): void {
    if (!this.open) return;
    const focusWasInside = this.root.activeElement !== null;
    this.#panel?.element.hidePopover();
    this.#bar.setAttribute("aria-expanded", "false");
    clearInterval(this.#tick);
    document.removeEventListener("pointerdown", this.#outside);
    removeEventListener("resize", this.#place);
    if (focusWasInside) this.#bar.focus();
  }

  /** Dispatches `sign-in`, which the app answers in its own way. */
  signIn(): void {
    this.dispatchEvent(new CustomEvent("sign-in", { bubbles: true, composed: true }));
  }

  #makePanel(): Panel {
    const panel = new Panel(this);
    panel.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
    this.#bar.setAttribute("aria-controls", "panel");
    this.root.append(panel.element);
    return panel;
  }

  #rebuildPanel(): void {
    this.close();
    this.#panel?.element.remove();
    this.#panel = null;
  }

  #changed = (): void => this.#render();

  #outside = (event: PointerEvent): void => {
    if (!event.composedPath().includes(this)) this.close();
  };

  /** Above the bar where there is room, else below; never beyond the window's edge. */
  #place = (): void => {
    const panel = this.#panel?.element;
    if (panel === undefined) return;
    const bar = this.getBoundingClientRect();
    const left = Math.min(Math.max(bar.left + GAP_PX, GAP_PX), innerWidth - panel.offsetWidth - GAP_PX);
    panel.style.left = `${Math.max(GAP_PX, left)}px`;
    const above = bar.top > innerHeight - bar.bottom;
    panel.style.bottom = above ? `${innerHeight - bar.top + GAP_PX}px` : "auto";
    panel.style.top = above ? "auto" : `${bar.bottom + GAP_PX}px`;
    panel.style.maxHeight = `${(above ? bar.top : innerHeight - bar.bottom) - 2 * GAP_PX}px`;
  };

  #render(): void {
    const status = this.#source?.current ?? null;
    const before = this.dataset["status"];
    say(this.#label, label(status, this.#texts));
    this.#bar.disabled = status === null;
    if (status === null) return this.#renderNothing();
    this.dataset["status"] = status.state;
    this.dataset["pending"] = String(status.pending.changes);
    this.dataset["reason"] = status.reason;
    if (before !== status.state) this.#light.replaceChildren(icon(status.state));
    say(this.#word, this.#texts.states[status.state]);
    say(this.#sentence, sentence(status, this.#texts));
    this.#showLine(status);
    this.#announce(status);
    if (this.open) this.#panel?.update(status, Date.now());
  }

  #renderNothing(): void {
    for (const name of ["status", "pending", "reason"]) delete this.dataset[name];
    this.#light.replaceChildren(icon("connecting"));
    say(this.#word, "");
    say(this.#sentence, "");
    this.#line.hidden = true;
  }

  #showLine(status: Status): void {
    const progress = underWay(status);
    this.#line.hidden = progress === null;
    if (progress !== null) this.#lineFill.style.transform = `scaleX(${fraction(progress)})`;
  }

  /** Reads out a new state, and a new reason for a bad one. Not counts, the steps of connecting, nor the way between the
   *  two greens: else it would never be silent. */
  #announce(status: Status): void {
    const green = status.state === "synced" || status.state === "syncing";
    const key = green ? "green" : status.state === "connecting" ? "connecting" : `${status.state} ${status.reason}`;
    if (key === this.#announced) return;
    const first = this.#announced === "";
    this.#announced = key;
    if (first && green) return;
    say(this.#live, `${this.#texts.label}: ${this.#texts.states[status.state]}. ${sentence(status, this.#texts)}`);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    "sync-footer": SyncFooter;
  }
}
