/** A head start: what the first load will need is fetched and compiled while Python starts.
 *
 * Nothing here decides anything. The engine asks for the same things later, and finds them done;
 * whatever fails here fails there again, with someone to tell.
 */

import { likelyEntries, notedChoices } from "./candidates.ts";
import { lackingOf } from "./device.ts";
import type { Executor } from "./executor.ts";
import { isForProcessors } from "./processor.ts";
import type { ProcessorExecutor } from "./processor_executor.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Manifest, Plan, Registry, Variant, WeightIndex } from "./formats.ts";
import type { OpenOptions } from "./messages.ts";
import type { Storage } from "./storage.ts";
import { inLanes } from "./upload.ts";

/** What an engine computes on. */
export interface Devices {
  readonly graphics: Executor;
  readonly processor: ProcessorExecutor;
}

/** Fetches what `options` will load into the cache, and compiles the plan it will likely be. */
export async function warmUp(
  storage: Storage, devices: Devices, { model, engine }: OpenOptions,
): Promise<void> {
  if (model === null) return;
  const registry = JSON.parse(await storage.registry()) as Registry;
  const { schemes } = registry.models.find(({ id }) => id === model) ?? { schemes: [] };
  const wanted = schemes.find(({ scheme }) => (engine.scheme ?? scheme) === scheme);
  if (!wanted) return;
  const manifest = JSON.parse(await storage.text(wanted.manifest)) as Manifest;
  const variant = guessVariant(manifest.variants, await likelyDevices(devices), engine.variant);
  // Nothing is fetched of a model that will be refused.
  if (!variant) return;
  const real = !manifest.synthetic && engine.weights !== "synthetic";
  await Promise.allSettled([
    warmPlan(storage, devices, variant, engine),
    ...Object.values(manifest.files).map((file) => storage.text(file)),
    ...(real ? [warmWeights(storage, manifest)] : []),
  ]);
}

async function warmPlan(
  storage: Storage, devices: Devices, { plan }: Variant, engine: OpenOptions["engine"],
): Promise<void> {
  await precompile(storage, devices, engine, await storage.text(plan), plan.sha256);
}

/** Compiles what the engine will likely prepare of a plan, given by its text and digest. */
export async function precompile(
  storage: Storage, { graphics, processor }: Devices, engine: OpenOptions["engine"], text: string,
  sha256: string,
): Promise<void> {
  if ((JSON.parse(text) as Plan).module) return processor.precompile(text);
  const info = await graphics.device();
  const noted = await notedChoices(storage, info, sha256);
  await graphics.precompile(text, (plan) => likelyEntries(plan, info, engine, noted));
}

/** The devices in the order in which runtime/placement.py will try them, in all likelihood. */
async function likelyDevices({ graphics, processor }: Devices): Promise<DeviceInfo[]> {
  const found = await Promise.allSettled([graphics.device(), processor.device()]);
  const devices = found.flatMap((item) => (item.status === "fulfilled" ? [item.value] : []));
  return found[0].status === "fulfilled" && found[0].value.kind === "cpu" ? devices.reverse() : devices;
}

/** The variant that they will choose. */
function guessVariant(
  variants: readonly Variant[], devices: readonly DeviceInfo[], name = "auto",
): Variant | undefined {
  if (name !== "auto") return variants.find((variant) => variant.name === name);
  for (const info of devices) {
    const fitting = variants.filter((variant) => lackingOf(variant, info).length === 0);
    const isForCpu = info.kind === "cpu" && !isForProcessors(info);
    const best = fitting.find((variant) => (variant.name === "software") === isForCpu) ?? fitting[0];
    if (best) return best;
  }
  return undefined;
}

async function warmWeights(storage: Storage, manifest: Manifest): Promise<void> {
  const { chunks } = JSON.parse(await storage.text(manifest.weights)) as WeightIndex;
  await inLanes(chunks, undefined, async (chunk, _, signal) => {
    // What cannot be kept would have to be fetched again.
    if (storage.keeps) await storage.fetchAhead(chunk, { signal });
  });
}
