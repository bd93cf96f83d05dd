/** What this browser offers, and whether a model fits it. Asks the adapter; opens no device. */

import { hasRelaxedSimd, hasSimd } from "../../runtime/web/processor.ts";
import type { ModelFacts, VariantFacts } from "./facts.ts";
import { bytes } from "./words.ts";

/** What variants may ask for, and find. */
interface Offer {
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
}

export interface Device extends Offer {
  readonly name: string;
  /** A processor pretending to be a graphics card. */
  readonly software: boolean;
}

/** No WebGPU, and why as far as it can be told. */
export interface NoDevice {
  readonly reason: "insecure" | "browser" | "adapter";
}

export type Verdict = {
  readonly kind: "fits" | "slow" | "tight" | "no";
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
  return {
    name: description || [vendor, architecture].filter(Boolean).join(" ") || "graphics card",
    software: SOFTWARE.test(`${vendor} ${architecture} ${description} ${device}`),
    features: new Set(adapter.features),
    limits,
  };
}

export function isDevice(found: Device | NoDevice): found is Device {
  return "features" in found;
}

/** The processor, for which models are made as well; null in browsers that are too old. */
function processor(): Offer | null {
  if (!isSecureContext || !hasSimd()) return null;
  const relaxed = hasRelaxedSimd() ? ["wasm-relaxed-simd"] : [];
  const nbytes = 2 ** 32;
  return {
    features: new Set(["wasm", "wasm-simd128", ...relaxed]),
    limits: { wasmMemorySize: nbytes, maxBufferSize: nbytes, maxStorageBufferBindingSize: nbytes },
  };
}

/** One line about the browser, for people. */
export function deviceWords(found: Device | NoDevice): string {
  const slower = "models run on the processor, more slowly and just as private";
  if (isDevice(found)) {
    return found.software
      ? `This browser has no graphics card to compute on (${found.name} is the processor): ${slower}.`
      : `This browser is ready: WebGPU on ${found.name}.`;
  }
  if (found.reason === "insecure") {
    return "This address is not secure, so the browser withholds WebGPU. Open the site with https://, or on this computer as localhost.";
  }
  const why = {
    browser: "This browser has no WebGPU",
    adapter: "This browser has WebGPU but found no graphics card it may use",
  }[found.reason];
  return processor() ? `${why}: ${slower}.` : `${why}, and is too old to compute on the processor.`;
}

/** Whether `model` runs on `device`, or on the processor; the same rule as the engine's `place`. */
export function judge(model: ModelFacts, device: Device | NoDevice): Verdict {
  const graphics = isDevice(device) ? graphicsVariant(model, device) : undefined;
  const plain = processorVariant(model);
  const isHardware = isDevice(device) && !device.software;
  const variant = isHardware ? graphics ?? plain : plain ?? graphics;
  if (!variant) return refusal(model, device);
  const isSlow = variant === plain;
  const needs = `It needs ${bytes(variant.memory_nbytes)} of memory with a full context`;
  const memory_nbytes = memoryNbytes();
  if (memory_nbytes !== null && variant.memory_nbytes > 0.6 * memory_nbytes) {
    const has = `this device has about ${bytes(memory_nbytes)} in all`;
    return { kind: "tight", words: "May be too large", detail: `${needs}; ${has}.` };
  }
  const detail = `${needs}. The variant “${variant.name}” would run here`;
  return isSlow
    ? { kind: "slow", words: "Runs on the processor", detail: `${detail}, without a graphics card.` }
    : { kind: "fits", words: "Fits this device", detail: `${detail}.` };
}

function graphicsVariant(model: ModelFacts, device: Device): VariantFacts | undefined {
  const fitting = model.variants.filter((v) => !isForProcessors(v) && lacking(v, device).length === 0);
  return fitting.find((v) => (v.name === "software") === device.software) ?? fitting[0];
}

function processorVariant(model: ModelFacts): VariantFacts | undefined {
  const offer = processor();
  return offer ? model.variants.find((v) => isForProcessors(v) && lacking(v, offer).length === 0) : undefined;
}

function isForProcessors({ features }: VariantFacts): boolean {
  return features.includes("wasm");
}

function refusal(model: ModelFacts, device: Device | NoDevice): Verdict {
  if (!isDevice(device)) {
    const also = device.reason === "insecure" ? "" : " This model was not made for the processor.";
    return { kind: "no", words: "Needs WebGPU", detail: deviceWords(device) + also };
  }
  const least = model.variants.filter((v) => !isForProcessors(v)).at(-1);
  const missing = least ? lacking(least, device).join(", ") : "a plan";
  return { kind: "no", words: "Does not fit this device", detail: `It lacks ${missing}.` };
}

/** Bytes of main memory as far as the browser tells. */
function memoryNbytes(): number | null {
  const gigabytes = (navigator as { readonly deviceMemory?: number }).deviceMemory;
  return gigabytes === undefined ? null : gigabytes * 1e9;
}

function lacking(variant: VariantFacts, offer: Offer): string[] {
  const features = variant.features.filter((name) => !offer.features.has(name));
  const limits = Object.entries(variant.limits)
    .filter(([name, value]) => (offer.limits[name] ?? 0) < value)
    .map(([name, value]) => `${name} of ${value} (it has ${offer.limits[name] ?? 0})`);
  return [...features.map((name) => `the feature ${name}`), ...limits];
}
