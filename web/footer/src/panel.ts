// The panel behind the light: what is going on, for how long, what waits, and what can be done about it.
// It asks before anything that can't be undone, and never touches the client on its own.

import { ask, confirm } from "./confirm.js";
import { make, save, say } from "./dom.js";
import { diagnostics, type Fact, fraction, numbers, planned, refused, sentence, summary, underWay } from "./facts.js";
import { bytes, clock, count } from "./format.js";
import { icon } from "./icons.js";
import type { BundleInfo, FooterClient, Remedy, SetAside, State, Status } from "./status.js";
import { fill, type Texts } from "./texts.js";

/** What the panel needs of the element around it. */
export interface PanelHost {
  readonly root: ShadowRoot;
  readonly texts: Texts;
  readonly client: FooterClient | null;
  close(): void;
  /** Tells the app that the person wants to sign in. */
  signIn(): void;
}

type Action = { id: string; text: string; remedies: Remedy[]; danger?: boolean; run: () => Promise<void> | void; shown: (s: Status) => boolean };

/** How many rows that could not be applied are listed; the rest is in the download. */
const ASIDE_SHOWN = 5;
/** Named limit: a blob for download is named by database and minute, and no longer than this. */
const FILE_NAME_LIMIT = 80;

/** Reasons to be stuck with nothing to download from: no server that answers, no way in, or no database here to drop. */
const NO_DOWNLOAD = ["no_welcome", "closes_early", "unauthorized", "unknown_database", "server_unavailable", "leader_frozen", "worker_broken"];

/** Not where it would leave a person with an empty database. */
function mayNuke(status: Status): boolean {
  const { state, reason, remedy } = status;
  const mayHelp = state === "synced" || state === "syncing" || (state === "stuck" && !NO_DOWNLOAD.includes(reason));
  return remedy === "nuke_and_resync" || mayHelp;
}

/** Not where a connection is there already, and something else is wrong. */
function mayRetry({ state, reason }: Status): boolean {
  return state !== "synced" && state !== "syncing" && reason !== "paused" && reason !== "quarantined";
}

export class Panel {
  readonly element: HTMLElement;
  readonly #host: PanelHost;
  readonly #light = make("span", { class: "light" });
  readonly #title = make("span", { id: "title" });
  readonly #since = make("small");
  readonly #sentence = make("p", { "data-testid": "sync-sentence" });
  readonly #facts = make("dl", { "data-testid": "sync-facts" });
  readonly #tables = make("ul", { class: "tables", "data-testid": "sync-tables" });
  readonly #progress = make("section", { "data-testid": "sync-progress" });
  readonly #actions = make("div", { class: "actions" });
  readonly #aside = make("section", { hidden: true, "data-testid": "sync-aside" });
  readonly #bundles = make("section", { "data-testid": "sync-bundles" });
  readonly #note = make("p", { class: "note", hidden: true, "data-testid": "sync-note" });
  readonly #diagnostics = make("dl");
  #state: State | null = null;
  #pending = -1;
  #quarantined = 0;
  #busy = false;
  #actionKey = "";
  #bundleKey = "";

