/** Verified bytes of a hub over HTTP: the TypeScript half of the `Storage` protocol.
 *
 * A blob is fetched once however many ask for it, in this tab or another, checked against its
 * sha256 before anyone sees it, and only then kept for the next visit.
 */

import { BlobCache, digest } from "./blob_cache.ts";
import { checkAborted, ModelpressError } from "./errors.ts";
import type { CachedModel } from "./facts.ts";
import type { FetchOptions } from "./fetcher.ts";
import { fetchBytes } from "./fetcher.ts";
import type { Chunk, File } from "./formats.ts";
import type { OnBytes } from "./shared_work.ts";
import { SharedWork } from "./shared_work.ts";

/** Chunks on their way at once: at most this many are in memory. */
export const CONCURRENCY = 6;

const REGISTRY_FRESH_MS = 10_000;
/** A network that is there but dead must not hold up a visitor who has everything. */
const KEPT_STALL_MS = 3000;

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes that arrived since the last call; negative when a download starts over. */
  readonly onBytes?: OnBytes | undefined;
}

export type Warn = (error: ModelpressError) => void;

/** What is fetched and checked: a file or a chunk of the hub. */
interface Blob {
  readonly path: string;
  readonly nbytes: number;
  readonly sha256: string;
}

export class Storage {
  readonly registryUrl: string;
  readonly #cache: BlobCache;
  readonly #warn: Warn;
  readonly #running = new SharedWork<Uint8Array<ArrayBuffer>>();
  #quotaExceeded: ModelpressError | undefined;
  #hasOldBlobs = false;
  #registry: { readonly text: string; readonly since: number } | undefined;

  private constructor(registryUrl: string, cache: BlobCache, warn: Warn) {
    this.registryUrl = registryUrl;
    this.#cache = cache;
    this.#warn = warn;
  }

  /** `warn` hears of troubles that do not stop the visit, such as a full disk. */
  static async open(registryUrl: string, warn: Warn): Promise<Storage> {
    return new Storage(registryUrl, await BlobCache.open(), warn);
  }

  /** registry.json as the network has it (10 seconds ago at most), else as it was last seen. */
  async registry(options: ReadOptions = {}): Promise<string> {
    const now = performance.now();
    const last = this.#registry;
    if (last && now - last.since < REGISTRY_FRESH_MS) return last.text;
    const text = await this.#fetchRegistry(options);
    this.#registry = { text, since: now };
    return text;
  }

