// Keeps the folder's files in the browser, so that the page works without a network from the second time on.

const FILES = {}; // name: sha256 in hexadecimal; filled in by the export
const CACHE = `mien ${self.registration.scope}`;

const address = name => new URL(name, self.registration.scope).href;
const key = name => `${address(name)}?${FILES[name]}`;

self.addEventListener("install", event => event.waitUntil(keepAll().then(() => self.skipWaiting())));
self.addEventListener("activate", event => event.waitUntil(dropOthers().then(() => self.clients.claim())));
self.addEventListener("fetch", event => {
  const asked = new URL(event.request.url);
  const name = asked.href.slice(self.registration.scope.length) || "index.html";
  if (event.request.method === "GET" && asked.href.startsWith(self.registration.scope) && FILES[name]) {
    event.respondWith(kept(name).then(found => found ?? fetch(event.request)));
  }
});

const kept = async name => (await caches.open(CACHE)).match(key(name));

async function keepAll() {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.keys(FILES).map(async name => {
    if (await cache.match(key(name))) return; // unchanged since an earlier export
    const found = (await taken(name, "default")) ?? (await taken(name, "reload"));
    if (!found) throw new Error(`${name} is not the file that was exported.`);
    await cache.put(key(name), found);
  }));
}

// A file as it comes, where it is the one that was exported: caches on the way may have an older one. onnx_file.js has
// the same two lines for a digest: it is a module, and this service worker a classic script, which can import none.
async function taken(name, cache) {
  const response = await fetch(address(name), { cache });
  if (!response.ok) return undefined;
  const digest = await crypto.subtle.digest("SHA-256", await response.clone().arrayBuffer());
  const found = [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, "0")).join("");
  return found === FILES[name] ? response : undefined;
}

async function dropOthers() {
  const cache = await caches.open(CACHE);
  const wanted = new Set(Object.keys(FILES).map(key));
  for (const { url } of await cache.keys()) if (!wanted.has(url)) await cache.delete(url);
}
