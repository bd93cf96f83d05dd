/** Which entries of a plan the engine will prepare: a guess, so that compiling can begin early.
 *
 * runtime/candidates.py and runtime/assessment.py decide; a wrong guess costs time, nothing else.
 */

import { digest } from "./blob_cache.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Plan } from "./formats.ts";
import type { OpenOptions } from "./messages.ts";
import type { Storage } from "./storage.ts";

const TUNED = ["prefill", "decode"];

type Choices = { readonly [name: string]: string };

/** The choices that an earlier visit has noted for this plan on this device, if any. */
export async function notedChoices(
  storage: Storage, info: DeviceInfo, planSha256: string,
): Promise<Choices | undefined> {
  const { vendor, architecture, description, driver } = info;
  const identity = [vendor, architecture, description, driver].join("\n");
  const name = (await digest(new TextEncoder().encode(identity))).slice(0, 16);
  const text = await storage.note(`devices/${planSha256}/${name}`);
  try {
    return text === undefined ? undefined : (JSON.parse(text) as { choices?: Choices }).choices;
  } catch {
    // A damaged note is no note.
    return undefined;
  }
}

/** The entries of `plan` but for the alternatives that will not be wanted. */
export function likelyEntries(
  plan: Plan, info: DeviceInfo, { choices: forced = {}, retune }: OpenOptions["engine"],
  noted: Choices | undefined,
): string[] {
  const known = retune === true ? undefined : noted;
  // Documents of older builds do not have them.
  const { alternatives = {} } = plan;
  const rivals = new Set([...TUNED, ...Object.values(alternatives).flat()]);
  const wanted = TUNED.flatMap((name) => {
    const chosen = forced[name] ?? known?.[name];
    if (chosen !== undefined) return [chosen];
    return info.kind === "cpu" ? [name] : [name, ...(alternatives[name] ?? [])];
  });
  return Object.keys(plan.entries).filter((name) => wanted.includes(name) || !rivals.has(name));
}
