/** Replays plans on WebGPU: the TypeScript half of the `Executor` protocol of runtime/executor.py.
 *
 * Everything is made once in `prepare`; a step evaluates a few expressions, writes one uniform
 * buffer and submits one pass. It knows buffers and symbols, not tokens.
 */

import { Device, requireFit } from "./device.ts";
import { ModelpressError } from "./errors.ts";
import type { Symbols } from "./expr.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Plan, WeightIndex } from "./formats.ts";
import type { Buffers } from "./program.ts";
import { makeBuffers, Program, sortOut } from "./program.ts";
import type { OnCompiled } from "./pipelines.ts";
import { Pipelines } from "./pipelines.ts";
import { timeDispatches } from "./profile.ts";
import { Readback } from "./readback.ts";
import type { Storage } from "./storage.ts";
import type { UploadOptions } from "./upload.ts";
import { bufferTarget, uploadWeights } from "./upload.ts";

export interface PrepareOptions {
  /** All of the plan's by default. */
  readonly entries?: readonly string[];
  /** Those that may have kernels which do not compile. */
  readonly spare?: readonly string[];
}

/** A device with what was made on it. */
interface Opened {
  readonly device: Device;
  readonly pipelines: Pipelines;
  readonly readback: Readback;
}

export class Executor {
  #opened: Promise<Opened> | undefined;
  #current: Opened | undefined;
  #program: Program | undefined;
  #buffers: Promise<{ readonly plan: Plan; readonly buffers: Buffers }> | undefined;

