// The package's worker in a browser without the origin-private file system.

Object.defineProperty(navigator.storage, "getDirectory", { value: undefined });
const early = [];
self.onmessage = (event) => early.push(event);
await import("/dist/worker/worker.js");
for (const event of early) self.onmessage(event);
