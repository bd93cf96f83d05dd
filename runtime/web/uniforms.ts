/** The uniform buffer of a plan: one slot for each distinct struct, written only where it changed. */

import type { Device } from "./device.ts";
import type { Cell, Cells } from "./expr.ts";
import type { Step, Uniform } from "./formats.ts";

const SLOT_NBYTES = 256;

/** A struct's place in the buffer. */
interface Slot {
  readonly offset: number;
  readonly nbytes: number;
}

/** A word that depends on symbols: where it lies, in words, and what it holds. */
export interface Varying {
  readonly word: number;
  readonly type: Uniform["type"];
  readonly cell: Cell;
}

export class Uniforms {
  readonly buffer: GPUBuffer;
  readonly #device: Device;
  readonly #slots = new Map<string, Slot>();
  readonly #words: Uint32Array<ArrayBuffer>;

  /** Makes the buffer for `steps` and writes what never varies. */
  constructor(device: Device, steps: readonly Step[], cells: Cells) {
    this.#device = device;
    const nbytes = Math.max(SLOT_NBYTES, this.#layOut(steps));
    this.#words = new Uint32Array(nbytes / 4);
    this.buffer = device.gpu.createBuffer({
      label: "uniforms",
      size: nbytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
    for (const step of steps) {
      for (const { word, type, cell } of this.#members(step, cells)) {
        if (!cell.varies) this.#words[word] = wordOf(type, cell.value);
      }
    }
    device.gpu.queue.writeBuffer(this.buffer, 0, this.#words);
  }

  /** The binding of a step's uniforms. */
  binding(step: Step): GPUBufferBinding {
    const slot = this.#slots.get(slotKey(step.uniforms));
    return { buffer: this.buffer, offset: slot?.offset ?? 0, size: slot?.nbytes ?? SLOT_NBYTES };
  }

  /** The words of `steps` that must be looked at in every step. */
  varying(steps: readonly Step[], cells: Cells): Varying[] {
    const found = new Map<number, Varying>();
    for (const step of steps) {
      for (const member of this.#members(step, cells)) {
        if (member.cell.varies) found.set(member.word, member);
      }
    }
    return [...found.values()];
  }

  /** Queues one write of what changed in `varying`, which is in order, or none. */
  write(varying: readonly Varying[]): void {
    let first = -1;
    let last = -1;
    for (const { word, type, cell } of varying) {
      const bits = wordOf(type, cell.value);
      if (this.#words[word] === bits) continue;
      this.#words[word] = bits;
      if (first < 0) first = word;
      last = word;
    }
    if (first < 0) return;
    const count = last + 1 - first;
    this.#device.gpu.queue.writeBuffer(this.buffer, first * 4, this.#words, first, count);
  }

  /** Gives every distinct struct of `steps` a slot; the bytes of all. */
  #layOut(steps: readonly Step[]): number {
    let offset = 0;
    for (const { uniforms } of steps) {
      const key = slotKey(uniforms);
      if (uniforms.length === 0 || this.#slots.has(key)) continue;
      // A uniform struct's size is rounded up to 16 bytes by the shader's layout rules.
      const nbytes = Math.ceil(uniforms.length / 4) * 16;
      this.#slots.set(key, { offset, nbytes });
      offset += Math.ceil(nbytes / SLOT_NBYTES) * SLOT_NBYTES;
    }
    return offset;
  }

  #members({ uniforms }: Step, cells: Cells): Varying[] {
    const start = (this.#slots.get(slotKey(uniforms))?.offset ?? 0) / 4;
    return uniforms.map(({ type, value }, at) => ({ word: start + at, type, cell: cells.of(value) }));
  }
}

const SCRATCH = new DataView(new ArrayBuffer(4));

/** The 32 bits of a member; typed arrays have the device's byte order wherever browsers run. */
function wordOf(type: Uniform["type"], value: number): number {
  if (type !== "f32") return value >>> 0;
  SCRATCH.setFloat32(0, value);
  return SCRATCH.getUint32(0);
}

function slotKey(uniforms: readonly Uniform[]): string {
  return JSON.stringify(uniforms);
}
