/** What this browser offers, and whether a model fits it. Asks the adapter; opens no device. */

import type { ModelFacts, VariantFacts } from "./facts.ts";
import { bytes } from "./words.ts";

export interface Device {
  readonly name: string;
  /** A processor pretending to be a graphics card. */
  readonly software: boolean;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
  /** Bytes of main memory as far as the browser tells. */
  readonly memory_nbytes: number | null;
}

/** No WebGPU, and why as far as it can be told. */
export interface NoDevice {
  readonly reason: "insecure" | "browser" | "adapter";
}

export type Verdict = {
  readonly kind: "fits" | "tight" | "no";
  readonly words: string;
  readonly detail: string;
};

const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

export async function findDevice(): Promise<Device | NoDevice> {
  if (!isSecureContext) return { reason: "insecure" };
  if (!navigator.gpu) return { reason: "browser" };
  const options = { powerPreference: "high-performance" } as const;
  const adapter = await navigator.gpu.requestAdapter(options).catch(() => null);
  if (!adapter) return { reason: "adapter" };
  const { vendor, architecture, description, device } = adapter.info;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof value === "number") limits[name] = value;
  }
  const gigabytes = (navigator as { readonly deviceMemory?: number }).deviceMemory;
  return {
    name: description || [vendor, architecture].filter(Boolean).join(" ") || "graphics card",
    software: SOFTWARE.test(`${vendor} ${architecture} ${description} ${device}`),
    features: new Set(adapter.features),
    limits,
    memory_nbytes: gigabytes === undefined ? null : gigabytes * 1e9,
  };
}

export function isDevice(found: Device | NoDevice): found is Device {
  return "features" in found;
}

/** One line about the browser, for people. */
export function deviceWords(found: Device | NoDevice): string {
  if (isDevice(found)) {
    return found.software
      ? `This browser has WebGPU, computed by the processor (${found.name}): it works, slowly.`
      : `This browser is ready: WebGPU on ${found.name}.`;
  }
  return {
    insecure: "This address is not secure, so the browser withholds WebGPU. Open the site with https://, or on this computer as localhost.",
    browser: "This browser has no WebGPU, which the models need.",
    adapter: "This browser has WebGPU but found no graphics card it may use.",
  }[found.reason];
}

/** Whether `model` runs on `device`; the same rule as the engine's `choose_variant`. */
export function judge(model: ModelFacts, device: Device | NoDevice): Verdict {
  if (!isDevice(device)) {
    return { kind: "no", words: "Needs WebGPU", detail: deviceWords(device) };
  }
  const fitting = model.variants.filter((v) => lacking(v, device).length === 0);
  const made = fitting.find((v) => (v.name === "software") === device.software);
  const variant = made ?? fitting[0];
  const least = model.variants.at(-1);
  if (!variant) {
    const missing = least ? lacking(least, device).join(", ") : "a plan";
    return { kind: "no", words: "Does not fit this device", detail: `It lacks ${missing}.` };
  }
  const needs = `It needs ${bytes(variant.memory_nbytes)} of memory with a full context`;
  if (device.memory_nbytes !== null && variant.memory_nbytes > 0.6 * device.memory_nbytes) {
    const has = `this device has about ${bytes(device.memory_nbytes)} in all`;
    return { kind: "tight", words: "May be too large", detail: `${needs}; ${has}.` };
  }
  const detail = `${needs}. The variant “${variant.name}” would run here.`;
  return { kind: "fits", words: "Fits this device", detail };
}

function lacking(variant: VariantFacts, device: Device): string[] {
  const features = variant.features.filter((name) => !device.features.has(name));
  const limits = Object.entries(variant.limits)
    .filter(([name, value]) => (device.limits[name] ?? 0) < value)
    .map(([name, value]) => `${name} of ${value} (it has ${device.limits[name] ?? 0})`);
  return [...features.map((name) => `the feature ${name}`), ...limits];
}
