// The status page's script: asks for the server's status, and changes on the page what has changed, in place, so that
// focus, an opened list and a selection stay. Never holds the token but in this tab's own storage.
"use strict";

// How often the state is asked for, and how often the last hour, which is much more.
const REFRESH_MS = 2000;
const HISTORY_MS = 10000;
// Clients of one database that are listed; those furthest behind come first.
const CLIENTS_SHOWN = 100;
const KEY = "greenlight-operator-token";

const at = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const writers = {
  commits: ["writes", "good"], busy: ["writer is busy", "warn"], storage_full: ["storage is full", "bad"],
  read_only: ["storage is read-only", "bad"], failing: ["writer fails", "bad"],
};
const lights = { synced: "good", syncing: "good", connecting: "warn", stuck: "bad", incompatible: "bad", disconnected: "bad" };

function make(kind, names, text) {
  const element = document.createElement(kind);
  if (names) element.className = names;
  if (text !== undefined) element.textContent = text;
  return element;
}

// Writes only what differs: what is the same is not told again by a screen reader, nor loses a selection.
function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

function dress(element, names) {
  if (element.className !== names) element.className = names;
}

// Makes a parent's children those of a list, in its order: one for each key, made once and then only changed.
function keep(parent, list, keyOf, create, change) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of list) {
    const key = keyOf(item);
    let child = there.get(key);
    if (child) there.delete(key);
    else {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    change(child, item);
  }
  for (const child of there.values()) child.remove();
}

function age(sinceMs) {
  return duration(Math.max(0, Math.round((Date.now() - sinceMs) / 1000)));
}

function duration(seconds) {
  if (seconds < 120) return seconds + " s";
  if (seconds < 7200) return Math.round(seconds / 60) + " min";
  if (seconds < 172800) return Math.round(seconds / 3600) + " h";
  return Math.round(seconds / 86400) + " days";
}

function size(bytes) {
  if (bytes < 1024) return bytes + " B";
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return (value < 10 ? value.toFixed(1) : String(Math.round(value))) + "\u00a0" + units[power - 1];
}

// --- pictures of the last hour ---------------------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 360;
const HIGH = 36;

function picture() {
  const figure = make("figure"), caption = make("figcaption"), svg = document.createElementNS(SVG, "svg");
  caption.append(make("span"), make("b"));
  svg.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const names of ["wash", "line"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", names);
    svg.append(path);
  }
  figure.append(caption, svg);
  return figure;
}

// Draws values from the right edge, which is now, leftwards; an hour is as wide as the picture.
function draw(figure, { name, now, values, show }) {
  const [label, shown] = figure.querySelectorAll("span, b");
  say(label, name);
  say(shown, show(now));
  const svg = figure.querySelector("svg");
  svg.setAttribute("aria-label", values.length === 0 ? `${name}: no samples yet`
    : `${name} over the last hour: now ${show(now)}, least ${show(Math.min(...values))}, most ${show(Math.max(...values))}`);
  const most = Math.max(1, ...values);
  const points = values.map((value, index) => {
    const x = WIDE - (values.length - 1 - index);
    return `${x} ${(HIGH - 2 - (value / most) * (HIGH - 4)).toFixed(1)}`;
  });
  const line = points.length === 0 ? "" : "M" + points.join("L");
  const [wash, stroke] = svg.children;
  stroke.setAttribute("d", line);
  wash.setAttribute("d", line && `${line}L${WIDE} ${HIGH}L${WIDE - values.length + 1} ${HIGH}Z`);
}

const plain = (value) => number.format(value);

function pictures(parent, list) {
  keep(parent, list, (item) => item.name, picture, draw);
}

// --- one database ----------------------------------------------------------------------------------------------------

function section() {
  const element = make("section"), title = make("div", "title"), list = make("details"), scroll = make("div", "scroll");
  title.append(make("h2"), make("span", "state"));
  const table = make("table"), head = make("thead"), row = make("tr");
  for (const [name, names] of [["Client"], ["Light"], ["Behind", "number"], ["Pending", "number"], ["For", "number"], ["App"]]) {
    const cell = make("th", names, name);
    cell.scope = "col";
    row.append(cell);
  }
  head.append(row);
  table.append(head, make("tbody"));
  scroll.append(table);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  list.open = true;
  list.append(make("summary"), scroll, make("p", "soft more"));
  element.append(title, make("p", "soft note"), make("dl"), make("div", "pictures"), list);
  return element;
}

