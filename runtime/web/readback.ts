/** Small results back from the device: a ring of mappable buffers, and whole buffers on request. */

import type { Device } from "./device.ts";
import { ModelpressError } from "./errors.ts";

const IN_FLIGHT = 8;

export class Readback {
  readonly #device: Device;
  readonly #free: GPUBuffer[];
  #last: Promise<unknown> = Promise.resolve();

  constructor(device: Device) {
    this.#device = device;
    this.#free = Array.from({ length: IN_FLIGHT }, (_, index) =>
      device.gpu.createBuffer({ label: `readback ${index}`, size: 4, usage: usage() }),
    );
  }

  /** A buffer to copy one word into; it comes back by `word` or `give`. */
  take(): GPUBuffer {
    const slot = this.#free.shift();
    if (slot) return slot;
    throw new ModelpressError("internal", `more than ${IN_FLIGHT} steps are in flight`);
  }

  give(slot: GPUBuffer): void {
    this.#free.push(slot);
  }

  /** The word copied into `slot`, after those asked for before, unless the copy was `refused`. */
  word(slot: GPUBuffer, refused: Promise<ModelpressError | undefined>): Promise<number> {
    const mapped = this.#device.guard(slot.mapAsync(GPUMapMode.READ));
    const before = this.#last;
    const result = (async () => {
      try {
        await mapped;
        const value = new DataView(slot.getMappedRange()).getInt32(0, true);
        slot.unmap();
        const error = await refused;
        if (error) throw error;
        this.#device.check();
        return value;
      } finally {
        this.give(slot);
        await before;
      }
    })();
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** `nbytes` of `source` from `offset`, after everything queued so far. */
  async bytes(source: GPUBuffer, nbytes: number, offset: number): Promise<Uint8Array> {
    const gpu = this.#device.gpu;
    const target = gpu.createBuffer({ label: "read", size: nbytes, usage: usage() });
    try {
      const encoder = gpu.createCommandEncoder({ label: "read" });
      encoder.copyBufferToBuffer(source, offset, target, 0, nbytes);
      gpu.queue.submit([encoder.finish()]);
      await this.#device.guard(target.mapAsync(GPUMapMode.READ));
      this.#device.check();
      return new Uint8Array(target.getMappedRange()).slice();
    } finally {
      target.destroy();
    }
  }
}

function usage(): GPUBufferUsageFlags {
  return GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
}
