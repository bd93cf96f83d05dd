/** A plan for the processor, ready to run: each step a call of one function of its module. */

import { ModelpressError } from "./errors.ts";
import type { Cell, Symbols } from "./expr.ts";
import { Cells } from "./expr.ts";
import type { Plan, Step } from "./formats.ts";
import type { Layout } from "./layout.ts";

type Kernel = (...args: number[]) => void;

/** One step: its kernel, and what it is called with. */
export class Call {
  readonly kernel: string;
  readonly #run: Kernel;
  readonly #items: Cell;
  readonly #args: number[];
  readonly #varying: readonly { readonly at: number; readonly cell: Cell }[];

  constructor(step: Step, run: Kernel, addresses: readonly number[], cells: Cells) {
    checkArguments(step, run);
    this.kernel = step.kernel;
    this.#run = run;
    this.#items = cells.of(step.grid[0]);
    const uniforms = step.uniforms.map(({ value }) => cells.of(value));
    this.#args = [...addresses, ...uniforms.map(({ value }) => value), 0, 0];
    this.#varying = uniforms
      .map((cell, index) => ({ at: addresses.length + index, cell }))
      .filter(({ cell }) => cell.varies);
  }

  /** Work items, once the cells are up to date. */
  get items(): number {
    return this.#items.value;
  }

  /** Takes the uniforms over from the cells. */
  update(): void {
    for (const { at, cell } of this.#varying) this.#args[at] = cell.value;
  }

  /** Computes the items [begin, end). */
  run(begin: number, end: number): void {
    const args = this.#args;
    args[args.length - 2] = begin;
    args[args.length - 1] = end;
    this.#run.apply(undefined, args);
  }
}

interface Entry {
  readonly calls: readonly Call[];
  readonly cells: Cells;
}

/** The steps of entries that are run together. */
export class Sequence {
  readonly #entries: readonly Entry[];

  constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** The steps that have work to do under `symbols`, in order. */
  busy(symbols: Symbols): Call[] {
    const busy: Call[] = [];
    for (const { calls, cells } of this.#entries) {
      cells.update(symbols);
      for (const call of calls) {
        call.update();
        if (call.items > 0) busy.push(call);
      }
    }
    return busy;
  }
}

/** The steps of a plan's entries, over one instance of its module. */
export class Calls {
  readonly #entries: ReadonlyMap<string, Entry>;
  readonly #sequences = new Map<string, Sequence>();

  /** "bad_format" when the module is not the plan's. */
  constructor(
    plan: Plan, names: readonly string[], { buffers }: Layout, exports: WebAssembly.Exports,
  ) {
    const kernels = kernelsOf(plan, exports);
    const address = (name: string): number => need(buffers, name, "buffer").address;
    this.#entries = new Map(names.map((name) => {
      const entry = plan.entries[name];
      if (!entry) throw missing("entry", name);
      const cells = new Cells();
      const calls = entry.steps.map((step) =>
        new Call(step, need(kernels, step.kernel, "kernel"), step.bindings.map(address), cells));
      return [name, { calls, cells }] as const;
    }));
  }

  /** What runs for `names`, in order. */
  sequence(names: readonly string[]): Sequence {
    const key = names.join("+");
    let sequence = this.#sequences.get(key);
    if (!sequence) {
      sequence = new Sequence(names.map((name) => need(this.#entries, name, "entry")));
      this.#sequences.set(key, sequence);
    }
    return sequence;
  }
}

function kernelsOf(plan: Plan, exports: WebAssembly.Exports): Map<string, Kernel> {
  const kernels = new Map<string, Kernel>();
  for (const { name, entry_point } of plan.kernels) {
    const kernel = exports[entry_point];
    if (typeof kernel !== "function") throw missing("function", entry_point);
    kernels.set(name, kernel as Kernel);
  }
  return kernels;
}

/** Refuses a step that does not give `run` what it takes: what is missing would be read as 0. */
function checkArguments(step: Step, run: Kernel): void {
  const given = step.bindings.length + step.uniforms.length + 2;
  if (run.length === given) return;
  throw new ModelpressError(
    "bad_format",
    `the kernel ${step.kernel} takes ${run.length} numbers and the plan gives it ${given}. ` +
      "Build the model again with `modelpress build`",
    { kernel: step.kernel },
  );
}

function need<T>(map: ReadonlyMap<string, T>, name: string, what: string): T {
  const value = map.get(name);
  if (value === undefined) throw missing(what, name);
  return value;
}

function missing(what: string, name: string): ModelpressError {
  return new ModelpressError("internal", `the plan has no ${what} named ${name}`);
}
