// Keeps the page's files, so that it works offline. files.js names them: VERSION changes with any of them, PAGE are those that
// are fetched at once. Networks and ONNX Runtime, megabytes each, are kept when they are first used.

importScripts("files.js");

self.addEventListener("install", (event) => event.waitUntil(keepPage()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method === "GET" && request.url.startsWith(self.registration.scope)) event.respondWith(answer(request));
});

async function keepPage() {
  const cache = await caches.open(name());
  await cache.addAll(PAGE.map((file) => new Request(file, { cache: "reload" })));
}

async function takeOver() {
  const old = (await caches.keys()).filter((each) => each.startsWith(self.registration.scope) && each !== name());
  await Promise.all(old.map((each) => caches.delete(each)));
  await self.clients.claim();
}

async function answer(request) {
  const cache = await caches.open(name());
  const kept = await cache.match(request, { ignoreSearch: true });
  if (kept) return isolated(kept);
  const fetched = await fetch(request, { cache: "no-cache" });
  if (fetched.status === 200) await cache.put(request, fetched.clone());
  return isolated(fetched);
}

// With these headers the page is isolated from other origins when it is loaded again, and ONNX Runtime may use threads.
function isolated(response) {
  if (response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

// Caches belong to an origin, and another page of it may have its own.
function name() {
  return `${self.registration.scope}#${VERSION}`;
}
