/** What the engine tells of itself: the device, the loaded model, what is kept between visits. */

import type { Embedding } from "./formats.ts";

/** The adapter's facts, as `DeviceInfo` in runtime/executor.py. */
export interface DeviceInfo {
  /** "cpu" for an adapter known to be software. */
  readonly kind: "gpu" | "cpu";
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** The browser that compiles and runs kernels here. */
  readonly driver: string;
  readonly features: readonly string[];
  readonly limits: { readonly [name: string]: number };
}

/** What the self-test saw: logits by two ways that share hardly a kernel, compared.
 *
 * Differences are relative to the largest logit; null stands for no usable numbers.
 */
export interface SelfTestInfo {
  /** In UTC (ISO 8601). */
  readonly tested: string;
  /** Whether that was at an earlier load. */
  readonly remembered: boolean;
  /** Of the entries in use. */
  readonly largest_difference: number;
  /** From here on an entry is not used. */
  readonly bound: number;
  /** By entry of the plan. */
  readonly differences: { readonly [entry: string]: number | null };
}

/** Which of several entries that compute the same is used, and why. */
export interface ChoiceInfo {
  readonly entry: string;
  /** Whether `choices` of the options asked for it. */
  readonly forced: boolean;
  /** Whether it was measured at an earlier load. */
  readonly remembered: boolean;
  /** Medians by entry: of a step, or of a chunk of the prompt; none where there was no choice. */
  readonly milliseconds: { readonly [entry: string]: number };
}

/** A variant that failed the self-test here; `difference` as in `SelfTestInfo`. */
export interface RefusalInfo {
  readonly variant: string;
  readonly difference: number | null;
}

/** A model on the processor, in WebAssembly: because somebody asked for its variant; because there is
 * no WebGPU, or only one that is computed by the processor anyway ("software"); because the graphics
 * device lacks what every other variant needs ("unfit"), failed their self-test, or was lost twice.
 */
export interface ProcessorInfo {
  readonly reason:
    | "asked" | "no_webgpu" | "software" | "unfit" | "self_test" | "device_lost" | "only";
}

/** The loaded model. `memory` is in bytes by role, `context` in tokens. */
export interface LoadedModelInfo {
  readonly id: string;
  readonly name: string;
  readonly scheme: string;
  /** What it is asked for: answers, or a vector for each text. */
  readonly task: "chat" | "embedding";
  readonly variant: string;
  readonly context: number;
  readonly synthetic: boolean;
  /** Steps queued ahead. */
  readonly depth: number;
  readonly memory: { readonly [role: string]: number };
  /** Of a model of embeddings: of one run of texts. */
  readonly dispatches_per_token: number;
  /** Kernels compiled for it. */
  readonly kernels: number;
  readonly self_test: SelfTestInfo;
  /** For "prefill" and "decode", how this device computes it. */
  readonly choices: { readonly [name: string]: ChoiceInfo };
  /** Why it runs on the processor; null on WebGPU. */
  readonly processor: ProcessorInfo | null;
  /** Better variants that this device computes wrongly. */
  readonly refused: readonly RefusalInfo[];
  readonly suggestions: readonly string[];
  /** How a model of embeddings makes vectors; null for others. */
  readonly embedding: Embedding | null;
}

export interface EngineInfo {
  /** `name` is for people. */
  readonly device: DeviceInfo & { readonly name: string };
  readonly model: LoadedModelInfo | null;
  /** Whether downloads are kept for the next visit; false after the quota was exceeded. */
  readonly cache: { readonly keeps: boolean };
  readonly python: {
    /** Whether Python started from the image that the site ships, or had to boot. */
    readonly start: "snapshot" | "cold";
    /** Bytes of memory that Python has taken so far; it gives none back. */
    readonly heap_nbytes: number;
  };
}

/** A model with blobs on this device. */
export interface CachedModel {
  readonly model: string;
  readonly scheme: string;
  readonly name: string;
  /** Bytes kept here, and bytes of the whole model. */
  readonly nbytes: number;
  readonly total_nbytes: number;
  /** Whether it can run offline. */
  readonly complete: boolean;
}
