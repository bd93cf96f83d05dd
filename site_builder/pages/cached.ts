/** Which models this browser keeps, read without starting an engine. */

import { BlobCache, type CachedModel } from "../../runtime/web/blob_cache.ts";

export type { CachedModel } from "../../runtime/web/blob_cache.ts";

/** Models with anything kept; none where the browser offers no cache (insecure pages). */
export async function cachedModels(): Promise<readonly CachedModel[]> {
  if (!("caches" in globalThis)) return [];
  return (await BlobCache.open()).list();
}

export async function removeCached(id: string): Promise<void> {
  await (await BlobCache.open()).remove(id);
}
