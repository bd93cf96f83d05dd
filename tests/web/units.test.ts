/** Parts of the engine that need no browser, under `node --test`. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { likelyEntries } from "../../runtime/web/candidates.ts";
import { Device, matrixFeatures } from "../../runtime/web/device.ts";
import { ModelpressError } from "../../runtime/web/errors.ts";
import { compileExpr, evaluate } from "../../runtime/web/expr.ts";
import { retryAfter } from "../../runtime/web/fetcher.ts";
import type { DeviceInfo } from "../../runtime/web/facts.ts";
import type { Chunk, Expr, Plan, Tensor } from "../../runtime/web/formats.ts";
import { readBody, streamOf } from "../../runtime/web/body.ts";
import { BufferPool, Turns } from "../../runtime/web/memory.ts";
import { signature } from "../../runtime/web/pipelines.ts";
import { SharedWork } from "../../runtime/web/shared_work.ts";
import { inLanes, piecesOf } from "../../runtime/web/upload.ts";

const SYMBOLS = { n: 37, pos: 100 };
const value = (expr: Expr): number => evaluate(compileExpr(expr), SYMBOLS);

test("an expression without symbols is a number from the start", () => {
  assert.equal(compileExpr(["*", 6, ["+", 3, 4]]), 42);
});

test("every operator has the value that Python gives it", () => {
  assert.equal(value(["+", "n", "pos"]), 137);
  assert.equal(value(["-", "n", "pos"]), -63);
  assert.equal(value(["*", "n", 2]), 74);
  assert.equal(value(["//", "pos", 7]), 14);
  assert.equal(value(["%", "pos", 7]), 2);
  assert.equal(value(["min", "n", "pos"]), 37);
  assert.equal(value(["max", "n", "pos"]), 100);
  assert.equal(value(["<<", "n", 30]), 37 * 2 ** 30);
  assert.equal(value([">>", "pos", 3]), 12);
  assert.equal(value(["&", 2 ** 40 + 5, 2 ** 40 + 4]), 2 ** 40 + 4);
});

test("a missing symbol is named", () => {
  assert.throws(() => value("pages"), (error) =>
    error instanceof ModelpressError && error.message.includes("pages"));
});

test("a step's signature tells reads, writes and uniforms apart", () => {
  const step = { kernel: "k", bindings: ["a", "b"], writes: [1], grid: [1, 1, 1] } as const;
  assert.equal(signature({ ...step, uniforms: [] }), "rw");
  assert.equal(signature({ ...step, uniforms: [{ type: "u32", value: 1 }] }), "rwu");
});

const tensor = (name: string, offset: number, nbytes: number): Tensor =>
  ({ name, dtype: "f32", shape: [nbytes / 4], offset, nbytes });
const chunk = (offset: number, nbytes: number): Chunk => ({ sha256: "0", offset, nbytes });

test("a tensor over three chunks arrives whole, and padding goes nowhere", () => {
  const index = {
    format: 1,
    nbytes: 1200,
    tensors: [tensor("a", 0, 100), tensor("b", 256, 900), tensor("c", 1156, 44)],
    chunks: [chunk(0, 400), chunk(400, 400), chunk(800, 400)],
  };
  assert.deepEqual(piecesOf(index), [
    [{ tensor: "a", from: 0, to: 0, nbytes: 100 }, { tensor: "b", from: 256, to: 0, nbytes: 144 }],
    [{ tensor: "b", from: 0, to: 144, nbytes: 400 }],
    [
      { tensor: "b", from: 0, to: 544, nbytes: 356 },
      { tensor: "c", from: 356, to: 0, nbytes: 44 },
    ],
  ]);
});

test("lanes work in order, six at once, and the first failure stops the rest", async () => {
  const begun: number[] = [];
  let running = 0;
  let most = 0;
  const work = async (item: number): Promise<void> => {
    begun.push(item);
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    if (item === 7) throw new Error("seven");
  };
  const items = Array.from({ length: 40 }, (_, at) => at);
  await assert.rejects(inLanes(items, undefined, work), /seven/);
  assert.equal(most, 6);
  assert.deepEqual(begun, items.slice(0, begun.length));
  assert.ok(begun.length < 20);
});

test("shared work stops only when the last caller gives up", async () => {
  const shared = new SharedWork<string>();
  let stopped = false;
  const start = (signal: AbortSignal): Promise<string> => {
    signal.addEventListener("abort", () => (stopped = true));
    return new Promise(() => undefined);
  };
  const [one, two] = [new AbortController(), new AbortController()];
  const first = shared.run("key", start, { signal: one.signal }, String);
  const second = shared.run("key", start, { signal: two.signal }, String);
  one.abort();
  await assert.rejects(first, { code: "aborted" });
  assert.equal(stopped, false);
  two.abort();
  await assert.rejects(second, { code: "aborted" });
  assert.equal(stopped, true);
});

test("Retry-After is read in seconds and as a date, within a minute", () => {
  const wait = (text: string): number | undefined =>
    retryAfter(new Headers({ "retry-after": text }));
  assert.equal(wait("2"), 2000);
  assert.equal(wait("86400"), 60_000);
  assert.equal(wait("soon"), undefined);
  assert.equal(wait(new Date(Date.now() - 5000).toUTCString()), 0);
  const ahead = wait(new Date(Date.now() + 5000).toUTCString()) ?? 0;
  assert.ok(ahead > 3000 && ahead <= 5000);
});

/** A device as far as `Device.open` looks, and how to lose it. */
async function openFakeDevice(): Promise<{ device: Device; lose: (reason: object) => void }> {
  let lose: (reason: object) => void = () => undefined;
  const lost = new Promise((resolve) => (lose = resolve));
  const gpu = { lost, features: [], limits: {}, addEventListener: () => undefined };
  const adapter = { info: {}, features: new Set(), limits: {}, requestDevice: async () => gpu };
  const value = { gpu: { requestAdapter: async () => adapter } };
  Object.defineProperty(globalThis, "navigator", { value, configurable: true });
  return { device: await Device.open(), lose };
}