function word(entry) {
  if (entry.error) return ["can't be opened", "bad"];
  if (entry.idle) return ["closed, nobody uses it", "soft"];
  return writers[entry.writer] || [entry.writer, "bad"];
}

function backup(entry) {
  const last = entry.backup;
  if (!last) return ["not scheduled", ""];
  const made = last.last_ms === null ? "none yet" : `${age(last.last_ms)} ago, ${size(last.bytes)}`;
  if (last.error) return [`failed; last: ${made}`, "bad"];
  return last.overdue ? [`overdue; last: ${made}`, "warn"] : [made, ""];
}

/** A saw, as long as backups are made; a slope that only rises when they no longer are. */
function sinceBackup(entry, past) {
  if (!entry.backup?.last_ms) return [];
  const now = Math.max(0, Math.round((Date.now() - entry.backup.last_ms) / 1000));
  return [{ name: "Since backup", now, values: past?.backup_age_s ?? [], show: duration }];
}

function factsOf(entry) {
  if (entry.error || entry.idle) return [["Backup", ...backup(entry)]];
  const { meta, clients } = entry;
  const behind = clients.filter((client) => client.lag_versions > 0).length;
  return [
    ["Schema", meta.error || `${meta.schema_name} ${meta.schema_version}`, meta.error ? "bad" : ""],
    ["Head", meta.head === undefined ? "-" : plain(meta.head), ""],
    ["Clients behind", `${plain(behind)} of ${plain(clients.length)}`, ""],
    ["Queue", plain(entry.writer_queue), ""],
    ["Quarantine", entry.quarantined === null ? "-" : plain(entry.quarantined), entry.quarantined > 0 ? "warn" : ""],
    ["Held aside", entry.held_aside === null ? "-" : plain(entry.held_aside), ""],
    ["Backup", ...backup(entry)],
  ];
}

function facts(parent, list) {
  const create = () => {
    const pair = make("div");
    pair.append(make("dt"), make("dd"));
    return pair;
  };
  keep(parent, list, (item) => item[0], create, (pair, [name, value, names]) => {
    say(pair.children[0], name);
    say(pair.children[1], value);
    dress(pair.children[1], names);
  });
}

function clientRow() {
  const row = make("tr");
  for (const names of ["", "", "number", "number", "number", ""]) row.append(make("td", names));
  row.children[0].append(make("code"));
  row.children[1].append(make("span", "light"));
  return row;
}

function changeRow(row, client) {
  const cells = row.children;
  say(cells[0].firstChild, client.site_id.slice(0, 8));
  say(cells[1].firstChild, client.state || "shaking hands");
  dress(cells[1].firstChild, `light ${lights[client.state] || "warn"}`);
  say(cells[2], client.lag_versions === null ? "-" : plain(client.lag_versions));
  say(cells[3], client.pending === null ? "-" : plain(client.pending));
  say(cells[4], age(client.connected_since_ms));
  say(cells[5], client.agent || "-");
}

function clientsOf(list, name, clients) {
  const [summary, scroll, more] = list.children;
  list.hidden = clients.length === 0;
  say(summary, clients.length === 1 ? "1 client" : `${plain(clients.length)} clients`);
  scroll.setAttribute("aria-label", `Clients of ${name}`);
  const worst = (client) => (client.lag_versions ?? 0) + (client.pending ?? 0);
  const sorted = clients.map((client, place) => [client, place]).sort(([a, i], [b, j]) => worst(b) - worst(a) || i - j);
  const shown = sorted.slice(0, CLIENTS_SHOWN).map(([client]) => client);
  // A site has one socket, but for the moment in which a second takes over.
  keep(scroll.querySelector("tbody"), shown, (client) => client.site_id + client.connected_since_ms, clientRow, changeRow);
  more.hidden = clients.length <= CLIENTS_SHOWN;
  say(more, `and ${plain(clients.length - CLIENTS_SHOWN)} more, no further behind`);
}

