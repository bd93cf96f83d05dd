/** What one submit replays: the dispatches of some entries in order. */

import type { Cell, Cells, Symbols } from "./expr.ts";
import type { Uniforms, Varying } from "./uniforms.ts";

/** One dispatch, ready to encode. */
export interface Dispatch {
  readonly kernel: string;
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly x: Cell;
  readonly y: Cell;
  readonly z: Cell;
}

/** An entry point: its dispatches, and the cells and uniform words that vary in them. */
export interface Entry {
  readonly dispatches: readonly Dispatch[];
  readonly cells: Cells;
  readonly varying: readonly Varying[];
}

/** Made once for each list of entries that is submitted, so that a step looks at what varies only. */
export class Batch {
  /** Labels encoders and passes with the names of the entries. */
  readonly descriptor: { readonly label: string };
  readonly #cells: readonly Cells[];
  readonly #dispatches: readonly Dispatch[];
  readonly #varying: readonly Varying[];
  readonly #uniforms: Uniforms;

  constructor(label: string, entries: readonly Entry[], uniforms: Uniforms) {
    this.descriptor = { label };
    this.#cells = entries.map(({ cells }) => cells);
    this.#dispatches = entries.flatMap(({ dispatches }) => dispatches);
    this.#varying = inOrder(entries.flatMap(({ varying }) => varying));
    this.#uniforms = uniforms;
  }

  /** Queues the uniforms, then encodes every dispatch in one pass. */
  encode(encoder: GPUCommandEncoder, symbols: Symbols): void {
    this.#update(symbols);
    const pass = encoder.beginComputePass(this.descriptor);
    let pipeline: GPUComputePipeline | undefined;
    let group: GPUBindGroup | undefined;
    for (const dispatch of this.#dispatches) {
      const x = dispatch.x.value;
      const y = dispatch.y.value;
      const z = dispatch.z.value;
      if (x === 0 || y === 0 || z === 0) continue;
      if (dispatch.pipeline !== pipeline) pass.setPipeline((pipeline = dispatch.pipeline));
      if (dispatch.group !== group) pass.setBindGroup(0, (group = dispatch.group));
      pass.dispatchWorkgroups(x, y, z);
    }
    pass.end();
  }

  /** Queues the uniforms; the dispatches that have work to do. */
  busy(symbols: Symbols): Dispatch[] {
    this.#update(symbols);
    return this.#dispatches.filter(({ x, y, z }) => x.value && y.value && z.value);
  }

  #update(symbols: Symbols): void {
    for (const cells of this.#cells) cells.update(symbols);
    this.#uniforms.write(this.#varying);
  }
}

/** Entries may share words: what is submitted together has the same symbols, so the same values. */
function inOrder(varying: readonly Varying[]): Varying[] {
  const words = new Map(varying.map((item) => [item.word, item]));
  return [...words.values()].sort((a, b) => a.word - b.word);
}
