// The package's worker, that stops for good at one named point (`?at=POINT`) and says so on the channel "stopping". It
// stops in the middle of a call, so nothing behind the point is carried out; the test then ends its page. Points are
// those of nuke.test.mjs and of handover.test.mjs. "broken" is another kind: there the drop fails, once in a profile.

import { Engine } from "/dist/greenlight.js";

// What arrives before the worker has loaded is kept for it.
const early = [];
self.onmessage = (event) => early.push(event);

const at = new URL(self.location.href).searchParams.get("at");
const channel = new BroadcastChannel("stopping");

/** Stops where waiting is possible. */
async function reach(point) {
  if (point !== at) return;
  channel.postMessage(point);
  await new Promise(() => {});
}

/** Stops in the middle of a synchronous call. */
function reachNow(point) {
  if (point !== at) return;
  channel.postMessage(point);
  for (;;);
}

function wrap(prototype, name, around) {
  const original = prototype[name];
  prototype[name] = function (...args) {
    return around.call(this, (...given) => original.apply(this, given.length > 0 ? given : args), args);
  };
}

const names = new WeakMap();
/** What is under way in the database's files, and how many operations on them that has taken. */
let work = null;
let operations = 0;

/** Counts the operations of a piece of work: `at` may name one of them. */
function counted(name, go) {
  work = name;
  operations = 0;
  try {
    return go();
  } finally {
    channel.postMessage(`${name} took ${operations}`);
    work = null;
  }
}

wrap(FileSystemDirectoryHandle.prototype, "getFileHandle", async function (go, [name, options]) {
  const handle = await go();
  names.set(handle, name);
  if (options?.create && name.endsWith(".part")) await reach("begun");
  if (options?.create && name.startsWith("nuke-under-way")) await reach("marked");
  if (options?.create && name.startsWith("nuke-done")) await reach("recorded");
  return handle;
});
wrap(FileSystemDirectoryHandle.prototype, "removeEntry", async function (go, [name]) {
  await go();
  if (name.startsWith("nuke-under-way")) await reach("finished");
});
wrap(FileSystemFileHandle.prototype, "createSyncAccessHandle", async function (go) {
  const access = await go();
  names.set(access, names.get(this) ?? "");
  return access;
});
wrap(FileSystemFileHandle.prototype, "move", async function (go) {
  await reach("flushed");
  await go();
  await reach("complete");
});

let pieces = 0;
for (const name of ["write", "truncate", "flush", "read"]) {
  wrap(FileSystemSyncAccessHandle.prototype, name, function (go) {
    if ((names.get(this) ?? "").endsWith(".part")) {
      const result = go();
      if (name === "write" && ++pieces === 2) reachNow("half");
      return result;
    }
    if (work !== null) reachNow(`${work} ${operations++}`);
    return go();
  });
}
wrap(Engine.prototype, "bundle_next", function (go) {
  const lines = go();
  // The database is closed while its file is read.
  if (lines !== undefined && new TextDecoder().decode(lines.subarray(0, 12)) === '{"database":') reachNow("file");
  return lines;
});

const root = await navigator.storage.getDirectory();
const brokenBefore = await root.getFileHandle("broken-before").then(() => true, () => false);
if (at === "broken" && !brokenBefore) await root.getFileHandle("broken-before", { create: true });
wrap(Engine.prototype, "start_over", function (go) {
  if (at === "broken" && !brokenBefore) {
    // The database is closed by then, as when its files can't be cleared.
    this.close();
    throw new Error("the files can't be dropped");
  }
  counted("drop", go);
  reachNow("opened");
});

/** Whether the statement that the test is about was carried out: from then on its way to the server is looked at. */
let written = false;
wrap(Engine.prototype, "exec", function (go, [, sql]) {
  if (!sql.includes("copies + 1")) return go();
  const result = counted("write", go);
  written = true;
  reachNow("written");
  return result;
});

const [UPLOAD, DOWNLOAD, UPLOADED, FRAGMENT] = [4, 5, 6, 12];
/** A range without changes is shorter. */
const SOME_CHANGES = 60;
wrap(WebSocket.prototype, "send", function (go, [frame]) {
  const isOurs = written && (frame[0] === UPLOAD || frame[0] === FRAGMENT) && frame.length > SOME_CHANGES;
  if (isOurs) reachNow("sending");
  go();
  if (isOurs) reachNow("sent");
});
wrap(Engine.prototype, "frame", function (go, [frame]) {
  if (written && frame[0] === UPLOADED) {
    reachNow("acknowledged");
    counted("record", go);
    reachNow("recorded");
  } else if (frame[0] === DOWNLOAD && frame.length > SOME_CHANGES) {
    reachNow("arrived");
    counted("apply", go);
    reachNow("applied");
  } else {
    go();
  }
});

await import("/dist/worker/worker.js");
for (const event of early) self.onmessage(event);
