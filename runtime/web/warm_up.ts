/** A head start: what the first load will need is fetched and compiled while Python starts.
 *
 * Nothing here decides anything. The engine asks for the same things later, and finds them done;
 * whatever fails here fails there again, with someone to tell.
 */

import { likelyEntries, notedChoices } from "./candidates.ts";
import { lackingOf } from "./device.ts";
import type { Executor } from "./executor.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Manifest, Registry, Variant, WeightIndex } from "./formats.ts";
import type { OpenOptions } from "./messages.ts";
import type { Storage } from "./storage.ts";
import { inLanes } from "./upload.ts";

/** Fetches what `options` will load into the cache, and compiles the plan it will likely be. */
export async function warmUp(
  storage: Storage, executor: Executor, { model, engine }: OpenOptions,
): Promise<void> {
  if (model === null) return;
  const registry = JSON.parse(await storage.registry()) as Registry;
  const { schemes } = registry.models.find(({ id }) => id === model) ?? { schemes: [] };
  const wanted = schemes.find(({ scheme }) => (engine.scheme ?? scheme) === scheme);
  if (!wanted) return;
  const manifest = JSON.parse(await storage.text(wanted.manifest)) as Manifest;
  const real = !manifest.synthetic && engine.weights !== "synthetic";
  await Promise.allSettled([
    warmPlan(storage, executor, manifest, engine),
    ...Object.values(manifest.files).map((file) => storage.text(file)),
    ...(real ? [warmWeights(storage, manifest)] : []),
  ]);
}

async function warmPlan(
  storage: Storage, executor: Executor, { variants }: Manifest, engine: OpenOptions["engine"],
): Promise<void> {
  const variant = guessVariant(variants, await executor.device(), engine.variant);
  if (!variant) return;
  await precompile(storage, executor, engine, await storage.text(variant.plan), variant.plan.sha256);
}

/** Compiles what the engine will likely prepare of a plan, given by its text and digest. */
export async function precompile(
  storage: Storage, executor: Executor, engine: OpenOptions["engine"], text: string, sha256: string,
): Promise<void> {
  const info = await executor.device();
  const noted = await notedChoices(storage, info, sha256);
  await executor.precompile(text, (plan) => likelyEntries(plan, info, engine, noted));
}

/** The variant that `choose_variant` of runtime/manifest.py will choose, in all likelihood. */
function guessVariant(
  variants: readonly Variant[], info: DeviceInfo, name = "auto",
): Variant | undefined {
  if (name !== "auto") return variants.find((variant) => variant.name === name);
  const fitting = variants.filter((variant) => lackingOf(variant, info).length === 0);
  const isForCpu = info.kind === "cpu";
  return fitting.find((variant) => (variant.name === "software") === isForCpu) ?? fitting[0];
}

async function warmWeights(storage: Storage, manifest: Manifest): Promise<void> {
  const { chunks } = JSON.parse(await storage.text(manifest.weights)) as WeightIndex;
  await inLanes(chunks, undefined, async (chunk, _, signal) => {
    // What cannot be kept would have to be fetched again.
    if (storage.keeps) await storage.fetchAhead(chunk, { signal });
  });
}
