/** Replays plans in WebAssembly: the `Executor` protocol of runtime/executor.py on the processor.
 *
 * The plan's module and its memory are made once in `prepare`. What is queued runs in this worker,
 * in order, and lets the event loop have its turn before every step and every 30 ms within one.
 */

import { Breath } from "./breath.ts";
import type { Crew, Material } from "./crew.ts";
import { gather } from "./crew.ts";
import { requireFit } from "./device.ts";
import { aborted, ModelpressError } from "./errors.ts";
import type { PrepareOptions } from "./executor.ts";
import type { Symbols } from "./expr.ts";
import type { DeviceInfo } from "./facts.ts";
import type { Module, ModuleFile, Plan, WeightIndex } from "./formats.ts";
import type { Layout } from "./layout.ts";
import { layOut, makeMemory } from "./layout.ts";
import { describeProcessor, threadsFor } from "./processor.ts";
import type { Storage } from "./storage.ts";
import type { Piece, UploadOptions, WeightTarget } from "./upload.ts";
import { uploadWeights } from "./upload.ts";

const IN_FLIGHT = 8;

/** A plan whose memory is there. */
interface Laid {
  readonly plan: Plan;
  readonly layout: Layout;
  readonly memory: WebAssembly.Memory;
}

/** A plan that can run. */
interface Manned extends Laid {
  readonly crew: Crew;
  readonly breath: Breath;
}

export class ProcessorExecutor {
  readonly #storage: Storage;
  readonly #threads: number;
  #info: DeviceInfo | undefined;
  #laying: Promise<Laid> | undefined;
  #manned: Manned | undefined;
  /** Everything queued so far; never rejects. */
  #last: Promise<void> = Promise.resolve();
  #inFlight = 0;
  #failure: ModelpressError | undefined;

  /** `threads` as `threadsFor` reads them; the module comes from `storage`. */
  constructor(storage: Storage, threads?: number) {
    this.#storage = storage;
    this.#threads = threadsFor(threads);
  }

  /** The processor's facts; "unsupported_device" in a browser that is too old. */
  async device(): Promise<DeviceInfo> {
    this.#info ??= describeProcessor(this.#threads);
    return this.#info;
  }

  /** Has the plan's module in the cache when `prepare` asks for it. */
  async precompile(text: string): Promise<void> {
    const plan = JSON.parse(text) as Plan;
    await this.#storage.fetchAhead({ ...fileOf(moduleOf(plan), this.#threads), offset: 0 });
  }

  /** Makes the memory, and an instance of the module for each thread; releases the plan before.
   *
   * All entries are there at once: `entries` and `spare` are for devices that compile each.
   */
  async prepare(
    text: string, pages: number, onCompiled: (done: number, total: number) => void,
    _options: PrepareOptions = {},
  ): Promise<string[]> {
    const plan = JSON.parse(text) as Plan;
    const module = moduleOf(plan);
    const laying = this.release().then(() => this.#lay(plan, module, pages));
    this.#laying = laying;
    const total = plan.kernels.length;
    onCompiled(0, total);
    const laid = await laying;
    const crew = await this.#gather(laid, fileOf(module, this.#threads));
    if (this.#laying !== laying) {
      crew.close();
      throw new ModelpressError("aborted", "another plan was prepared meanwhile");
    }
    this.#manned = { ...laid, crew, breath: new Breath() };
    onCompiled(total, total);
    return [];
  }

  /** Fetches, verifies and writes every chunk; may run while `prepare` compiles. */
  async upload(text: string, storage: Storage, options: UploadOptions): Promise<void> {
    if (!this.#laying) throw notPrepared();
    const { plan, layout, memory } = await this.#laying;
    const target = memoryTarget(layout, memory);
    try {
      await uploadWeights(target, plan, JSON.parse(text) as WeightIndex, storage, options);
    } finally {
      storage.rest();
    }
  }

  write(buffer: string, data: Uint8Array<ArrayBuffer>, offset: number): void {
    const bytes = bytesOf(this.#ready(), buffer, offset, data.byteLength);
    this.#note(this.#queue(() => bytes.set(data)));
  }

  submit(entries: readonly string[], symbols: Symbols): void {
    const { crew, breath } = this.#ready();
    this.#note(this.#queue(() => crew.run(entries, symbols, breath)));
  }

  /** `submit`, then the first i32 of `read`; at most 8 in flight, resolved in order. */
  step(entries: readonly string[], symbols: Symbols, read: string): Promise<number> {
    const manned = this.#ready();
    const { crew, breath } = manned;
    if (this.#inFlight === IN_FLIGHT) {
      throw new ModelpressError("internal", `more than ${IN_FLIGHT} steps are in flight`);
    }
    this.#inFlight += 1;
    const word = bytesOf(manned, read, 0, 4);
    const result = this.#queue(async () => {
      // What the result of the step before brings about comes first.
      await breath.take();
      await crew.run(entries, symbols, breath);
      this.#check();
      return new DataView(word.buffer, word.byteOffset).getInt32(0, true);
    });
    const landed = (): void => void (this.#inFlight -= 1);
    result.then(landed, landed);
    return result;
  }

  /** Runs `entries` with every step timed: its kernel, and microseconds. */
  async profile(
    entries: readonly string[], symbols: Symbols,
  ): Promise<[kernel: string, microseconds: number][]> {
    const { crew, breath } = this.#ready();
    const times: [string, number][] = [];
    return this.#queue(async () => {
      let before = performance.now();
      await crew.run(entries, symbols, breath, (kernel, now) => {
        times.push([kernel, 1000 * (now - before)]);
        before = performance.now();
      });
      return times;
    });
  }