  async #fetchRegistry({ signal }: ReadOptions): Promise<string> {
    const key = `registry?${new URLSearchParams({ url: this.registryUrl })}`;
    const kept = await this.#cache.document(key);
    const once = kept === undefined ? {} : { tries: 1, stallMs: KEPT_STALL_MS };
    try {
      const options: FetchOptions = { cache: "no-cache", signal, ...once };
      const bytes = await fetchBytes(this.registryUrl, "registry.json", options);
      const text = parsed(new TextDecoder().decode(bytes));
      if (text !== kept) await this.#keep(() => this.#cache.writeDocument(key, text));
      return text;
    } catch (error) {
      checkAborted(signal);
      if (kept === undefined) throw error;
      return kept;
    }
  }

  /** The verified text of a hub file. */
  async text(file: File, options: ReadOptions = {}): Promise<string> {
    const text = new TextDecoder().decode(await this.#blob(file, options));
    if (file.path.endsWith("/manifest.json")) {
      await this.#keep(async () => {
        if (await this.#cache.rememberManifest(text)) this.#hasOldBlobs = true;
      });
    }
    return text;
  }

  /** The verified bytes of a weight chunk. */
  async chunk(chunk: Chunk, options: ReadOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const { sha256, nbytes } = chunk;
    const path = `blobs/sha256/${sha256.slice(0, 2)}/${sha256}`;
    return this.#blob({ path, nbytes, sha256 }, options);
  }

  /** What an earlier visit noted under `key`. */
  async note(key: string): Promise<string | undefined> {
    return this.#cache.document(noteKey(key));
  }

  /** Keeps a note for the next visit, when there is room. */
  async writeNote(key: string, text: string): Promise<void> {
    await this.#keep(() => this.#cache.writeDocument(noteKey(key), text));
  }

  /** Has a chunk in the cache when it is asked for; its bytes go nowhere yet. */
  async fetchAhead(chunk: Chunk, options: ReadOptions = {}): Promise<void> {
    if (!(await this.#cache.has(chunk.sha256))) await this.chunk(chunk, options);
  }

  /** Whether blobs are kept for the next visit; false once the browser's quota was exceeded. */
  get keeps(): boolean {
    return this.#quotaExceeded === undefined;
  }

  /** Called when a model is loaded: blobs of its replaced version can go. */
  async settle(): Promise<void> {
    if (!this.#hasOldBlobs) return;
    this.#hasOldBlobs = false;
    await this.#cache.sweep();
  }

  async list(): Promise<CachedModel[]> {
    return this.#cache.list();
  }

  async remove(model: string): Promise<void> {
    await this.#cache.remove(model);
    this.#quotaExceeded = undefined;
  }

  /** Throws "quota_exceeded" when not everything could be kept. */
  checkKept(): void {
    if (this.#quotaExceeded) throw this.#quotaExceeded;
  }

  #blob(blob: Blob, options: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    return this.#running.run(
      blob.sha256, (signal, onBytes) => this.#obtain(blob, { signal, onBytes }), options,
    );
  }

  async #obtain(blob: Blob, options: ReadOptions): Promise<Uint8Array<ArrayBuffer>> {
    const kept = await this.#cache.read(blob.sha256);
    if (typeof kept !== "string") return whole(kept, options);
    let corrupt = kept === "corrupt";
    return exclusively(`modelpress ${blob.sha256}`, options.signal, async () => {
      // Another tab may have fetched it while this one waited for the lock.
      const now = await this.#cache.read(blob.sha256);
      if (typeof now !== "string") return whole(now, options);
      corrupt ||= now === "corrupt";
      const bytes = await this.#download(blob, corrupt ? 1 : 2, options);
      await this.#keep(() => this.#cache.write(blob.sha256, bytes));
      return bytes;
    });
  }

  /** The bytes from the network; a corrupt body is refetched while `attempts` last. */
  async #download(
    { path, nbytes, sha256 }: Blob, attempts: number, { signal, onBytes }: ReadOptions,
  ): Promise<Uint8Array<ArrayBuffer>> {
    // Encoded by segment: object stores read a bare "+" (plan.f16+subgroups.json) as a space.
    const encoded = path.split("/").map(encodeURIComponent).join("/");
    const url = new URL(encoded, this.registryUrl).href;
    for (let attempt = 1; ; attempt += 1) {
      let seen = 0;
      const count: OnBytes = (delta) => {
        seen += delta;
        onBytes?.(delta);
      };
      // The HTTP cache would keep a second copy of every blob, and serve a corrupt one again.
      const options = { nbytes, signal, onBytes: count, cache: "no-store" } as const;
      const bytes = await fetchBytes(url, path, options);
      if ((await digest(bytes)) === sha256) return bytes;
      onBytes?.(-seen);
      if (attempt >= attempts) throw integrityError(path, sha256);
    }
  }

  /** Runs a cache write; a full disk is a warning, and the visit goes on without keeping. */
  async #keep(write: () => Promise<void>): Promise<void> {
    if (this.#quotaExceeded) return;
    try {
      await write();
    } catch (error) {
      if (!isQuota(error)) throw error;
      // Writes run side by side: only the first that fails is news.
      if (this.#quotaExceeded) return;
      this.#quotaExceeded = quotaError();
      this.#warn(this.#quotaExceeded);
    }
  }
}

function noteKey(key: string): string {
  return `notes/${key}`;
}

function whole(
  bytes: Uint8Array<ArrayBuffer>, { onBytes }: ReadOptions,
): Uint8Array<ArrayBuffer> {
  onBytes?.(bytes.byteLength);
  return bytes;
}

/** Runs `work` while no other tab of this origin does the same. */
async function exclusively<T>(
  name: string, signal: AbortSignal | undefined, work: () => Promise<T>,
): Promise<T> {
  const options = signal ? { signal } : {};
  return navigator.locks.request(name, options, work) as Promise<T>;
}

/** `text` if it is JSON: what a captive portal answers must not replace a good copy. */
function parsed(text: string): string {
  try {
    JSON.parse(text);
    return text;
  } catch {
    throw new ModelpressError(
      "bad_format", "registry.json is not valid JSON: check that registryUrl points at a hub",
    );
  }
}

function integrityError(path: string, sha256: string): ModelpressError {
  return new ModelpressError(
    "integrity",
    `${path} is not what the site promises, twice. Whoever runs the site should publish it again`,
    { file: path, sha256 },
  );
}

function isQuota(error: unknown): boolean {
  return error instanceof Error && error.name === "QuotaExceededError";
}

function quotaError(): ModelpressError {
  return new ModelpressError(
    "quota_exceeded",
    "the browser gives this site no more room, so this model is not kept for the next visit. " +
      "Remove models you no longer use, or free disk space",
  );
}
