/** A head start: what the first load will need is fetched and compiled while Python boots.
 *
 * Nothing here decides anything. The engine asks for the same things later, and finds them done;
 * whatever fails here fails there again, with someone to tell.
 */

import type { Executor } from "./executor.ts";
import type { File, Manifest, Registry, SchemeEntry, WeightIndex } from "./formats.ts";
import type { OpenOptions } from "./messages.ts";
import type { Storage } from "./storage.ts";
import { inLanes } from "./upload.ts";

/** What the last visit loaded. */
interface Hint {
  readonly registryUrl: string;
  readonly model: string;
  readonly variant: string;
  readonly plan: File;
}

const HINT = "hint";

/** Fetches what `options` will load: registry, manifest, and weights into the cache. */
export async function warmUp(
  storage: Storage, executor: Executor, options: OpenOptions,
): Promise<void> {
  await Promise.allSettled([warmPlan(storage, executor, options), warmFiles(storage, options)]);
}

/** Remembers a plan that was loaded, for the next visit. */
export async function remember(
  storage: Storage, options: OpenOptions, model: string, plan: File,
): Promise<void> {
  const variant = options.engine.variant ?? "auto";
  const hint: Hint = { registryUrl: storage.registryUrl, model, variant, plan };
  await storage.writeNote(HINT, JSON.stringify(hint));
}

/** Compiles the plan of the last visit, when this one is about to load the same. */
async function warmPlan(
  storage: Storage, executor: Executor, { model, engine }: OpenOptions,
): Promise<void> {
  const note = await storage.note(HINT);
  if (note === undefined || model === null) return;
  const hint = JSON.parse(note) as Hint;
  const same =
    hint.registryUrl === storage.registryUrl &&
    hint.model === model &&
    hint.variant === (engine.variant ?? "auto");
  if (same) await executor.precompile(await storage.text(hint.plan));
}

async function warmFiles(storage: Storage, { model, engine }: OpenOptions): Promise<void> {
  if (model === null) return;
  const registry = JSON.parse(await storage.registry()) as Registry;
  const entry = registry.models.find(({ id }) => id === model);
  const scheme = entry?.schemes.find((item) => matches(item, engine.scheme));
  if (!scheme) return;
  const manifest = JSON.parse(await storage.text(scheme.manifest)) as Manifest;
  const files = Object.values(manifest.files).map((file) => storage.text(file));
  const index = JSON.parse(await storage.text(manifest.weights)) as WeightIndex;
  if (!manifest.synthetic && engine.weights !== "synthetic") await warmWeights(storage, index);
  await Promise.allSettled(files);
}

async function warmWeights(storage: Storage, index: WeightIndex): Promise<void> {
  await inLanes(index.chunks, undefined, async (chunk, _, signal) => {
    // What cannot be kept would have to be fetched again.
    if (storage.keeps) await storage.fetchAhead(chunk, { signal });
  });
}

function matches({ scheme }: SchemeEntry, wanted: string | undefined): boolean {
  return wanted === undefined || scheme === wanted;
}