// Bug: each guarded token left a reaction on the device's promise for as long as it lived.
test("guarded work leaves nothing on a device that lives", async () => {
  const { device } = await openFakeDevice();
  let left = 0;
  device.lost.then = (() => (left += 1)) as never;
  for (let at = 0; at < 100; at += 1) assert.equal(await device.guard(Promise.resolve(at)), at);
  assert.equal(left, 0);
});

test("a lost device ends what is guarded, then and later", async () => {
  const { device, lose } = await openFakeDevice();
  const never = new Promise(() => undefined);
  const guarded = [device.guard(never), device.guard(never)];
  lose({ reason: "unknown", message: "gone" });
  for (const work of guarded) await assert.rejects(work, { code: "device_lost" });
  await assert.rejects(device.guard(never), { code: "device_lost" });
});

const ENTRIES = ["prefill", "decode", "decode.a", "decode.b", "greedy"];
const PLAN = {
  entries: Object.fromEntries(ENTRIES.map((name) => [name, { symbols: [], steps: [] }])),
  alternatives: { decode: ["decode.a", "decode.b"] },
} as unknown as Plan;
const GPU = { kind: "gpu" } as DeviceInfo;
const CPU = { kind: "cpu" } as DeviceInfo;
const without = (...gone: string[]): string[] => ENTRIES.filter((name) => !gone.includes(name));

test("on a first visit a GPU compiles every way, a processor the plan's own", () => {
  assert.deepEqual(likelyEntries(PLAN, GPU, {}, undefined), ENTRIES);
  assert.deepEqual(likelyEntries(PLAN, CPU, {}, undefined), without("decode.a", "decode.b"));
});

test("on a later visit the noted way is compiled alone, unless it is to be measured again", () => {
  const noted = { prefill: "prefill", decode: "decode.b" };
  assert.deepEqual(likelyEntries(PLAN, GPU, {}, noted), without("decode", "decode.a"));
  assert.deepEqual(likelyEntries(PLAN, GPU, { retune: true }, noted), ENTRIES);
});

test("a forced way is compiled alone, whatever was noted", () => {
  const noted = { prefill: "prefill", decode: "decode.b" };
  const options = { choices: { decode: "decode.a" } };
  assert.deepEqual(likelyEntries(PLAN, GPU, options, noted), without("decode", "decode.b"));
});

