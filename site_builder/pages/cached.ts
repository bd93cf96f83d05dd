/** Which models this browser keeps, read without starting an engine. */

import { BlobCache } from "../../runtime/web/blob_cache.ts";
import type { CachedModel } from "../../runtime/web/facts.ts";

export type { CachedModel } from "../../runtime/web/facts.ts";

/** Models with anything kept; none where the browser offers no cache (insecure pages). */
export async function cachedModels(): Promise<readonly CachedModel[]> {
  if (!("caches" in globalThis)) return [];
  return (await BlobCache.open()).list();
}

export async function removeCached(id: string): Promise<void> {
  await (await BlobCache.open()).remove(id);
}
