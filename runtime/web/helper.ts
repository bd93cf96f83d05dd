/** A further thread of the processor's executor: computes its share of every run it is told of. */

import { Calls } from "./calls.ts";
import { ModelpressError } from "./errors.ts";
import type { ErrorRecord } from "./errors.ts";
import type { Symbols } from "./expr.ts";
import type { Plan } from "./formats.ts";
import type { Layout } from "./layout.ts";
import { takePart } from "./shares.ts";

/** What a helper works on; `stack` is the upper end of its own. */
export interface HelperTask {
  readonly type: "task";
  readonly code: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly plan: Plan;
  readonly layout: Layout;
  readonly stack: number;
  readonly threads: number;
  readonly board: Int32Array;
}

export type ToHelper =
  | HelperTask
  | {
      readonly type: "run";
      readonly generation: number;
      readonly entries: readonly string[];
      readonly symbols: Symbols;
    };

export type FromHelper =
  | { readonly type: "ready" }
  | { readonly type: "error"; readonly error: ErrorRecord };

interface Work {
  readonly task: HelperTask;
  readonly calls: Calls;
}

let work: Work | undefined;

function begin(task: HelperTask): Work {
  const { exports } = new WebAssembly.Instance(task.code, { env: { memory: task.memory } });
  const pointer = exports["__stack_pointer"];
  if (!(pointer instanceof WebAssembly.Global)) {
    // All threads would write over one stack, and nothing would tell.
    throw new ModelpressError("bad_format", "the shared module does not export __stack_pointer");
  }
  pointer.value = task.stack;
  return { task, calls: new Calls(task.plan, Object.keys(task.plan.entries), task.layout, exports) };
}

function receive(message: ToHelper): void {
  switch (message.type) {
    case "task":
      work = begin(message);
      return send({ type: "ready" });
    case "run":
      return run(message.generation, message.entries, message.symbols);
    default:
      return message satisfies never;
  }
}

function run(generation: number, entries: readonly string[], symbols: Symbols): void {
  if (!work) throw new ModelpressError("internal", "a helper was not told what to work on");
  const { board, threads } = work.task;
  for (const [step, call] of work.calls.sequence(entries).busy(symbols).entries()) {
    if (!takePart(board, generation, step, call, threads)) return;
  }
}

function send(message: FromHelper): void {
  self.postMessage(message);
}

self.addEventListener("message", ({ data }: MessageEvent<ToHelper>) => {
  try {
    receive(data);
  } catch (error) {
    send({ type: "error", error: ModelpressError.from(error).toRecord() });
  }
});
