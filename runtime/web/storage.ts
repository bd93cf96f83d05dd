/** Verified bytes of a hub over HTTP: the TypeScript half of the `Storage` protocol.
 *
 * A blob is fetched once however many ask for it, in this tab or another, checked against its
 * sha256 before anyone sees it, and only then kept for the next visit.
 */

import { BlobCache, digest } from "./blob_cache.ts";
import type { Hash } from "./blob_cache.ts";
import type { Bytes } from "./body.ts";
import { checkAborted, ModelpressError } from "./errors.ts";
import type { CachedModel } from "./facts.ts";
import type { FetchOptions } from "./fetcher.ts";
import { fetchBytes } from "./fetcher.ts";
import type { Chunk, File } from "./formats.ts";
import type { Slot } from "./memory.ts";
import { BufferPool, Turns } from "./memory.ts";
import type { OnBytes } from "./shared_work.ts";
import { SharedWork } from "./shared_work.ts";

/** For chunks while they are fetched, checked and used: two of 16 MiB, so that with the copy that a
 * digest makes and what waits for the device, loading stays below 64 MiB. */
const POOL_NBYTES = 32 << 20;

const REGISTRY_FRESH_MS = 10_000;
/** A network that is there but dead must not hold up a visitor who has everything. */
const KEPT_STALL_MS = 3000;

export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes that arrived since the last call; negative when a download starts over. */
  readonly onBytes?: OnBytes | undefined;
}

/** How a blob is checked, and where it may lie meanwhile. */
interface Means {
  readonly hash: Hash;
  readonly slot?: Slot;
}

export type Warn = (error: ModelpressError) => void;

/** What is fetched and checked: a file or a chunk of the hub. */
interface Blob {
  readonly path: string;
  readonly nbytes: number;
  readonly sha256: string;
}

/** Verified bytes in a slot that is freed when nobody uses them any more. */
interface Held {
  readonly bytes: Bytes;
  readonly slot: Slot;
}

export class Storage {
  readonly registryUrl: string;
  readonly #cache: BlobCache;
  readonly #warn: Warn;
  readonly #pool = new BufferPool(POOL_NBYTES);
  readonly #hashing = new Turns();
  readonly #files = new SharedWork<Bytes>();
  readonly #chunks = new SharedWork<Held>(({ slot }) => slot.free());
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
    const obtain = (signal: AbortSignal, onBytes: OnBytes): Promise<Bytes> =>
      this.#obtain(file, { signal, onBytes }, { hash: digest });
    const decode = (bytes: Bytes): string => new TextDecoder().decode(bytes);
    const text = await this.#files.run(file.sha256, obtain, options, decode);
    if (file.path.endsWith("/manifest.json")) {
      await this.#keep(async () => {
        if (await this.#cache.rememberManifest(text)) this.#hasOldBlobs = true;
      });
    }
    return text;
  }

  /** What `use` makes of the verified bytes of a weight chunk, which are there until it ends.
   *
   * Other chunks may have to wait for the memory, so `use` must not wait for them.
   */
  async withChunk<T>(
    chunk: Chunk, options: ReadOptions, use: (bytes: Bytes) => T | Promise<T>,
  ): Promise<T> {
    const { sha256, nbytes } = chunk;
    const path = `blobs/sha256/${sha256.slice(0, 2)}/${sha256}`;
    const hold = (signal: AbortSignal, onBytes: OnBytes): Promise<Held> =>
      this.#hold({ path, nbytes, sha256 }, { signal, onBytes });
    return this.#chunks.run(sha256, hold, options, ({ bytes }) => use(bytes));
  }

  /** A copy of the verified bytes of a weight chunk. */
  async chunk(chunk: Chunk, options: ReadOptions = {}): Promise<Bytes> {
    return this.withChunk(chunk, options, (bytes) => bytes.slice());
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
    if (await this.#cache.has(chunk.sha256)) return;
    await this.withChunk(chunk, options, () => undefined);
  }

  /** Gives memory back that only loading needs. */
  rest(): void {
    this.#pool.clear();
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

  /** The bytes of a blob, once there is memory for them. */
  async #hold(blob: Blob, options: ReadOptions): Promise<Held> {
    const slot = await this.#pool.take(blob.nbytes);
    // A digest copies what it reads: one copy is enough.
    const hash: Hash = (bytes) => this.#hashing.run(() => digest(bytes));
    try {
      checkAborted(options.signal);
      return { bytes: await this.#obtain(blob, options, { hash, slot }), slot };
    } catch (error) {
      slot.free();
      throw error;
    }
  }

  async #obtain(blob: Blob, options: ReadOptions, means: Means): Promise<Bytes> {
    const kept = await this.#kept(blob, means);
    if (typeof kept !== "string") return whole(kept, options);
    let corrupt = kept === "corrupt";
    return exclusively(`modelpress ${blob.sha256}`, options.signal, async () => {
      // Another tab may have fetched it while this one waited for the lock.
      const now = await this.#kept(blob, means);
      if (typeof now !== "string") return whole(now, options);
      corrupt ||= now === "corrupt";
      const bytes = await this.#download(blob, corrupt ? 1 : 2, options, means);
      await this.#keep(() => this.#cache.write(blob.sha256, bytes));
      return bytes;
    });
  }

  #kept({ sha256, nbytes }: Blob, { hash, slot }: Means): Promise<Bytes | "missing" | "corrupt"> {
    return this.#cache.read(sha256, { nbytes, slot }, hash);
  }

  /** The bytes from the network; a corrupt body is refetched while `attempts` last. */
  async #download(
    { path, nbytes, sha256 }: Blob, attempts: number, { signal, onBytes }: ReadOptions,
    { hash, slot }: Means,
  ): Promise<Bytes> {
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
      const options = { nbytes, slot, signal, onBytes: count, cache: "no-store" } as const;
      const bytes = await fetchBytes(url, path, options);
      if ((await hash(bytes)) === sha256) return bytes;
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

function whole(bytes: Bytes, { onBytes }: ReadOptions): Bytes {
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
