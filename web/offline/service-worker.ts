// The service worker: keeps the app's own files, so that the page opens without a server.
// It knows exactly the files of one build and touches nothing else: requests to the server's API pass by it.

declare const self: ServiceWorkerGlobalScope;
declare const __FILES__: string[];
declare const __BUILD__: string;

const PREFIX = "bookshop-";
const CACHE = PREFIX + __BUILD__;
const SCOPE = new URL("./", self.location.href);
const INDEX = new URL("index.html", SCOPE).href;
const KEPT = new Set(__FILES__.map((file) => new URL(file, SCOPE).href));

self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const kept = keptAs(event.request);
  if (kept !== null) event.respondWith(fromCache(kept, event.request));
});
self.addEventListener("message", (event) => {
  if (event.data === "take-over") void self.skipWaiting();
});

/** All files or none: a build that is only half here would break offline. */
async function fill(): Promise<void> {
  const cache = await caches.open(CACHE);
  // Past the browser's own cache, which may hold an index.html of another build.
  await cache.addAll([...KEPT].map((url) => new Request(url, { cache: "reload" })));
}

async function takeOver(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The kept file that answers this request, or null where the network has to. */
function keptAs(request: Request): string | null {
  if (request.method !== "GET") return null;
  const url = new URL(request.url);
  url.hash = "";
  url.search = "";
  if (KEPT.has(url.href)) return url.href;
  return url.href === SCOPE.href ? INDEX : null;
}

async function fromCache(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(url)) ?? fetch(request);
}

export {};
