/** The app shell offline: exactly the files of shell.json, verified, all of one version or none.
 *
 * It governs the folder it is served from. Models are not its business: the engine keeps those
 * itself, and requests for them pass through untouched. What is asked of `v1/` goes to the page whose
 * engine answers.
 */

import type { File } from "./formats.ts";
import type { Pages } from "./relay.ts";
import { relay } from "./relay.ts";

interface Shell {
  readonly format: number;
  readonly version: string;
  readonly files: readonly File[];
}

// The DOM and the worker libraries of TypeScript exclude each other; this is what is used here.
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}
interface ServiceWorkerScope extends EventTarget {
  readonly registration: { readonly scope: string };
  readonly clients: Pages & { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
}

const scope = self as unknown as ServiceWorkerScope;
const ROOT = new URL("./", self.location.href).href;
const SHELL_FORMAT = 1;
const SHELL_URL = `${ROOT}shell.json`;
const API_URL = `${ROOT}v1/`;
/** Caches are shared by the origin: the name tells sites under different paths apart. */
const PREFIX = `modelpress-shell ${ROOT} `;
const CHECK_TIMEOUT_MS = 2000;
const LANES = 4;

/** While another version is on its way, the network goes first: old and new files must not mix. */
let isStale = false;
let updating: Promise<void> | undefined;

scope.addEventListener("install", (event) => {
  (event as ExtendableEvent).waitUntil(update().then(() => scope.skipWaiting()));
});

scope.addEventListener("activate", (event) => {
  (event as ExtendableEvent).waitUntil(scope.clients.claim());
});

scope.addEventListener("fetch", (event) => {
  const fetchEvent = event as FetchEvent;
  const { request } = fetchEvent;
  if (request.url.startsWith(API_URL)) {
    return fetchEvent.respondWith(relay(request, ROOT, scope.clients));
  }
  if (request.method !== "GET" || !request.url.startsWith(ROOT)) return;
  if (request.headers.has("range") || isEngines(request.url)) return;
  fetchEvent.respondWith(respond(fetchEvent));
});

async function respond(event: FetchEvent): Promise<Response> {
  const { request } = event;
  if (request.mode === "navigate") await check(event);
  if (!isStale) return (await kept(request.url)) ?? fetch(request);
  try {
    return await fetch(request);
  } catch (error) {
    const response = await kept(request.url);
    if (response) return response;
    throw error;
  }
}

/** Looks whether the site has another version; its download goes on behind the page. */
async function check(event: FetchEvent): Promise<void> {
  const shell = await readShell(AbortSignal.timeout(CHECK_TIMEOUT_MS)).catch(() => undefined);
  if (!shell || (await versions()).includes(shell.version)) return;
  isStale = true;
  event.waitUntil(update().catch(() => undefined));
}

/** Fetches the current shell into a cache of its own; the others go when it is complete. */
function update(): Promise<void> {
  updating ??= install().finally(() => {
    updating = undefined;
  });
  return updating;
}

async function install(): Promise<void> {
  const shell = await readShell(undefined);
  const name = `${PREFIX}${shell.version}`;
  if (!(await versions()).includes(shell.version)) {
    // Filled under another name, so that a half-written shell is never taken for a whole one.
    const partial = await caches.open(`${PREFIX}partial`);
    await fill(partial, shell.files);
    await move(partial, name);
    await caches.delete(`${PREFIX}partial`);
  }
  for (const other of await caches.keys()) {
    if (other.startsWith(PREFIX) && other !== name) await caches.delete(other);
  }
  isStale = false;
}

/** Puts every file that is not there yet; a file of another digest fails the whole update. */
async function fill(cache: Cache, files: readonly File[]): Promise<void> {
  const rest = files[Symbol.iterator]();
  const lane = async (): Promise<void> => {
    for (const file of rest) await put(cache, file);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  const wanted = new Set(files.map(({ path }) => ROOT + path));
  for (const { url } of await cache.keys()) if (!wanted.has(url)) await cache.delete(url);
}

async function put(cache: Cache, { path, sha256 }: File): Promise<void> {
  const url = ROOT + path;
  const before = await cache.match(url);
  if (before && (await digest(await before.arrayBuffer())) === sha256) return;
  const old = await kept(url);
  if (old && (await digest(await old.clone().arrayBuffer())) === sha256) return cache.put(url, old);
  const response = await fetch(url, { cache: "no-cache" });
  const body = await response.arrayBuffer();
  if (!response.ok || (await digest(body)) !== sha256) {
    throw new Error(`${path} is not what shell.json promises (HTTP ${response.status})`);
  }
  const headers = new Headers(response.headers);
  headers.delete("content-encoding");
  headers.set("content-length", String(body.byteLength));
  await cache.put(url, new Response(body, { headers }));
}

/** Everything of `from` under `name`; shell.json last: a cache without it is not a version. */
async function move(from: Cache, name: string): Promise<void> {
  const to = await caches.open(name);
  for (const request of await from.keys()) {
    const response = await from.match(request);
    if (response) await to.put(request, response);
  }
  await to.put(SHELL_URL, new Response("complete"));
}

async function kept(address: string): Promise<Response | undefined> {
  const url = new URL(address);
  url.search = "";
  url.hash = "";
  if (url.href === SHELL_URL) return undefined;
  const names = url.href.endsWith("/") ? [`${url.href}index.html`] : [url.href];
  for (const version of await versions()) {
    const cache = await caches.open(`${PREFIX}${version}`);
    for (const name of names) {
      const response = await cache.match(name);
      if (response) return response;
    }
  }
  return undefined;
}

/** The complete versions that are kept. */
async function versions(): Promise<string[]> {
  const found: string[] = [];
  for (const name of await caches.keys()) {
    if (!name.startsWith(PREFIX)) continue;
    if (await (await caches.open(name)).match(SHELL_URL)) found.push(name.slice(PREFIX.length));
  }
  return found;
}

async function readShell(signal: AbortSignal | undefined): Promise<Shell> {
  const response = await fetch(SHELL_URL, { cache: "no-cache", ...(signal && { signal }) });
  const shell = (await response.json()) as Shell;
  if (!response.ok || shell.format !== SHELL_FORMAT) {
    throw new Error(`shell.json cannot be read (HTTP ${response.status})`);
  }
  return shell;
}

/** What the engine keeps itself: weights, and the registry, which is read network first. */
function isEngines(url: string): boolean {
  return url.startsWith(`${ROOT}blobs/`) || url === `${ROOT}registry.json`;
}

async function digest(body: ArrayBuffer): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
