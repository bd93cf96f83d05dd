/** Where the buffers of a plan for the processor lie in the memory of its module. */

import { ModelpressError } from "./errors.ts";
import { compileExpr, evaluate } from "./expr.ts";
import type { Module, Plan } from "./formats.ts";

const ALIGNMENT = 64;
const PAGE_NBYTES = 1 << 16;
/** What a 32-bit address reaches. */
const MAX_NBYTES = 2 ** 32;

/** A buffer's bytes in the memory. */
export interface Span {
  readonly address: number;
  readonly nbytes: number;
}

export interface Layout {
  readonly buffers: ReadonlyMap<string, Span>;
  /** Upper ends of the stacks of the threads after the first. */
  readonly stacks: readonly number[];
  /** Pages of 64 KiB. */
  readonly pages: number;
}

/** Lays out data and stack of the module, further stacks, then the buffers in the plan's order.
 *
 * `pages` sizes the KV cache. "out_of_memory" when it all is more than WebAssembly can address.
 */
export function layOut(plan: Plan, module: Module, pages: number, threads: number): Layout {
  let end = module.data_end;
  const stacks: number[] = [];
  for (let thread = 1; thread < threads; thread += 1) {
    end = aligned(end + module.stack_bytes);
    stacks.push(end);
  }
  const buffers = new Map<string, Span>();
  for (const { name, nbytes: expr } of plan.buffers) {
    const nbytes = evaluate(compileExpr(expr), { pages });
    buffers.set(name, { address: end, nbytes });
    end = aligned(end + nbytes);
  }
  if (end > MAX_NBYTES) throw tooLarge(plan, end);
  return { buffers, stacks, pages: Math.ceil(end / PAGE_NBYTES) };
}

/** The memory of a layout, all zero; "out_of_memory" when the browser has none left. */
export function makeMemory(plan: Plan, { pages }: Layout, shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const gigabytes = ((pages * PAGE_NBYTES) / 1e9).toFixed(1);
    throw new ModelpressError(
      "out_of_memory",
      `the browser gives no ${gigabytes} GB for ${plan.model}. Close other tabs, or choose a ` +
        "smaller model or context",
      { nbytes: pages * PAGE_NBYTES },
    );
  }
}

function tooLarge(plan: Plan, nbytes: number): ModelpressError {
  return new ModelpressError(
    "out_of_memory",
    `${plan.model} needs ${(nbytes / 1e9).toFixed(1)} GB of memory, and on the processor a page ` +
      "can have 4.3 GB. Choose a smaller model or context",
    { nbytes, largest: MAX_NBYTES },
  );
}

function aligned(nbytes: number): number {
  return Math.ceil(nbytes / ALIGNMENT) * ALIGNMENT;
}