test("a plan of an older build has no other ways", () => {
  const { alternatives: _, ...old } = PLAN;
  assert.deepEqual(likelyEntries(old as Plan, GPU, {}, undefined), ENTRIES);
});

test("subgroup matrices count with their shapes, and where subgroups have one size", () => {
  const halves = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const info = { subgroupMinSize: 32, subgroupMaxSize: 32, subgroupMatrixConfigs: [halves] };
  const shape = "subgroup-matrix-f16-f32-16x16x16";
  assert.deepEqual(matrixFeatures(info), ["subgroup-size-32", shape]);
  assert.deepEqual(matrixFeatures({ ...info, subgroupMinSize: 8 }), [shape]);
  assert.deepEqual(matrixFeatures({ subgroupMinSize: 32, subgroupMaxSize: 32 }), []);
});

test("bodies share the pool's memory, and its buffers are used again", async () => {
  const pool = new BufferPool(20);
  const [first, second] = [await pool.take(8), await pool.take(8)];
  const order: string[] = [];
  const third = pool.take(8).then((slot) => (order.push("third"), slot));
  const fourth = pool.take(4).then((slot) => (order.push("fourth"), slot));
  await new Promise((resolve) => setTimeout(resolve));
  assert.deepEqual(order, [], "who asks first has it first, though the fourth would fit");
  const buffer = first.lend();
  first.giveBack(buffer);
  first.free();
  first.free();
  assert.equal((await third).lend(), buffer);
  await fourth;
  assert.deepEqual(order, ["third", "fourth"]);
  second.free();
  assert.equal((await pool.take(8)).lend().byteLength, 8);
});

test("a body larger than the pool is taken alone", async () => {
  const pool = new BufferPool(20);
  const large = await pool.take(50);
  let entered = false;
  const small = pool.take(1).then(() => (entered = true));
  await new Promise((resolve) => setTimeout(resolve));
  assert.equal(entered, false);
  large.free();
  await small;
});

test("a slot whose buffer was lost has another", async () => {
  const slot = await new BufferPool(20).take(8);
  slot.lend();
  assert.equal(slot.lend().byteLength, 8);
});

test("turns are taken one after the other, and a failure does not end them", async () => {
  const turns = new Turns();
  const order: string[] = [];
  const slow = async (name: string): Promise<void> => {
    order.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, 5));
    order.push(`${name} ends`);
    if (name === "one") throw new Error(name);
  };
  const first = turns.run(() => slow("one"));
  const second = turns.run(() => slow("two"));
  await assert.rejects(first, /one/);
  await second;
  assert.deepEqual(order, ["one begins", "one ends", "two begins", "two ends"]);
});

for (const [kind, type] of [["bytes", "bytes"], ["parts", undefined]] as const) {
  const bodyOf = (bytes: Uint8Array<ArrayBuffer>): Response => {
    let sent = false;
    const pull = (controller: ReadableByteStreamController): void => {
      if (!sent) controller.enqueue(bytes.slice());
      else controller.close();
      if (sent) controller.byobRequest?.respond(0);
      sent = true;
    };
    return { body: new ReadableStream({ type, pull } as UnderlyingByteSource) } as Response;
  };
  test(`a stream of ${kind} fills its slot, and one of another length is nothing`, async () => {
    const bytes = Uint8Array.of(1, 2, 3, 4, 5);
    const slot = await new BufferPool(20).take(5);
    const read = await readBody(bodyOf(bytes), { nbytes: 5, slot });
    assert.deepEqual(read, bytes);
    assert.equal(slot.lend(), read.buffer);
    for (const nbytes of [4, 6]) {
      assert.equal((await readBody(bodyOf(bytes), { nbytes })).byteLength, 0);
    }
  });
}

test("bytes as a stream are the same bytes", async () => {
  const bytes = new Uint8Array(700_001).map((_, at) => at % 251);
  assert.deepEqual(await readBody(new Response(streamOf(bytes))), bytes);
  assert.equal((await readBody(new Response(streamOf(new Uint8Array(0))))).byteLength, 0);
});
