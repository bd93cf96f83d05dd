/** Who computes a plan on the processor: this thread alone, or with helpers over a shared memory. */

import type { Breath } from "./breath.ts";
import { Calls } from "./calls.ts";
import { ModelpressError } from "./errors.ts";
import type { Symbols } from "./expr.ts";
import type { Plan } from "./formats.ts";
import type { FromHelper, HelperTask, ToHelper } from "./helper.ts";
import type { Layout } from "./layout.ts";
import { makeBoard, openRun, takePart } from "./shares.ts";

/** What a plan is computed with. */
export interface Material {
  readonly plan: Plan;
  readonly layout: Layout;
  readonly code: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}

/** Hears of every step that has run: its kernel, and when it was over, in milliseconds. */
export type OnStep = (kernel: string, now: number) => void;

export interface Crew {
  /** Computes `entries` in order, and lets the event loop have its turn in between. */
  run(
    entries: readonly string[], symbols: Symbols, breath: Breath, onStep?: OnStep,
  ): Promise<void>;
  close(): void;
}

/** The crew for a layout: one helper for each further stack. */
export async function gather(material: Material): Promise<Crew> {
  const { plan, layout, code, memory } = material;
  const { exports } = await WebAssembly.instantiate(code, { env: { memory } });
  const calls = new Calls(plan, Object.keys(plan.entries), layout, exports);
  return layout.stacks.length > 0 ? Team.gather(material, calls) : new Solo(calls);
}

class Solo implements Crew {
  readonly #calls: Calls;

  constructor(calls: Calls) {
    this.#calls = calls;
  }

  async run(
    entries: readonly string[], symbols: Symbols, breath: Breath, onStep?: OnStep,
  ): Promise<void> {
    for (const call of this.#calls.sequence(entries).busy(symbols)) {
      call.run(0, call.items);
      onStep?.(call.kernel, performance.now());
      if (breath.isDue) await breath.take();
    }
  }

  close(): void {
    // Nothing but memory, which the browser collects.
  }
}

class Team implements Crew {
  readonly #calls: Calls;
  readonly #board: Int32Array<SharedArrayBuffer>;
  readonly #helpers: readonly Worker[];
  #generation = 0;
  #failure: ModelpressError | undefined;

  private constructor(
    calls: Calls, board: Int32Array<SharedArrayBuffer>, helpers: readonly Worker[],
  ) {
    this.#calls = calls;
    this.#board = board;
    this.#helpers = helpers;
    for (const helper of helpers) {
      helper.addEventListener("message", ({ data }: MessageEvent<FromHelper>) => {
        if (data.type === "error") this.#failure ??= ModelpressError.fromRecord(data.error);
      });
    }
  }

  static async gather(material: Material, calls: Calls): Promise<Team> {
    const { stacks } = material.layout;
    const board = makeBoard(2 * stepsOf(material.plan));
    const helpers = stacks.map(() => new Worker(helperUrl(), { type: "module" }));
    try {
      await Promise.all(helpers.map((helper, index) => {
        const threads = stacks.length + 1;
        const own = { stack: stacks[index] ?? 0, threads, board };
        return started(helper, { type: "task", ...material, ...own });
      }));
      return new Team(calls, board, helpers);
    } catch (error) {
      for (const helper of helpers) helper.terminate();
      throw error;
    }
  }

  async run(
    entries: readonly string[], symbols: Symbols, breath: Breath, onStep?: OnStep,
  ): Promise<void> {
    if (this.#failure) throw this.#failure;
    const board = this.#board;
    const busy = this.#calls.sequence(entries).busy(symbols);
    const generation = openRun(board, busy.length, this.#generation);
    this.#generation = generation;
    for (const helper of this.#helpers) tell(helper, { type: "run", generation, entries, symbols });
    const threads = this.#helpers.length + 1;
    for (const [step, call] of busy.entries()) {
      takePart(board, generation, step, call, threads);
      onStep?.(call.kernel, performance.now());
      if (breath.isDue) await breath.take();
    }
  }

  close(): void {
    for (const helper of this.#helpers) helper.terminate();
  }
}

/** Resolves when `helper` has its instance of the module. */
function started(helper: Worker, task: HelperTask): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: ModelpressError): void => reject(error);
    helper.addEventListener("message", ({ data }: MessageEvent<FromHelper>) => {
      if (data.type === "ready") resolve();
      else fail(ModelpressError.fromRecord(data.error));
    }, { once: true });
    helper.addEventListener("error", () => {
      fail(new ModelpressError(
        "internal", "a thread could not be started: reload the page, or ask for one thread",
      ));
    }, { once: true });
    tell(helper, task);
  });
}

function tell(helper: Worker, message: ToHelper): void {
  helper.postMessage(message);
}

function stepsOf({ entries }: Plan): number {
  return Object.values(entries).reduce((sum, { steps }) => sum + steps.length, 0);
}

function helperUrl(): URL {
  return new URL("./helper.js", import.meta.url);
}
