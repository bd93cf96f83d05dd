/** What the engine tells of itself: the device, the loaded model, what is kept between visits. */

/** The adapter's facts, as `DeviceInfo` in runtime/executor.py. */
export interface DeviceInfo {
  /** "cpu" for an adapter known to be software. */
  readonly kind: "gpu" | "cpu";
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly features: readonly string[];
  readonly limits: { readonly [name: string]: number };
}

/** The loaded model. `memory` is in bytes by role, `context` in tokens. */
export interface LoadedModelInfo {
  readonly id: string;
  readonly name: string;
  readonly scheme: string;
  readonly variant: string;
  readonly context: number;
  readonly synthetic: boolean;
  /** Steps queued ahead. */
  readonly depth: number;
  readonly memory: { readonly [role: string]: number };
  readonly dispatches_per_token: number;
  readonly kernels: number;
  readonly suggestions: readonly string[];
}

export interface EngineInfo {
  /** `name` is for people. */
  readonly device: DeviceInfo & { readonly name: string };
  readonly model: LoadedModelInfo | null;
  /** Whether downloads are kept for the next visit; false after the quota was exceeded. */
  readonly cache: { readonly keeps: boolean };
  /** Whether Python started from the image that the site ships, or had to boot. */
  readonly python: { readonly start: "snapshot" | "cold" };
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
