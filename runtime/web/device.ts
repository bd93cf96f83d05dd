/** The WebGPU device: opened once with everything the adapter offers, its failures as our errors. */

import { isAbort, ModelpressError, NO_WEBGPU } from "./errors.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Plan } from "./formats.ts";

const FEATURES = [
  "shader-f16",
  "subgroups",
  "timestamp-query",
  "chromium-experimental-subgroup-matrix",
];
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
];
const LOSS_NOTICE_MS = 200;
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|software|basic render/i;

/** One open device. After `lost` settles it is of no use; open another. */
export class Device {
  readonly gpu: GPUDevice;
  readonly info: DeviceInfo;
  readonly lost: Promise<ModelpressError>;
  #failure: ModelpressError | undefined;
  #loss: ModelpressError | undefined;
  readonly #guarded = new Set<(loss: ModelpressError) => void>();

  private constructor(gpu: GPUDevice, info: DeviceInfo) {
    this.gpu = gpu;
    this.info = info;
    this.lost = gpu.lost.then((reason) => this.#lose(lostError(reason)));
    gpu.addEventListener("uncapturederror", (event) => {
      this.#failure ??= translate(event.error);
    });
  }

  /** Opens the best adapter; `no_webgpu` when there is none. */
  static async open(): Promise<Device> {
    const adapter = await requestAdapter();
    const limits = Object.fromEntries(
      LIMITS.filter((name) => name in adapter.limits).map((name) => [name, limit(adapter, name)]),
    );
    const requiredFeatures = FEATURES.filter((name) => adapter.features.has(name));
    try {
      const gpu = await adapter.requestDevice({
        label: "modelpress",
        requiredFeatures: requiredFeatures as GPUFeatureName[],
        requiredLimits: limits,
      });
      return new Device(gpu, describe(adapter, gpu));
    } catch (error) {
      throw new ModelpressError("no_webgpu", `${NO_WEBGPU} (${message(error)})`);
    }
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  /** Throws what went wrong on the device since the last call, if anything did. */
  check(): void {
    if (this.#loss) throw this.#loss;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  /** `work`, or "device_lost" as soon as the device is lost: a lost device must not hang a caller. */
  async guard<T>(work: Promise<T>): Promise<T> {
    let onLoss = (_: ModelpressError): void => undefined;
    const lost = new Promise<never>((_, reject) => (onLoss = reject));
    // Not `this.lost.then`: that would keep something of every token while the device lives.
    this.#guarded.add(onLoss);
    if (this.#loss) onLoss(this.#loss);
    try {
      return await Promise.race([work, lost]);
    } catch (error) {
      // Pending work fails a moment before the loss that caused it is announced.
      if (isAbort(error)) await Promise.race([this.lost, sleep(LOSS_NOTICE_MS)]);
      if (this.#loss) throw this.#loss;
      throw error;
    } finally {
      this.#guarded.delete(onLoss);
    }
  }

  /** Throws "device_lost" when the device is lost now or in a moment: losses are announced late. */
  async survive(): Promise<void> {
    await Promise.race([this.lost, sleep(LOSS_NOTICE_MS)]);
    if (this.#loss) throw this.#loss;
  }

  #lose(loss: ModelpressError): ModelpressError {
    this.#loss = loss;
    for (const onLoss of this.#guarded) onLoss(loss);
    return loss;
  }

  /** Runs `work`, which queues commands; what they are refused for settles the promise. */
  queue(work: () => void): Promise<ModelpressError | undefined> {
    this.gpu.pushErrorScope("validation");
    let thrown: { readonly error: unknown } | undefined;
    try {
      work();
    } catch (error) {
      thrown = { error };
    }
    const refused = this.gpu.popErrorScope();
    const failure = refused.then(
      (error) => (error ? translate(error) : undefined), () => this.#loss,
    );
    if (thrown) throw thrown.error;
    return failure;
  }

  /** Remembers a failure for the next `check`. */
  note(failure: ModelpressError | undefined): void {
    this.#failure ??= failure;
  }

  /** Runs `work` inside error scopes; what they catch is thrown, naming `what`. */
  async scoped<T>(what: string, work: () => T): Promise<T> {
    this.gpu.pushErrorScope("validation");
    this.gpu.pushErrorScope("out-of-memory");
    let value: T;
    let found: Promise<(GPUError | null)[]>;
    try {
      value = work();
    } finally {
      found = Promise.all([this.gpu.popErrorScope(), this.gpu.popErrorScope()]);
      found.catch(() => undefined);
    }
    const error = (await this.guard(found)).find((item) => item !== null);
    if (error) throw translate(error, what);
    return value;
  }

  destroy(): void {
    this.gpu.destroy();
  }
}

/** What a plan or a variant asks of a device. */
export type Needs = Pick<Plan, "features" | "limits">;

/** What the device misses of `needs`, in words. */
export function lackingOf({ features, limits }: Needs, info: DeviceInfo): string[] {
  if (info.features.includes("wasm") && !features.includes("wasm")) return ["WebGPU"];
  const missing = features.filter((name) => !info.features.includes(name));
  const small = Object.entries(limits).filter(([name, value]) => limitOf(info, name) < value);
  return [
    ...missing.map((name) => `the feature ${name}`),
    ...small.map(([name, value]) => `${name} ${value} (it has ${limitOf(info, name)})`),
  ];
}

/** Refuses a plan that this device cannot run, naming everything that is lacking. */
export function requireFit(plan: Plan, info: DeviceInfo): void {
  const lacking = lackingOf(plan, info);
  if (lacking.length === 0) return;
  throw new ModelpressError(
    "unsupported_device",
    `the plan ${plan.variant} of ${plan.model} cannot run on this device, which lacks ` +
      `${lacking.join(", ")}. Choose the variant "auto" or a smaller model`,
    { lacking },
  );
}

function limitOf(info: DeviceInfo, name: string): number {
  return info.limits[name] ?? 0;
}

async function requestAdapter(): Promise<GPUAdapter> {
  // The type says `gpu` always exists; browsers without WebGPU and insecure pages disagree.
  const gpu = navigator.gpu as GPU | undefined;
  if (!gpu) throw new ModelpressError("no_webgpu", NO_WEBGPU);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new ModelpressError("no_webgpu", `${NO_WEBGPU}. No graphics adapter was found`);
  }
  return adapter;
}

function describe(adapter: GPUAdapter, gpu: GPUDevice): DeviceInfo {
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const isSoftware = SOFTWARE.test(`${vendor} ${architecture} ${description}`);
  const names: string[] = [];
  for (const name in gpu.limits) names.push(name);
  const limits = names
    .map((name) => [name, (gpu.limits as unknown as { [n: string]: unknown })[name]] as const)
    .filter((pair): pair is readonly [string, number] => typeof pair[1] === "number");
  return {
    kind: isFallbackAdapter || isSoftware ? "cpu" : "gpu",
    vendor,
    architecture,
    description,
    driver: navigator.userAgent,
    features: [...gpu.features, ...matrixFeatures(adapter.info)].sort(),
    limits: Object.fromEntries(limits),
  };
}

/** What plans on subgroup matrices ask besides WebGPU's own feature, in words of the same kind. */
export function matrixFeatures(info: Partial<MatrixInfo>): string[] {
  const { subgroupMinSize: least, subgroupMaxSize: most, subgroupMatrixConfigs = [] } = info;
  const shapes = [...subgroupMatrixConfigs].map(
    (c) => `subgroup-matrix-${c.componentType}-${c.resultComponentType}-${c.M}x${c.N}x${c.K}`,
  );
  return shapes.length > 0 && least === most ? [`subgroup-size-${least}`, ...shapes] : shapes;
}

/** The part of the adapter's information that is behind Chromium's feature. */
interface MatrixInfo {
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  readonly subgroupMatrixConfigs: readonly {
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }[];
}

function limit(adapter: GPUAdapter, name: string): number {
  return (adapter.limits as unknown as { readonly [n: string]: number })[name] ?? 0;
}

function lostError(reason: GPUDeviceLostInfo): ModelpressError {
  return new ModelpressError(
    "device_lost",
    `the graphics device was lost (${reason.message || reason.reason}). ` +
      "Ask again: the engine opens a new one",
    { reason: reason.reason },
  );
}

/** A WebGPU error as ours. */
export function translate(error: unknown, what = "a queued command"): ModelpressError {
  if (error instanceof ModelpressError) return error;
  if (error instanceof GPUOutOfMemoryError || error instanceof RangeError) {
    return new ModelpressError(
      "out_of_memory",
      `the device has no memory left for ${what}. Close other tabs, or choose a smaller model ` +
        "or context",
      { what },
    );
  }
  return new ModelpressError("internal", `WebGPU refused ${what}: ${message(error)}`, { what });
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

function message(error: unknown): string {
  return (error as { message?: string } | null)?.message || String(error);
}
