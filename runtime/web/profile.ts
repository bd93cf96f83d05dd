/** Timing dispatches one by one with timestamp queries, each in a pass of its own. */

import type { Dispatch } from "./batch.ts";
import type { Device } from "./device.ts";

/** A query set holds 4096 timestamps. */
const MAX_PASSES = 2048;

/** Runs `dispatches`; the kernel and the microseconds of each. */
export async function timeDispatches(
  device: Device, dispatches: readonly Dispatch[],
): Promise<[kernel: string, microseconds: number][]> {
  const times: [string, number][] = [];
  for (let start = 0; start < dispatches.length; start += MAX_PASSES) {
    const part = dispatches.slice(start, start + MAX_PASSES);
    const found = await run(device, part);
    times.push(...part.map(({ kernel }, at): [string, number] => [kernel, found[at] ?? 0]));
  }
  return times;
}

async function run(device: Device, dispatches: readonly Dispatch[]): Promise<number[]> {
  const { gpu } = device;
  const count = 2 * dispatches.length;
  const querySet = gpu.createQuerySet({ label: "profile", type: "timestamp", count });
  const { QUERY_RESOLVE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const make = (usage: number): GPUBuffer =>
    gpu.createBuffer({ label: "profile", size: 8 * count, usage });
  const resolved = make(QUERY_RESOLVE | COPY_SRC);
  const mapped = make(MAP_READ | COPY_DST);
  const encoder = gpu.createCommandEncoder({ label: "profile" });
  for (const [index, { pipeline, group, x, y, z }] of dispatches.entries()) {
    const writes = { beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 };
    const pass = encoder.beginComputePass({ timestampWrites: { querySet, ...writes } });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(x.value, y.value, z.value);
    pass.end();
  }
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, mapped, 0, 8 * count);
  gpu.queue.submit([encoder.finish()]);
  try {
    await device.guard(mapped.mapAsync(GPUMapMode.READ));
    const stamps = new BigUint64Array(mapped.getMappedRange());
    return dispatches.map((_, at) => microseconds(stamps[2 * at], stamps[2 * at + 1]));
  } finally {
    for (const resource of [querySet, resolved, mapped]) resource.destroy();
  }
}

function microseconds(begin = 0n, end = 0n): number {
  return Number(end - begin) / 1000;
}
