/** Compares the variants of a model on the device of the browser, at the sizes they ship in. */

import { Executor } from "../../runtime/web/executor.ts";
import { ModelpressError } from "../../runtime/web/errors.ts";
import type { Plan } from "../../runtime/web/formats.ts";

const SEED = 1;
const LONGEST_PROMPT = 512;

interface Way {
  readonly variant: string;
  readonly way: string;
  /** Largest difference to the first variant, relative to its largest logit: after the prompt, and
   * after any of the tokens decoded. */
  readonly prefill: number;
  readonly decode: number;
  /** Of how many logits the likeliest token is the first variant's, and of how many in all. */
  readonly same: number;
  readonly of: number;
}

type Outcome = Way | { readonly variant: string; readonly error: string };

/** Computes after `prompt` tokens and after each of `decoded` more by every plan at `urls`, the
 * first of which the others are compared with; its likeliest tokens are what all decode. */
async function compareVariants(
  urls: readonly string[], prompt: number, decoded: number,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  let first: readonly Float32Array[] | undefined;
  for (const url of urls) {
    const text = await (await fetch(url)).text();
    const plan = JSON.parse(text) as Plan;
    const executor = new Executor();
    try {
      await prepare(executor, plan, text);
      const ways = ["decode", ...(plan.alternatives["decode"] ?? [])];
      for (const way of ways) {
        const rows = await compute(executor, plan, way, prompt, decoded, first);
        first ??= rows;
        outcomes.push({ variant: plan.variant, way, ...differences(rows, first) });
      }
    } catch (error) {
      const said = error instanceof ModelpressError ? `${error.code}: ${error.message}` : `${error}`;
      outcomes.push({ variant: plan.variant, error: said });
    }
    await executor.close();
  }
  return outcomes;
}

async function prepare(executor: Executor, plan: Plan, text: string): Promise<void> {
  const pages = Math.ceil(plan.context / plan.page_size);
  await executor.prepare(text, pages, () => undefined);
  executor.submit(["synthesize"], { seed: SEED });
  // In reverse order: whoever ignores the table cannot agree.
  executor.write("page_table", bytes(Int32Array.from({ length: pages }, (_, i) => pages - 1 - i)), 0);
}

async function compute(
  executor: Executor, plan: Plan, way: string, prompt: number, decoded: number,
  first: readonly Float32Array[] | undefined,
): Promise<Float32Array[]> {
  const tokens = Array.from({ length: prompt }, (_, i) => (7919 * i + 13) % plan.vocab_size);
  const longest = Math.min(LONGEST_PROMPT, plan.prefill_chunk);
  for (let pos = 0; pos < prompt; pos += longest) {
    const chunk = tokens.slice(pos, pos + longest);
    executor.write("tokens", bytes(Int32Array.from(chunk)), 0);
    executor.submit(["prefill"], { n: chunk.length, pos });
  }
  const rows = [await logits(executor, plan)];
  for (let i = 0; i < decoded; i += 1) {
    executor.write("token", bytes(Int32Array.of(likeliest((first ?? rows)[i]!))), 0);
    executor.submit([way], { pos: prompt + i });
    rows.push(await logits(executor, plan));
  }
  return rows;
}

async function logits(executor: Executor, plan: Plan): Promise<Float32Array> {
  const read = await executor.read("logits", 4 * plan.vocab_size, 0);
  return new Float32Array(read.slice().buffer);
}

function differences(
  rows: readonly Float32Array[], first: readonly Float32Array[],
): Omit<Way, "variant" | "way"> {
  const errors = rows.map((row, i) => difference(row, first[i]!));
  const same = rows.filter((row, i) => likeliest(row) === likeliest(first[i]!)).length;
  return { prefill: errors[0]!, decode: Math.max(...errors.slice(1)), same, of: rows.length };
}

/** NaN where `row` has one, so that nothing broken looks close. */
function difference(row: Float32Array, wanted: Float32Array): number {
  let largest = 0;
  let worst = 0;
  for (let i = 0; i < row.length; i += 1) {
    largest = Math.max(largest, Math.abs(wanted[i]!));
    worst = Math.max(worst, Math.abs(row[i]! - wanted[i]!));
  }
  return worst / largest;
}

function likeliest(row: Float32Array): number {
  return row.reduce((best, value, i) => (value > row[best]! ? i : best), 0);
}

function bytes(words: Int32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return new Uint8Array(words.buffer);
}

Object.assign(globalThis, { compareVariants });
document.documentElement.dataset["ready"] = "";
