/** Compute pipelines: compiled in parallel, one for each text and binding layout, kept by key. */

import type { Device } from "./device.ts";
import { translate } from "./device.ts";
import { ModelpressError } from "./errors.ts";
import type { Kernel, Plan, Step } from "./formats.ts";

/** What a step dispatches with. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export type OnCompiled = (done: number, total: number) => void;

/** The kind of every binding of a step in order: r(ead), w(rite), u(niform). */
export function signature(step: Step): string {
  const kinds = step.bindings.map((_, index) => (step.writes.includes(index) ? "w" : "r"));
  return kinds.join("") + (step.uniforms.length > 0 ? "u" : "");
}

const KINDS: { readonly [kind: string]: GPUBufferBindingType } = {
  r: "read-only-storage",
  w: "storage",
  u: "uniform",
};

/** The pipelines of one device. */
export class Pipelines {
  readonly #device: Device;
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #infos = new WeakMap<GPUShaderModule, Promise<GPUCompilationInfo>>();
  readonly #pending = new Map<string, Promise<Pipeline>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The pipelines of `entries` by `pipelineKey`, or why one cannot be compiled on this device.
   *
   * Those asked for before are not compiled again.
   */
  async compile(
    plan: Plan, entries: readonly string[], onCompiled: OnCompiled,
  ): Promise<Map<string, Pipeline | ModelpressError>> {
    const wanted = distinctPipelines(plan, entries);
    let done = 0;
    onCompiled(0, wanted.size);
    const pairs = [...wanted].map(async ([key, { kernel, kinds }]) => {
      const pipeline = await this.#pipeline(kernel, kinds).catch(refusal);
      onCompiled(++done, wanted.size);
      return [key, pipeline] as const;
    });
    return new Map(await this.#device.guard(Promise.all(pairs)));
  }

  /** Forgets pipelines that `entries` do not use, so that another model's do not pile up. */
  keepOnly(plan: Plan, entries: readonly string[]): void {
    const used = [...distinctPipelines(plan, entries).values()];
    const keys = new Set(used.map(({ kernel, kinds }) => compileKey(kernel, kinds)));
    const texts = new Set(used.map(({ kernel }) => kernel.wgsl));
    for (const key of this.#pending.keys()) if (!keys.has(key)) this.#pending.delete(key);
    for (const text of this.#modules.keys()) if (!texts.has(text)) this.#modules.delete(text);
  }

  #pipeline(kernel: Kernel, kinds: string): Promise<Pipeline> {
    const key = compileKey(kernel, kinds);
    let pending = this.#pending.get(key);
    if (!pending) {
      pending = this.#create(kernel, kinds);
      this.#pending.set(key, pending);
      // A failed compilation must not be remembered: the next load may be on a healthy device.
      pending.catch(() => this.#pending.delete(key));
    }
    return pending;
  }

  async #create(kernel: Kernel, kinds: string): Promise<Pipeline> {
    const layout = this.#layout(kinds);
    const gpu = this.#device.gpu;
    try {
      const pipeline = await gpu.createComputePipelineAsync({
        label: kernel.name,
        layout: gpu.createPipelineLayout({ label: kinds, bindGroupLayouts: [layout] }),
        compute: { module: this.#module(kernel), entryPoint: kernel.entry_point },
      });
      return { pipeline, layout };
    } catch (error) {
      await this.#device.survive();
      if (!isPipelineError(error)) throw translate(error, `the kernel ${kernel.name}`);
      const { messages } = await this.#info(this.#module(kernel));
      const reason = messages.find((item) => item.type === "error");
      const where = reason ? `line ${reason.lineNum}: ${reason.message}` : error.message;
      throw new ModelpressError(
        "unsupported_device",
        `the kernel ${kernel.name} does not compile on this device (${where}). ` +
          "Try another variant of the model",
        { kernel: kernel.name },
      );
    }
  }

  #module(kernel: Kernel): GPUShaderModule {
    let module = this.#modules.get(kernel.wgsl);
    if (!module) {
      const gpu = this.#device.gpu;
      // The pipeline promise reports the same error with the kernel's name.
      gpu.pushErrorScope("validation");
      module = gpu.createShaderModule({ label: kernel.name, code: kernel.wgsl });
      void gpu.popErrorScope().catch(() => undefined);
      this.#modules.set(kernel.wgsl, module);
    }
    return module;
  }

  /** Asked for once: Chromium leaves a second question about a module without an answer. */
  #info(module: GPUShaderModule): Promise<GPUCompilationInfo> {
    const known = this.#infos.get(module) ?? module.getCompilationInfo();
    this.#infos.set(module, known);
    return known;
  }

  #layout(kinds: string): GPUBindGroupLayout {
    let layout = this.#layouts.get(kinds);
    if (!layout) {
      layout = this.#device.gpu.createBindGroupLayout({
        label: kinds,
        entries: [...kinds].map((kind, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: KINDS[kind] ?? "storage" },
        })),
      });
      this.#layouts.set(kinds, layout);
    }
    return layout;
  }
}

/** Names the pipeline of a step inside one plan. */
export function pipelineKey(step: Step): string {
  return `${step.kernel} ${signature(step)}`;
}

function compileKey(kernel: Kernel, kinds: string): string {
  return `${kinds} ${kernel.entry_point} ${kernel.wgsl}`;
}

function isPipelineError(error: unknown): error is GPUPipelineError {
  return (error as { name?: string } | null)?.name === "GPUPipelineError";
}

/** A kernel that does not compile here, as a value; any other error is thrown. */
function refusal(error: unknown): ModelpressError {
  if (error instanceof ModelpressError && error.code === "unsupported_device") return error;
  throw error;
}

function distinctPipelines(
  plan: Plan, entries: readonly string[],
): Map<string, { kernel: Kernel; kinds: string }> {
  const kernels = new Map(plan.kernels.map((kernel) => [kernel.name, kernel]));
  const wanted = new Map<string, { kernel: Kernel; kinds: string }>();
  for (const name of entries) {
    for (const step of plan.entries[name]?.steps ?? []) {
      const kernel = kernels.get(step.kernel);
      if (kernel) wanted.set(pipelineKey(step), { kernel, kinds: signature(step) });
    }
  }
  return wanted;
}