function changeSection(element, [entry, past]) {
  const [title, note, list, drawn, clients] = element.children;
  const [state, names] = word(entry);
  say(title.children[0], entry.name);
  say(title.children[1], state);
  dress(title.children[1], names === "soft" ? "soft" : `state ${names}`);
  const connected = entry.clients || [];
  const empty = entry.error || entry.idle ? "" : "Nobody is connected.";
  say(note, entry.error || entry.backup?.error || (connected.length === 0 ? empty : ""));
  note.hidden = note.textContent === "";
  facts(list, factsOf(entry));
  const sum = (part) => connected.reduce((all, client) => all + (client[part] ?? 0), 0);
  const lag = Math.max(0, ...connected.map((client) => client.lag_versions ?? 0));
  const length = entry.bytes === undefined ? past?.bytes.at(-1) ?? 0 : entry.bytes + entry.log_bytes;
  drawn.hidden = Boolean(entry.error);
  pictures(drawn, [
    { name: "Clients", now: connected.length, values: past?.clients ?? [], show: plain },
    { name: "Furthest behind", now: lag, values: past?.lag ?? [], show: plain },
    { name: "Pending", now: sum("pending"), values: past?.pending ?? [], show: plain },
    { name: "Size", now: length, values: past?.bytes ?? [], show: size },
    ...sinceBackup(entry, past),
  ]);
  clientsOf(clients, entry.name, connected);
}

// --- the whole -------------------------------------------------------------------------------------------------------

let history = null;
let historyAt = -Infinity;
let answeredAt = Date.now();

function showAll(body) {
  if (body.history) [history, historyAt] = [body.history, Date.now()];
  say(at("about"), `version ${body.version}, up for ${age(body.started_ms)}, at most ${plain(body.max_sockets)} connections`);
  at("whole").hidden = false;
  const last = (values) => values?.at(-1) ?? 0;
  pictures(at("whole"), [
    { name: "Connections", now: body.sockets, values: history?.clients ?? [], show: plain },
    { name: "Commits in 10 s", now: last(history?.commits), values: history?.commits ?? [], show: plain },
    { name: "Refusals in 10 s", now: last(history?.refusals), values: history?.refusals ?? [], show: plain },
  ]);
  const list = body.databases.map((entry) => [entry, history?.databases[entry.name]]);
  const none = body.databases.length === 0;
  if (none) at("databases").replaceChildren(make("p", "soft", "No database was used yet."));
  else keep(at("databases"), list, ([entry]) => entry.name, section, changeSection);
}

function showNothing() {
  at("about").textContent = "";
  at("whole").hidden = true;
  at("databases").replaceChildren();
}

async function refresh() {
  const token = sessionStorage.getItem(KEY);
  const headers = { accept: "application/json" };
  if (token) headers.authorization = "Bearer " + token;
  const whole = Date.now() - historyAt >= HISTORY_MS;
  try {
    const answer = await fetch(whole ? "/status?history" : "/status", { headers, cache: "no-store" });
    const body = await answer.json();
    const denied = answer.status === 401 || answer.status === 403;
    at("sign-in").hidden = !denied;
    at("forget").hidden = denied || !token;
    answeredAt = Date.now();
    say(at("denied"), denied && (token || answer.status === 403) ? body.error.sentence : "");
    say(at("trouble"), answer.ok || denied ? "" : body.error.sentence);
    if (answer.ok) showAll(body);
    else showNothing();
  } catch {
    // What was last known stays, with its age.
    say(at("trouble"), "The server does not answer.");
    say(at("about"), `as of ${age(answeredAt)} ago`);
  }
}

at("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, at("token").value);
  historyAt = -Infinity;
  refresh();
});
at("forget").addEventListener("click", () => {
  sessionStorage.removeItem(KEY);
  showNothing();
  refresh();
});
setInterval(() => { if (!document.hidden && at("sign-in").hidden) refresh(); }, REFRESH_MS);
refresh();
