/** What this origin keeps between visits, in the Cache API: verified blobs under their sha256, the
 * last registry, and the manifests of the models whose blobs lie here.
 *
 * Everything is checked again when it is read: the cache is a disk, and disks decay.
 */

import type { CachedModel } from "./facts.ts";
import { readBody, streamOf } from "./body.ts";
import type { BodyOptions, Bytes } from "./body.ts";
import type { Manifest, WeightIndex } from "./formats.ts";

const BLOBS = "modelpress-blobs-1";
const DOCUMENTS = "modelpress-documents-1";
/** A disk that brings nothing for so long has lost it: Chromium may leave a short body open. */
const SILENT_MS = 10_000;

/** A blob that a model needs. */
export interface BlobReference {
  readonly sha256: string;
  readonly nbytes: number;
}

interface ManifestRecord {
  readonly key: string;
  /** Of the manifest's own text, which is a blob too. */
  readonly sha256: string;
  readonly manifest: Manifest;
}

export class BlobCache {
  readonly #blobs: Cache;
  readonly #documents: Cache;

  private constructor(blobs: Cache, documents: Cache) {
    this.#blobs = blobs;
    this.#documents = documents;
  }

  static async open(): Promise<BlobCache> {
    return new BlobCache(await caches.open(BLOBS), await caches.open(DOCUMENTS));
  }

  /** The bytes kept under `sha256`, verified; a corrupt entry is deleted and reported. */
  async read(
    sha256: string, options: BodyOptions = {}, hash: Hash = digest,
  ): Promise<Uint8Array<ArrayBuffer> | "missing" | "corrupt"> {
    const response = await this.#blobs.match(blobKey(sha256));
    if (!response) return "missing";
    const bytes = await readKept(response, options);
    if ((await hash(bytes)) === sha256) return bytes;
    await this.#blobs.delete(blobKey(sha256));
    return "corrupt";
  }

