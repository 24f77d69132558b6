// The footer's look. Everything a page may want to change is a custom property or a part;
// light and dark follow the `color-scheme` that the page sets.

export const STYLES = /* css */ `
:host {
  --font: var(--sync-footer-font, 500 13px/1.3 system-ui, sans-serif);
  --surface: var(--sync-footer-background, light-dark(#ffffff, #191a20));
  --text: var(--sync-footer-color, light-dark(#1c1d24, #ececf1));
  --muted: var(--sync-footer-muted, light-dark(#5d606e, #a3a6b5));
  --line: var(--sync-footer-border, light-dark(#dcdde4, #34363f));
  --accent: var(--sync-footer-accent, light-dark(#2f43c8, #9dabff));
  --green: var(--sync-footer-green, light-dark(#14803c, #4ac26b));
  --yellow: var(--sync-footer-yellow, light-dark(#9a6700, #e3b341));
  --red: var(--sync-footer-red, light-dark(#c02626, #ff7b72));
  --radius: var(--sync-footer-radius, 10px);
  display: block;
  position: relative;
  font: var(--font);
  color: var(--text);
  background: var(--surface);
}
:host([hidden]) { display: none; }
*, *::before, *::after { box-sizing: border-box; }
button { font: inherit; color: inherit; cursor: pointer; }
button:disabled { cursor: default; opacity: .55; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }

/* The bar: light, label, state, and as much of the sentence as fits. */
.bar {
  display: flex; align-items: center; gap: 8px; width: 100%; min-height: 36px; padding: 6px 14px;
  border: 0; background: none; text-align: start;
}
.bar:hover { background: color-mix(in srgb, var(--text) 4%, transparent); }
.bar:focus-visible { outline-offset: -2px; }
.light { display: inline-grid; flex: none; width: 16px; height: 16px; color: var(--tone); }
.light svg { width: 16px; height: 16px; overflow: visible; }
.solid { fill: currentColor; stroke: none; }
.stroke { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.ink { stroke: var(--surface); }
.label { font-weight: 650; white-space: nowrap; font-variant-numeric: tabular-nums; }
.word { color: var(--tone); font-weight: 600; white-space: nowrap; }
.sentence { flex: 1; min-width: 0; color: var(--muted); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.caret { flex: none; margin-inline-start: auto; width: 10px; height: 10px; fill: none; stroke: var(--muted); stroke-width: 1.8; }
[aria-expanded="true"] .caret { transform: rotate(180deg); }

:host { --tone: var(--yellow); }
:host([data-status="synced"]), :host([data-status="syncing"]) { --tone: var(--green); }
:host([data-status="disconnected"]), :host([data-status="stuck"]), :host([data-status="incompatible"]) { --tone: var(--red); }
:host([data-status="connecting"]) .light { animation: pulse 1.4s ease-in-out infinite; }
@keyframes pulse { 50% { opacity: .35; transform: scale(.86); } }

/* A thin line along the top while something long is under way. */
.line { position: absolute; inset: 0 0 auto; height: 2px; overflow: hidden; }
.line > i { display: block; height: 100%; width: 100%; background: var(--tone); transform-origin: 0 50%; transition: transform .25s linear; }
:host(:dir(rtl)) .line > i { transform-origin: 100% 50%; }

/* The panel with the details. */
.panel {
  position: fixed; inset: auto; margin: 0; padding: 0; width: min(420px, calc(100vw - 16px));
  max-height: min(640px, calc(100dvh - 64px)); overflow: auto; overscroll-behavior: contain;
  color: var(--text); background: var(--surface); border: 1px solid var(--line); border-radius: var(--radius);
  box-shadow: 0 1px 2px rgb(0 0 0 / .08), 0 16px 48px -8px rgb(0 0 0 / .28);
}
.panel:focus { outline: none; }
.head { display: flex; gap: 12px; align-items: start; padding: 16px 12px 14px 16px; }
.head .light { margin-top: 1px; width: 20px; height: 20px; }
.head .light svg { width: 20px; height: 20px; }
.head > div { flex: 1; min-width: 0; }
h2 { margin: 0; font: inherit; font-size: 15px; font-weight: 650; }
h2 small { white-space: nowrap; font-size: 12px; font-weight: 450; color: var(--muted); margin-inline-start: 4px; }
h3 { margin: 0 0 8px; font: inherit; font-size: 12px; font-weight: 600; color: var(--muted); }
p { margin: 4px 0 0; font-weight: 400; line-height: 1.45; }
.quiet { display: inline-grid; place-items: center; width: 28px; height: 28px; padding: 0; border: 0; border-radius: 6px; background: none; color: var(--muted); }
.quiet:hover { background: color-mix(in srgb, var(--text) 8%, transparent); color: var(--text); }
.quiet svg { width: 12px; height: 12px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
section { padding: 12px 16px; border-top: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 6px 16px; margin: 0; font-weight: 400; }
dt { color: var(--muted); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
ul { list-style: none; margin: 4px 0 0; padding: 0; }
.tables li { display: flex; justify-content: space-between; gap: 16px; padding: 2px 0; color: var(--muted); font-weight: 400; font-variant-numeric: tabular-nums; }
.tables code { font: 12px/1.5 ui-monospace, Menlo, Consolas, monospace; color: var(--text); }
[role="progressbar"] { height: 6px; margin: 8px 0 6px; border-radius: 3px; overflow: hidden; background: color-mix(in srgb, var(--text) 12%, transparent); }
[role="progressbar"] > i { display: block; height: 100%; background: var(--accent); transform-origin: 0 50%; transition: transform .25s linear; }
.numbers { display: flex; flex-wrap: wrap; gap: 2px 12px; color: var(--muted); font-weight: 400; font-size: 12px; font-variant-numeric: tabular-nums; }
.numbers b { color: var(--text); font-weight: 600; }

.actions { display: flex; flex-wrap: wrap; gap: 8px; }
.action { padding: 6px 12px; border: 1px solid var(--line); border-radius: 7px; background: none; font-weight: 550; }
.action:hover:not(:disabled) { background: color-mix(in srgb, var(--text) 6%, transparent); }
.action.first { border-color: transparent; background: var(--accent); color: var(--surface); }
.action.first:hover:not(:disabled) { background: color-mix(in srgb, var(--accent) 88%, var(--text)); }
.action.danger { color: var(--red); }
.action.danger.first { color: var(--surface); background: var(--red); }
.action.small { padding: 3px 9px; font-size: 12px; }
.bundles li { padding: 8px 0; border-top: 1px solid var(--line); }
.bundles li:first-child { border-top: 0; padding-top: 0; }
.bundles li > p { margin: 0 0 6px; }
.bundles small { color: var(--muted); font-size: 12px; }
.note { margin: 0; padding: 10px 16px; border-top: 1px solid var(--line); background: color-mix(in srgb, var(--accent) 9%, transparent); }
.note.bad { background: color-mix(in srgb, var(--red) 11%, transparent); }
summary { color: var(--muted); font-size: 12px; font-weight: 600; cursor: pointer; border-radius: 4px; }
details[open] summary { margin-bottom: 8px; }
details dl { font-size: 12px; gap: 3px 14px; }
details dd { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 11.5px; }

dialog {
  width: min(440px, calc(100vw - 32px)); padding: 20px; border: 1px solid var(--line); border-radius: 12px;
  color: var(--text); background: var(--surface); box-shadow: 0 24px 64px -12px rgb(0 0 0 / .45);
}
dialog::backdrop { background: rgb(10 11 18 / .45); }
dialog h2 { font-size: 17px; margin-bottom: 8px; }
dialog p + p { margin-top: 10px; }
.aside li { display: block; }
.aside li + li { margin-top: 8px; }
.aside code { display: block; }
.choice { display: flex; gap: 9px; align-items: flex-start; margin-top: 14px; }
.choice input { margin: 2px 0 0; width: 16px; height: 16px; flex: none; }
dialog .actions { justify-content: flex-end; margin-top: 20px; }

.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
[hidden] { display: none !important; }
@media (max-width: 480px) { .bar .sentence { display: none; } .action { padding: 8px 12px; } }
@media (prefers-reduced-motion: reduce) {
  :host([data-status="connecting"]) .light { animation: none; }
  .line > i, [role="progressbar"] > i { transition: none; }
}
@media (forced-colors: active) { .light, .word { color: CanvasText; } .action { border-color: ButtonText; } }
@media print { :host { display: none; } }
`;