  /** Bytes of a buffer after everything queued so far. */
  async read(buffer: string, nbytes: number, offset: number): Promise<Uint8Array> {
    const bytes = bytesOf(this.#ready(), buffer, offset, nbytes);
    return this.#queue(() => {
      this.#check();
      return new Uint8Array(bytes);
    });
  }

  async synchronize(): Promise<void> {
    this.#ready();
    return this.#queue(() => this.#check());
  }

  /** Lets go of the plan; what is still queued for it is "aborted". */
  async release(): Promise<void> {
    const manned = this.#manned;
    this.#manned = undefined;
    this.#laying = undefined;
    manned?.breath.stop();
    // Helpers may hold pieces that the step which runs now waits for.
    await this.#last;
    manned?.crew.close();
    this.#failure = undefined;
  }

  async close(): Promise<void> {
    await this.release();
  }

  async #lay(plan: Plan, module: Module, pages: number): Promise<Laid> {
    requireFit(plan, await this.device());
    const shared = isShared(module, this.#threads);
    const layout = layOut(plan, module, pages, shared ? this.#threads : 1);
    return { plan, layout, memory: makeMemory(plan, layout, shared) };
  }

  async #gather({ plan, layout, memory }: Laid, file: ModuleFile): Promise<Crew> {
    const bytes = await this.#storage.chunk({ ...file, offset: 0 });
    const material: Material = { plan, layout, memory, code: await compile(plan, bytes) };
    return gather(material);
  }

  /** Runs `work` when everything before it has ended. */
  #queue<T>(work: () => T | Promise<T>): Promise<T> {
    const manned = this.#manned;
    const result = this.#last.then(async () => {
      if (this.#manned !== manned) throw aborted();
      try {
        return await work();
      } catch (error) {
        throw ModelpressError.from(error);
      }
    });
    this.#last = result.then(() => undefined, () => undefined);
    return result;
  }

  /** Remembers what goes wrong in work that nobody waits for. */
  #note(work: Promise<void>): void {
    work.catch((error: unknown) => (this.#failure ??= error as ModelpressError));
  }

  #check(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
  }

  #ready(): Manned {
    if (!this.#manned) throw notPrepared();
    return this.#manned;
  }
}

/** The code of a plan; "unsupported_device" for one that is not for processors. */
function moduleOf(plan: Plan): Module {
  if (plan.module) return plan.module;
  throw new ModelpressError(
    "unsupported_device",
    `the plan ${plan.variant} of ${plan.model} is for graphics devices, not for the processor`,
    { lacking: ["WebGPU"] },
  );
}

function isShared({ shared }: Module, threads: number): boolean {
  return threads > 1 && shared !== null;
}

function fileOf(module: Module, threads: number): ModuleFile {
  return isShared(module, threads) && module.shared ? module.shared : module.single;
}

async function compile(plan: Plan, bytes: Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes);
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
    throw new ModelpressError(
      "unsupported_device",
      `this browser does not compile the variant ${plan.variant} of ${plan.model} ` +
        `(${error.message}). Update it, or ask for the variant "auto"`,
    );
  }
}

function memoryTarget({ buffers }: Layout, memory: WebAssembly.Memory): WeightTarget {
  return {
    sizeOf: (tensor) => buffers.get(tensor)?.nbytes,
    write: async (pieces: readonly Piece[], bytes) => {
      for (const { tensor, from, to, nbytes } of pieces) {
        const span = buffers.get(tensor);
        // A variant need not use every tensor of the shared weights.
        if (!span) continue;
        const target = new Uint8Array(memory.buffer, span.address + to, nbytes);
        target.set(bytes.subarray(from, from + nbytes));
      }
    },
  };
}

/** `nbytes` of a buffer from `offset`. */
function bytesOf(
  { layout, memory }: Laid, buffer: string, offset: number, nbytes: number,
): Uint8Array {
  const span = layout.buffers.get(buffer);
  if (!span || offset + nbytes > span.nbytes) {
    const end = offset + nbytes;
    throw new ModelpressError("internal", `the plan has no ${end} bytes in a buffer ${buffer}`);
  }
  return new Uint8Array(memory.buffer, span.address + offset, nbytes);
}

function notPrepared(): ModelpressError {
  return new ModelpressError("internal", "no plan is prepared on the processor");
}