  constructor(host: PanelHost) {
    this.#host = host;
    const { texts } = host;
    const close = make("button", { class: "quiet", "aria-label": texts.close, "data-testid": "sync-close", click: () => host.close() });
    close.innerHTML = '<svg viewBox="0 0 12 12" aria-hidden="true"><path d="M2 2l8 8M10 2l-8 8"/></svg>';
    this.element = make(
      "div",
      { class: "panel", part: "panel", id: "panel", popover: "manual", role: "dialog", tabindex: "-1", "aria-labelledby": "title", "data-testid": "sync-panel" },
      make("div", { class: "head" }, this.#light, make("div", {}, make("h2", {}, this.#title, " ", this.#since), this.#sentence), close),
      this.#note,
      this.#progress,
      make("section", {}, this.#facts, this.#tables),
      make("section", {}, this.#actions),
      this.#aside,
      this.#bundles,
      make("section", {}, make("details", {}, make("summary", {}, texts.diagnostics), this.#diagnostics)),
    );
    this.#bundles.hidden = true;
  }

  /** Shows this status. Called on every change, and each second while open. */
  update(status: Status, now: number): void {
    const { texts } = this.#host;
    if (this.#state !== status.state) this.#light.replaceChildren(icon(status.state));
    this.#state = status.state;
    say(this.#title, `${texts.label}: ${texts.states[status.state]}`);
    say(this.#since, fill(texts.since, { time: clock(status.since, now) }));
    say(this.#sentence, sentence(status, texts));
    list(this.#facts, summary(status, now, texts));
    list(this.#diagnostics, diagnostics(status, now));
    if (status.diagnostics.memory && this.#note.hidden) this.#tell(texts.memory, true);
    this.#showProgress(status);
    this.#showActions(status);
    if (this.#pending !== status.pending.changes || this.#quarantined !== status.quarantined) {
      this.#pending = status.pending.changes;
      this.#quarantined = status.quarantined;
      void this.refresh();
    }
  }

  /** Asks the client for what the status doesn't carry: pending by table, and the saved bundles. */
  async refresh(): Promise<void> {
    const { client } = this.#host;
    if (client === null || !this.element.isConnected) return;
    try {
      const aside = this.#quarantined > 0 ? await client.quarantined() : [];
      const [tables, bundles] = await Promise.all([client.pendingByTable(), client.bundles()]);
      this.#showAside(aside);
      this.#tables.replaceChildren(
        ...tables.map((t) => make("li", {}, make("code", {}, t.table), make("span", {}, count(t.changes)))),
      );
      this.#showBundles(client, bundles);
    } catch (error) {
      this.#fail(error);
    }
  }

  #showAside(aside: SetAside[]): void {
    const { texts } = this.#host;
    this.#aside.hidden = aside.length === 0;
    const rows = refused(aside, texts);
    const shown = rows.slice(0, ASIDE_SHOWN).map(({ where, what }) => make("li", {}, make("code", {}, where), make("span", {}, what)));
    const more = rows.length > ASIDE_SHOWN ? [make("p", {}, fill(texts.asideMore, { n: count(rows.length - ASIDE_SHOWN) }))] : [];
    this.#aside.replaceChildren(make("h3", {}, texts.asideTitle), make("ul", { class: "aside" }, ...shown), ...more);
  }

  /** Forgets what was said about the last action. */
  quiet(): void {
    this.#note.hidden = true;
  }

  #showProgress(status: Status): void {
    const progress = underWay(status);
    this.#progress.hidden = progress === null;
    if (progress === null) return;
    const { texts } = this.#host;
    const title = progress.direction === "down" ? texts.downloading : texts.sending;
    const percent = Math.round(fraction(progress) * 100);
    const fillBar = make("i");
    fillBar.style.transform = `scaleX(${fraction(progress)})`;
    this.#progress.replaceChildren(
      make("h3", {}, `${title}, ${percent} %`),
      make("div", { role: "progressbar", "aria-label": title, "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(percent) }, fillBar),
      make("div", { class: "numbers" }, ...numbers(progress).map((text) => make("span", {}, text))),
    );
  }

  #actionList(): Action[] {
    const { texts, client } = this.#host;
    if (client === null) return [];
    const paused = (s: Status) => s.reason === "paused";
    return [
      { id: "sync-sign-in", text: texts.signIn, remedies: ["sign_in"], shown: (s) => s.remedy === "sign_in", run: () => this.#host.signIn() },
      { id: "sync-reload", text: texts.reload, remedies: ["reload", "update_app"], shown: (s) => s.remedy === "reload" || s.remedy === "update_app", run: () => location.reload() },
      { id: "sync-retry", text: texts.retry, remedies: ["retry"], shown: mayRetry, run: () => client.retry() },
      { id: "sync-resume", text: texts.resume, remedies: ["resume"], shown: paused, run: () => client.resume() },
      { id: "sync-pause", text: texts.pause, remedies: [], shown: (s) => !paused(s), run: () => client.pause() },
      { id: "sync-aside-retry", text: texts.asideRetry, remedies: ["review_quarantine"], shown: (s) => s.quarantined > 0, run: () => this.#retryAside(client) },
      { id: "sync-aside-download", text: texts.asideDownload, remedies: [], shown: (s) => s.quarantined > 0, run: () => this.#downloadAside(client) },
      { id: "sync-aside-leave", text: texts.asideLeave, remedies: [], danger: true, shown: (s) => s.quarantined > 0, run: () => this.#leaveAside(client) },
      { id: "sync-download", text: texts.download, remedies: [], shown: (s) => s.pending.changes > 0, run: () => this.#download(client) },
      { id: "sync-nuke", text: texts.nuke, remedies: ["nuke_and_resync"], danger: true, shown: mayNuke, run: () => this.#nuke(client) },
    ];
  }

  /** Rebuilds the buttons only when another set is due, so that the focus stays where it is. */
  #showActions(status: Status): void {
    const actions = this.#actionList().filter((action) => action.shown(status));
    const isFirst = (action: Action) => action.remedies.includes(status.remedy);
    actions.sort((a, b) => Number(isFirst(b)) - Number(isFirst(a)));
    const key = `${this.#busy} ${actions.map((action) => `${action.id}${isFirst(action)}`).join()}`;
    if (key === this.#actionKey) return;
    this.#actionKey = key;
    const focused = (this.#host.root.activeElement as HTMLElement | null)?.dataset["testid"];
    this.#actions.replaceChildren(...actions.map((action) => this.#button(action, isFirst(action))));
    this.#actions.parentElement!.hidden = actions.length === 0;
    if (focused !== undefined) this.#actions.querySelector<HTMLElement>(`[data-testid="${focused}"]`)?.focus();
  }

  #button(action: Action, first = false): HTMLElement {
    const style = `action${first ? " first" : ""}${action.danger ? " danger" : ""}`;
    const run = () => void this.#run(action.run);
    return make("button", { class: style, part: "action", "data-testid": action.id, disabled: this.#busy, click: run }, action.text);
  }

  /** Rebuilds the list only when it has changed, and leaves the focus where it is: a key that is pressed meanwhile counts. */
  #showBundles(client: FooterClient, bundles: BundleInfo[]): void {
    const { texts, root } = this.#host;
    const told = (bundle: BundleInfo) => [clock(bundle.createdAt, Date.now()), summarise(bundle, texts)] as const;
    const key = JSON.stringify(bundles.map((bundle) => [bundle.id, ...told(bundle)]));
    if (key === this.#bundleKey) return;
    this.#bundleKey = key;
    const focused = this.#bundles.contains(root.activeElement) ? (root.activeElement as HTMLElement) : null;
    const focusedBundle = focused?.closest<HTMLElement>("[data-bundle]")?.dataset["bundle"];
    this.#bundles.hidden = bundles.length === 0;
    const small = (id: string, text: string, run: () => Promise<void>) =>
      make("button", { class: "action small", "data-testid": id, click: () => void this.#run(run) }, text);
    const row = (bundle: BundleInfo) =>
      make(
        "li",
        { "data-testid": "sync-bundle", "data-bundle": bundle.id },
        make("p", {}, told(bundle)[0], " ", make("small", {}, told(bundle)[1])),
        make(
          "div",
          { class: "actions" },
          small("sync-bundle-download", texts.bundleDownload, async () => save(await client.readBundle(bundle.id), fileName(client.name, "bundle"))),
          small("sync-bundle-replay", texts.bundleReplay, () => this.#replay(client, bundle)),
          small("sync-bundle-discard", texts.bundleDiscard, () => this.#discard(client, bundle)),
        ),
      );
    this.#bundles.replaceChildren(make("h3", {}, texts.bundles), make("ul", { class: "bundles" }, ...bundles.map(row)));
    if (focused === null) return;
    const again = `[data-bundle="${CSS.escape(focusedBundle ?? "")}"] [data-testid="${focused.dataset["testid"]}"]`;
    // A bundle that is gone took its buttons along: the panel is where the person goes on from.
    (this.#bundles.querySelector<HTMLElement>(again) ?? this.element).focus();
  }

  async #download(client: FooterClient): Promise<void> {
    save(await client.exportPending(), fileName(client.name, "pending"));
  }

  async #retryAside(client: FooterClient): Promise<void> {
    const { applied } = await client.retryQuarantined();
    this.#tell(fill(this.#host.texts.asideRetried, { n: count(applied) }));
  }

  async #downloadAside(client: FooterClient): Promise<void> {
    const text = JSON.stringify(await client.quarantined(), null, 2);
    save(new Blob([text], { type: "application/json" }), fileName(client.name, "set-aside").replace(/jsonl$/, "json"));
  }

  async #leaveAside(client: FooterClient): Promise<void> {
    const { texts, root } = this.#host;
    const aside = await client.quarantined();
    const body = fill(texts.asideLeaveBody, { n: count(aside.length) });
    const question = { title: texts.asideLeave.replace("…", "?"), paragraphs: [body, texts.asideLeaveKept], yes: texts.asideLeaveConfirm, no: texts.cancel, id: "sync-leave-dialog" };
    if (!(await confirm(root, question))) return;
    const { leftOut } = await client.leaveOut(aside.map((change) => change.id));
    this.#tell(fill(texts.asideLeft, { n: count(leftOut) }));
  }

  async #nuke(client: FooterClient): Promise<void> {
    const { texts, root } = this.#host;
    const question = { title: texts.nukeTitle, paragraphs: [texts.nukeBody, texts.nukeKept], yes: texts.nukeConfirm, no: texts.cancel, id: "sync-nuke-dialog" };
    if (!(await confirm(root, question))) return;
    await client.nukeAndResync();
    this.#tell(texts.nukeDone);
  }

  async #replay(client: FooterClient, bundle: BundleInfo): Promise<void> {
    const { texts, root } = this.#host;
    const [pending, all] = [await client.previewBundle(bundle.id), await client.previewBundle(bundle.id, { rows: "all" })];
    const paragraphs = [texts.bundleReplayBody, ...planned(pending, texts)];
    const choice = all.rows > pending.rows ? `${texts.bundleReplayAll} ${planned(all, texts).join(" ")}` : undefined;
    const answer = await ask(root, { title: `${texts.bundleReplay}?`, paragraphs, choice, yes: texts.bundleReplay, no: texts.cancel, id: "sync-replay-dialog" });
    if (answer === null) return;
    const { written, refused = 0 } = await client.replayBundle(bundle.id, { rows: answer.chosen ? "all" : "unacknowledged" });
    const told = fill(texts.bundleReplayed, { n: count(written) });
    if (refused > 0) this.#tell(`${told} ${fill(texts.bundleRefused, { n: count(refused) })}`, true);
    else this.#tell(told);
  }

  async #discard(client: FooterClient, bundle: BundleInfo): Promise<void> {
    const { texts, root } = this.#host;
    const body = fill(texts.bundleDiscardBody, { changes: count(bundle.changes) });
    if (!(await confirm(root, { title: `${texts.bundleDiscard}?`, paragraphs: [body], yes: texts.bundleDiscard, no: texts.cancel, id: "sync-discard-dialog" }))) return;
    await client.discardBundle(bundle.id);
  }

  /** Runs one action at a time, says when it failed, and looks again at what changed. */
  async #run(action: () => Promise<void> | void): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    this.quiet();
    try {
      await action();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#busy = false;
      await this.refresh();
    }
  }

  #fail(error: unknown): void {
    this.#tell(fill(this.#host.texts.failed, { error: error instanceof Error ? error.message : String(error) }), true);
  }

  #tell(text: string, bad = false): void {
    this.#note.setAttribute("role", bad ? "alert" : "status");
    this.#note.classList.toggle("bad", bad);
    say(this.#note, text);
    this.#note.hidden = false;
  }
}

function list(target: HTMLElement, facts: Fact[]): void {
  const text = JSON.stringify(facts);
  if (target.dataset["facts"] === text) return;
  target.dataset["facts"] = text;
  target.replaceChildren(...facts.flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]));
}

function summarise(bundle: BundleInfo, texts: Texts): string {
  return fill(texts.bundleSummary, { changes: count(bundle.changes), bytes: bytes(bundle.bytes) });
}

function fileName(database: string, what: string): string {
  const minute = new Date().toISOString().slice(0, 16).replace(/[:T]/g, "-");
  return `${database}-${what}-${minute}`.slice(0, FILE_NAME_LIMIT);
}
