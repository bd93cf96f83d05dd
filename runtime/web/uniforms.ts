/** The uniform buffer of a plan: one slot for each distinct struct, written only where it changed. */

import type { Device } from "./device.ts";
import type { Compiled, Symbols } from "./expr.ts";
import { compileExpr, evaluate } from "./expr.ts";
import type { Step, Uniform } from "./formats.ts";

const SLOT_NBYTES = 256;

/** A struct's place in the buffer and what to write there. */
interface Slot {
  readonly offset: number;
  readonly nbytes: number;
  readonly members: readonly { readonly type: Uniform["type"]; readonly value: Compiled }[];
}

export class Uniforms {
  readonly buffer: GPUBuffer;
  readonly #device: Device;
  readonly #slots: ReadonlyMap<string, Slot>;
  readonly #entries: ReadonlyMap<string, readonly Slot[]>;
  readonly #words: DataView<ArrayBuffer>;
  /** Bytes [first, end) of `#words` that the device does not have yet. */
  #first = 0;
  #end = 0;

  /** For the steps of `entries`, by name. */
  constructor(device: Device, entries: ReadonlyMap<string, readonly Step[]>) {
    this.#device = device;
    this.#slots = makeSlots(entries.values());
    const nbytes = Math.max(SLOT_NBYTES, ...[...this.#slots.values()].map(endOf));
    this.#words = new DataView(new ArrayBuffer(nbytes));
    this.#entries = new Map(
      [...entries].map(([name, steps]) => [name, this.#slotsOf(steps)]),
    );
    this.buffer = device.gpu.createBuffer({
      label: "uniforms",
      size: nbytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  /** The binding of a step's uniforms. */
  binding(step: Step): GPUBufferBinding {
    const slot = this.#slots.get(slotKey(step.uniforms));
    return { buffer: this.buffer, offset: slot?.offset ?? 0, size: slot?.nbytes ?? SLOT_NBYTES };
  }

  /** Queues one write of what `entries` need under `symbols`, or none when nothing changed. */
  write(entries: readonly string[], symbols: Symbols): void {
    this.#first = this.#words.byteLength;
    this.#end = 0;
    for (const entry of entries) {
      for (const slot of this.#entries.get(entry) ?? []) this.#fill(slot, symbols);
    }
    if (this.#first >= this.#end) return;
    const nbytes = this.#end - this.#first;
    this.#device.gpu.queue.writeBuffer(
      this.buffer, this.#first, this.#words.buffer, this.#first, nbytes,
    );
  }

  #fill(slot: Slot, symbols: Symbols): void {
    let offset = slot.offset;
    for (const { type, value } of slot.members) {
      const bits = wordOf(type, evaluate(value, symbols));
      if (this.#words.getUint32(offset, true) !== bits) {
        this.#words.setUint32(offset, bits, true);
        this.#first = Math.min(this.#first, offset);
        this.#end = Math.max(this.#end, offset + 4);
      }
      offset += 4;
    }
  }

  #slotsOf(steps: readonly Step[]): readonly Slot[] {
    const found = new Set<Slot>();
    for (const step of steps) {
      const slot = this.#slots.get(slotKey(step.uniforms));
      if (slot) found.add(slot);
    }
    return [...found];
  }
}

function makeSlots(lists: Iterable<readonly Step[]>): Map<string, Slot> {
  const slots = new Map<string, Slot>();
  let offset = 0;
  for (const steps of lists) {
    for (const { uniforms } of steps) {
      const key = slotKey(uniforms);
      if (uniforms.length === 0 || slots.has(key)) continue;
      const members = uniforms.map((u) => ({ type: u.type, value: compileExpr(u.value) }));
      // A uniform struct's size is rounded up to 16 bytes by the shader's layout rules.
      const nbytes = Math.ceil(uniforms.length / 4) * 16;
      slots.set(key, { offset, nbytes, members });
      offset += Math.ceil(nbytes / SLOT_NBYTES) * SLOT_NBYTES;
    }
  }
  return slots;
}

const SCRATCH = new DataView(new ArrayBuffer(4));

/** The 32 bits of a member, little-endian on the device. */
function wordOf(type: Uniform["type"], value: number): number {
  if (type !== "f32") return value >>> 0;
  SCRATCH.setFloat32(0, value);
  return SCRATCH.getUint32(0);
}

function slotKey(uniforms: readonly Uniform[]): string {
  return JSON.stringify(uniforms);
}

function endOf(slot: Slot): number {
  return slot.offset + Math.ceil(slot.nbytes / SLOT_NBYTES) * SLOT_NBYTES;
}
