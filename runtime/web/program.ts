/** A plan on the device: buffers, bind groups and, for each entry, the dispatches to encode. */

import type { Dispatch, Entry } from "./batch.ts";
import { Batch } from "./batch.ts";
import type { Device } from "./device.ts";
import { translate } from "./device.ts";
import { ModelpressError } from "./errors.ts";
import { Cells, compileExpr, evaluate } from "./expr.ts";
import type { Plan, Step } from "./formats.ts";
import type { Pipeline } from "./pipelines.ts";
import { pipelineKey } from "./pipelines.ts";
import { Uniforms } from "./uniforms.ts";

/** Entries whose steps can all be dispatched, by name, and what with. */
export interface Ready {
  readonly entries: ReadonlyMap<string, readonly Step[]>;
  readonly pipelines: ReadonlyMap<string, Pipeline>;
}

/** Divides the entries `names` into those that are ready and those with a kernel that failed. */
export function sortOut(
  plan: Plan, names: readonly string[], compiled: ReadonlyMap<string, Pipeline | ModelpressError>,
): { readonly ready: Ready; readonly failed: ReadonlyMap<string, ModelpressError> } {
  const pipelines = new Map<string, Pipeline>();
  const errors = new Map<string, ModelpressError>();
  for (const [key, item] of compiled) {
    if (item instanceof ModelpressError) errors.set(key, item);
    else pipelines.set(key, item);
  }
  const entries = new Map<string, readonly Step[]>();
  const failed = new Map<string, ModelpressError>();
  for (const name of names) {
    const { steps } = need(new Map(Object.entries(plan.entries)), name, "entry");
    const broken = steps.map(pipelineKey).find((key) => errors.has(key));
    if (broken === undefined) entries.set(name, steps);
    else failed.set(name, need(errors, broken, "kernel"));
  }
  return { ready: { entries, pipelines }, failed };
}

export type Buffers = ReadonlyMap<string, GPUBuffer>;

/** The buffers of `plan`; `pages` sizes the KV cache. `out_of_memory` names the plan. */
export async function makeBuffers(device: Device, plan: Plan, pages: number): Promise<Buffers> {
  const symbols = { pages };
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffers = new Map<string, GPUBuffer>();
  try {
    await device.scoped(`the buffers of ${plan.model}`, () => {
      for (const { name, nbytes } of plan.buffers) {
        const size = evaluate(compileExpr(nbytes), symbols);
        buffers.set(name, device.gpu.createBuffer({ label: name, size, usage }));
      }
    });
    return buffers;
  } catch (error) {
    for (const buffer of buffers.values()) buffer.destroy();
    throw translate(error, `the buffers of ${plan.model}`);
  }
}

/** A plan whose pipelines are compiled and whose buffers exist. */
export class Program {
  readonly plan: Plan;
  readonly buffers: Buffers;
  readonly #uniforms: Uniforms;
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #batches = new Map<string, Batch>();

  private constructor(
    plan: Plan, buffers: Buffers, uniforms: Uniforms, entries: ReadonlyMap<string, Entry>,
  ) {
    this.plan = plan;
    this.buffers = buffers;
    this.#uniforms = uniforms;
    this.#entries = entries;
  }

  /** Makes every bind group of the entries in `ready` once. */
  static async build(device: Device, plan: Plan, buffers: Buffers, ready: Ready): Promise<Program> {
    return device.scoped(`the bindings of ${plan.model}`, () => {
      const steps = [...ready.entries.values()].flat();
      const uniforms = new Uniforms(device, steps, new Cells());
      const groups = new Map<string, GPUBindGroup>();
      const dispatch = (step: Step, cells: Cells): Dispatch => {
        const { pipeline, layout } = need(ready.pipelines, pipelineKey(step), "kernel");
        const key = JSON.stringify([pipelineKey(step), step.bindings, step.uniforms]);
        const group = groups.get(key) ?? bind(device, step, layout, buffers, uniforms);
        groups.set(key, group);
        const [x, y, z] = step.grid;
        const grid = { x: cells.of(x), y: cells.of(y), z: cells.of(z) };
        return { kernel: step.kernel, pipeline, group, ...grid };
      };
      const entries = new Map<string, Entry>();
      for (const [name, steps] of ready.entries) {
        // Entries have cells of their own: not all are given the same symbols.
        const cells = new Cells();
        const dispatches = steps.map((step) => dispatch(step, cells));
        entries.set(name, { dispatches, cells, varying: uniforms.varying(steps, cells) });
      }
      return new Program(plan, buffers, uniforms, entries);
    });
  }

  buffer(name: string): GPUBuffer {
    return need(this.buffers, name, "buffer");
  }

  /** What a submit of the entries `queued` replays. */
  batch(queued: readonly string[]): Batch {
    const key = queued.join("+");
    let batch = this.#batches.get(key);
    if (!batch) {
      const entries = queued.map((name) => need(this.#entries, name, "entry"));
      batch = new Batch(key, entries, this.#uniforms);
      this.#batches.set(key, batch);
    }
    return batch;
  }

  destroy(): void {
    for (const buffer of this.buffers.values()) buffer.destroy();
    this.#uniforms.buffer.destroy();
  }
}

function bind(
  device: Device, step: Step, layout: GPUBindGroupLayout, buffers: Buffers, uniforms: Uniforms,
): GPUBindGroup {
  const resources: GPUBufferBinding[] = step.bindings.map((name) => ({
    buffer: need(buffers, name, "buffer"),
  }));
  if (step.uniforms.length > 0) resources.push(uniforms.binding(step));
  const entries = resources.map((resource, binding) => ({ binding, resource }));
  return device.gpu.createBindGroup({ label: step.kernel, layout, entries });
}

function need<T>(map: ReadonlyMap<string, T>, name: string, what: string): T {
  const value = map.get(name);
  if (value === undefined) {
    throw new ModelpressError("internal", `the plan has no ${what} named ${name}`);
  }
  return value;
}