  /** Whether something is kept under `sha256`, unread. */
  async has(sha256: string): Promise<boolean> {
    return (await this.#blobs.match(blobKey(sha256))) !== undefined;
  }

  /** Keeps verified bytes; raises the browser's QuotaExceededError when the disk is full. */
  async write(sha256: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const headers = {
      "content-type": "application/octet-stream",
      "content-length": String(bytes.byteLength),
    };
    await this.#blobs.put(blobKey(sha256), new Response(streamOf(bytes), { headers }));
  }

  async document(key: string): Promise<string | undefined> {
    return (await this.#documents.match(documentKey(key)))?.text();
  }

  async writeDocument(key: string, text: string): Promise<void> {
    const headers = { "content-type": "application/json" };
    await this.#documents.put(documentKey(key), new Response(text, { headers }));
  }

  /** Remembers which blobs a model needs; true when another version of it was known. */
  async rememberManifest(text: string): Promise<boolean> {
    const { id, quantization } = JSON.parse(text) as Manifest;
    const key = `models/${id}/${quantization.scheme}`;
    const before = await this.document(key);
    if (before !== text) await this.writeDocument(key, text);
    return before !== undefined && before !== text;
  }

  async list(): Promise<CachedModel[]> {
    const kept = await this.#digests();
    const models: CachedModel[] = [];
    for (const { manifest } of await this.#manifests()) {
      const references = await this.#references(manifest);
      const total_nbytes = sumOf(references, () => true);
      const nbytes = sumOf(references, ({ sha256 }) => kept.has(sha256));
      const weights = kept.has(manifest.weights.sha256);
      models.push({
        model: manifest.id,
        scheme: manifest.quantization.scheme,
        name: manifest.name,
        nbytes,
        total_nbytes: weights ? total_nbytes : total_nbytes + manifest.weights_nbytes,
        complete: weights && requiredAreKept(manifest, references, kept),
      });
    }
    return models.filter((model) => model.nbytes > 0);
  }

  /** Deletes a model's manifests and every blob that no other model needs. */
  async remove(model: string): Promise<void> {
    for (const { key, manifest } of await this.#manifests()) {
      if (manifest.id === model) await this.#documents.delete(key);
    }
    await this.sweep();
  }

  /** Deletes blobs that no remembered manifest leads to. */
  async sweep(): Promise<void> {
    const needed = new Set<string>();
    for (const { sha256: own, manifest } of await this.#manifests()) {
      needed.add(own);
      for (const { sha256 } of await this.#references(manifest)) needed.add(sha256);
    }
    for (const sha256 of await this.#digests()) {
      if (!needed.has(sha256)) await this.#blobs.delete(blobKey(sha256));
    }
  }

  async #manifests(): Promise<ManifestRecord[]> {
    const records: ManifestRecord[] = [];
    for (const { url } of await this.#documents.keys()) {
      if (!url.startsWith(documentKey("models/"))) continue;
      const text = await (await this.#documents.match(url))?.text();
      if (text === undefined) continue;
      const sha256 = await digest(new TextEncoder().encode(text));
      records.push({ key: url, sha256, manifest: JSON.parse(text) as Manifest });
    }
    return records;
  }

  async #references(manifest: Manifest): Promise<BlobReference[]> {
    const files = [
      manifest.weights,
      ...Object.values(manifest.files),
      ...manifest.variants.flatMap(({ plan, modules }) => [plan, ...(modules ?? [])]),
      ...(manifest.licence.text ? [manifest.licence.text] : []),
    ];
    const index = await this.read(manifest.weights.sha256);
    if (typeof index === "string") return files;
    const { chunks } = JSON.parse(new TextDecoder().decode(index)) as WeightIndex;
    return distinct([...files, ...chunks]);
  }

  async #digests(): Promise<Set<string>> {
    const keys = await this.#blobs.keys();
    return new Set(keys.map(({ url }) => url.slice(url.lastIndexOf("/") + 1)));
  }
}

/** What is kept, or nothing when it is damaged: of another length, unreadable, or silent. */
async function readKept(response: Response, options: BodyOptions): Promise<Bytes> {
  const length = response.headers.get("content-length") ?? options.nbytes;
  if (options.nbytes !== undefined && Number(length) !== options.nbytes) return new Uint8Array(0);
  let giveUp = (): void => undefined;
  const silent = new Promise<Bytes>((resolve) => (giveUp = () => resolve(new Uint8Array(0))));
  let timer = setTimeout(giveUp, SILENT_MS);
  const onPart = (): void => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, SILENT_MS);
  };
  try {
    return await Promise.race([readBody(response, { ...options, onPart }), silent]);
  } catch {
    return new Uint8Array(0);
  } finally {
    clearTimeout(timer);
  }
}

/** Complete means: weights, tokenizer and at least one variant, so that it can run offline. */
function requiredAreKept(
  { variants, licence }: Manifest, references: readonly BlobReference[], kept: ReadonlySet<string>,
): boolean {
  const has = ({ sha256 }: BlobReference): boolean => kept.has(sha256);
  // Of a module, one of two is wanted: with threads or without.
  const runs = variants.some(({ plan, modules = [] }) =>
    has(plan) && (modules.length === 0 || modules.some(has)));
  const optional = new Set(variants.flatMap(({ plan, modules = [] }) =>
    [plan, ...modules].map(({ sha256 }) => sha256)));
  if (licence.text) optional.add(licence.text.sha256);
  return runs && references.filter(({ sha256 }) => !optional.has(sha256)).every(has);
}

function distinct(references: readonly BlobReference[]): BlobReference[] {
  return [...new Map(references.map((item) => [item.sha256, item])).values()];
}

function sumOf(
  references: readonly BlobReference[], wanted: (item: BlobReference) => boolean,
): number {
  return references.filter(wanted).reduce((sum, { nbytes }) => sum + nbytes, 0);
}

export type Hash = (bytes: Uint8Array<ArrayBuffer>) => Promise<string>;

/** The sha256 of `bytes` in hexadecimal. */
export async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Cache keys must be URLs; nothing is ever served at these.
function blobKey(sha256: string): string {
  return new URL(`/.modelpress/blobs/${sha256}`, self.location.origin).href;
}

function documentKey(key: string): string {
  return new URL(`/.modelpress/${key}`, self.location.origin).href;
}