  /** The adapter's facts; opens the device on first use and again after it was lost. */
  async device(): Promise<DeviceInfo> {
    return (await this.#open()).device.info;
  }

  /** Starts compiling kernels before anyone asks; `prepare` finds them done. */
  async precompile(text: string, entriesOf: (plan: Plan) => readonly string[]): Promise<void> {
    const { device, pipelines } = await this.#open();
    const plan = parsePlan(text);
    requireFit(plan, device.info);
    await pipelines.compile(plan, entriesOf(plan), () => undefined);
  }

  /** Makes every buffer, and pipelines and bind groups of `entries`; releases the plan before.
   *
   * Resolves with those of `spare` that have a kernel which does not compile on this device; any
   * other such kernel is "unsupported_device".
   */
  async prepare(
    text: string, pages: number, onCompiled: OnCompiled,
    { entries, spare = [] }: PrepareOptions = {},
  ): Promise<string[]> {
    const plan = parsePlan(text);
    const names = entries ?? Object.keys(plan.entries);
    const opening = this.release().then(() => this.#open());
    const made = opening.then(async ({ device }) => {
      requireFit(plan, device.info);
      return { plan, buffers: await makeBuffers(device, plan, pages) };
    });
    this.#buffers = made;
    made.catch(() => undefined);
    const { device, pipelines } = await opening;
    const compiling = pipelines.compile(plan, names, onCompiled);
    compiling.catch(() => undefined);
    const { buffers } = await made;
    const { ready, failed } = sortOut(plan, names, await compiling);
    requireSpare(failed, spare);
    const program = await Program.build(device, plan, buffers, ready);
    if (this.#buffers !== made) {
      program.destroy();
      throw new ModelpressError("aborted", "another plan was prepared meanwhile");
    }
    pipelines.keepOnly(plan, names);
    this.#program = program;
    return [...failed.keys()];
  }

  /** Fetches, verifies and writes every chunk; may run while `prepare` compiles. */
  async upload(text: string, storage: Storage, options: UploadOptions): Promise<void> {
    if (!this.#buffers) throw notPrepared();
    const { buffers, plan } = await this.#buffers;
    const { device } = await this.#open();
    try {
      const target = bufferTarget(device, buffers);
      await uploadWeights(target, plan, JSON.parse(text) as WeightIndex, storage, options);
    } finally {
      storage.rest();
    }
    device.check();
  }

  write(buffer: string, data: Uint8Array<ArrayBuffer>, offset: number): void {
    const { device, program } = this.#ready();
    device.gpu.queue.writeBuffer(program.buffer(buffer), offset, data);
  }

  submit(entries: readonly string[], symbols: Symbols): void {
    const { device, program } = this.#ready();
    const batch = program.batch(entries);
    const refused = device.queue(() => {
      const encoder = device.gpu.createCommandEncoder(batch.descriptor);
      batch.encode(encoder, symbols);
      device.gpu.queue.submit([encoder.finish()]);
    });
    void refused.then((error) => device.note(error));
  }

  /** `submit`, then the first i32 of `read`; at most 8 in flight, resolved in order. */
  step(entries: readonly string[], symbols: Symbols, read: string): Promise<number> {
    const { device, program, readback } = this.#ready();
    const batch = program.batch(entries);
    const slot = readback.take();
    try {
      const refused = device.queue(() => {
        const encoder = device.gpu.createCommandEncoder(batch.descriptor);
        batch.encode(encoder, symbols);
        encoder.copyBufferToBuffer(program.buffer(read), 0, slot, 0, 4);
        device.gpu.queue.submit([encoder.finish()]);
      });
      return readback.word(slot, refused);
    } catch (error) {
      readback.give(slot);
      throw error;
    }
  }

  /** Runs `entries` with every dispatch in a pass of its own: its kernel, and microseconds. */
  async profile(
    entries: readonly string[], symbols: Symbols,
  ): Promise<[kernel: string, microseconds: number][]> {
    const { device, program } = this.#ready();
    const times = await timeDispatches(device, program.batch(entries).busy(symbols));
    device.check();
    return times;
  }

  /** Bytes of a buffer after everything queued so far. */
  async read(buffer: string, nbytes: number, offset: number): Promise<Uint8Array> {
    const { program, readback } = this.#ready();
    return readback.bytes(program.buffer(buffer), nbytes, offset);
  }

  async synchronize(): Promise<void> {
    const { device } = this.#ready();
    await device.guard(device.gpu.queue.onSubmittedWorkDone());
    device.check();
  }

  /** Frees the plan's buffers; pipelines stay until another plan is prepared. */
  async release(): Promise<void> {
    const pending = this.#buffers;
    const program = this.#program;
    this.#program = undefined;
    this.#buffers = undefined;
    program?.destroy();
    if (program || !pending) return;
    // A prepare that failed or still compiles has made buffers that no program owns.
    const made = await pending.catch(() => undefined);
    for (const buffer of made?.buffers.values() ?? []) buffer.destroy();
  }

  async close(): Promise<void> {
    await this.release();
    this.#current?.device.destroy();
    this.#current = undefined;
    this.#opened = undefined;
  }

  /** Drops the device, lost or not, and opens a new one; a plan must be prepared again. */
  async reopen(): Promise<DeviceInfo> {
    await this.close();
    return this.device();
  }

  async #open(): Promise<Opened> {
    if (this.#current?.device.isLost) {
      // What was made on a lost device is gone with it.
      this.#current = undefined;
      this.#opened = undefined;
      this.#program = undefined;
    }
    this.#opened ??= openDevice();
    const opened = this.#opened;
    try {
      this.#current = await opened;
      return this.#current;
    } catch (error) {
      if (this.#opened === opened) this.#opened = undefined;
      throw error;
    }
  }

  #ready(): Opened & { readonly program: Program } {
    this.#current?.device.check();
    if (!this.#current || !this.#program) throw notPrepared();
    return { ...this.#current, program: this.#program };
  }
}

async function openDevice(): Promise<Opened> {
  const device = await Device.open();
  return { device, pipelines: new Pipelines(device), readback: new Readback(device) };
}

function requireSpare(
  failed: ReadonlyMap<string, ModelpressError>, spare: readonly string[],
): void {
  for (const [name, error] of failed) if (!spare.includes(name)) throw error;
}

function parsePlan(text: string): Plan {
  return JSON.parse(text) as Plan;
}

function notPrepared(): ModelpressError {
  return new ModelpressError("internal", "no plan is prepared on the device");
}
