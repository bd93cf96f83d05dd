/** Weights onto a device: chunk bytes go from storage to buffers, a few chunks at a time. */

import type { Device } from "./device.ts";
import { ModelpressError } from "./errors.ts";
import type { Plan, Tensor, WeightIndex } from "./formats.ts";
import type { Buffers } from "./program.ts";
import type { Storage } from "./storage.ts";
import { Turns } from "./memory.ts";

/** Chunks on their way at once, as far as there is memory for them. */
const CONCURRENCY = 6;
/** Written at once: what is written lies in staging memory until the device takes it. */
const STAGED_NBYTES = 4 << 20;

/** `nbytes` of a chunk from `from` that belong at `to` in the buffer of `tensor`. */
export interface Piece {
  readonly tensor: string;
  readonly from: number;
  readonly to: number;
  readonly nbytes: number;
}

/** The pieces of every chunk, in order. */
export function piecesOf(index: WeightIndex): Piece[][] {
  let first = 0;
  return index.chunks.map((chunk) => {
    const end = chunk.offset + chunk.nbytes;
    const pieces: Piece[] = [];
    while (first < index.tensors.length && endOf(index.tensors[first]) <= chunk.offset) first += 1;
    for (let at = first; at < index.tensors.length; at += 1) {
      const tensor = index.tensors[at];
      if (!tensor || tensor.offset >= end) break;
      const start = Math.max(tensor.offset, chunk.offset);
      const nbytes = Math.min(endOf(tensor), end) - start;
      const piece = { from: start - chunk.offset, to: start - tensor.offset, nbytes };
      if (nbytes > 0) pieces.push({ tensor: tensor.name, ...piece });
    }
    return pieces;
  });
}

export interface UploadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes fetched and bytes written so far, of `total`. */
  readonly onBytes?: ((fetched: number, written: number, total: number) => void) | undefined;
}

/** Where weights go: the bytes that the plan has for a tensor, and how the pieces of a chunk are
 * written. */
export interface WeightTarget {
  sizeOf(tensor: string): number | undefined;
  write(pieces: readonly Piece[], bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** Weights as buffers on a WebGPU device. */
export function bufferTarget(device: Device, buffers: Buffers): WeightTarget {
  return {
    sizeOf: (tensor) => buffers.get(tensor)?.size,
    write: (pieces, bytes) => writeChunk(device, buffers, pieces, bytes),
  };
}

/** Fetches, verifies and writes every chunk, `CONCURRENCY` at once. */
export async function uploadWeights(
  target: WeightTarget, plan: Plan, index: WeightIndex, storage: Storage,
  { signal, onBytes }: UploadOptions,
): Promise<void> {
  checkTensors(plan, target, index);
  const pieces = piecesOf(index);
  let fetched = 0;
  let written = 0;
  const report = (): void => onBytes?.(fetched, written, index.nbytes);
  const count = (delta: number): void => {
    fetched += delta;
    report();
  };
  report();
  const turns = new Turns();
  await inLanes(index.chunks, signal, async (chunk, at, signal) => {
    await storage.withChunk(chunk, { signal, onBytes: count }, (bytes) =>
      turns.run(() => target.write(pieces[at] ?? [], bytes)));
    written += chunk.nbytes;
    report();
  });
}

async function writeChunk(
  device: Device, buffers: Buffers, pieces: readonly Piece[], bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  let staged = 0;
  for (const { tensor, from, to, nbytes } of pieces) {
    const buffer = buffers.get(tensor);
    // A variant need not use every tensor of the shared weights.
    if (!buffer) continue;
    for (let done = 0; done < nbytes;) {
      const part = Math.min(nbytes - done, STAGED_NBYTES - staged);
      device.gpu.queue.writeBuffer(buffer, to + done, bytes, from + done, part);
      done += part;
      staged += part;
      if (staged < STAGED_NBYTES) continue;
      await device.guard(device.gpu.queue.onSubmittedWorkDone());
      staged = 0;
    }
  }
  await device.guard(device.gpu.queue.onSubmittedWorkDone());
}

type LaneWork<T> = (item: T, at: number, signal: AbortSignal) => Promise<void>;

/** Runs `work` over `items` in order, `CONCURRENCY` at once; the first failure stops the rest. */
export async function inLanes<T>(
  items: readonly T[], signal: AbortSignal | undefined, work: LaneWork<T>,
): Promise<void> {
  const controller = new AbortController();
  const all = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal;
  const rest = items.entries();
  let failure: { readonly error: unknown } | undefined;
  const lane = async (): Promise<void> => {
    for (const [at, item] of rest) {
      try {
        await work(item, at, all);
      } catch (error) {
        failure ??= { error };
        controller.abort();
      }
      if (failure) return;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, lane));
  if (failure) throw failure.error;
}

function checkTensors(plan: Plan, target: WeightTarget, index: WeightIndex): void {
  const tensors = new Map(index.tensors.map((tensor) => [tensor.name, tensor]));
  for (const { name, role } of plan.buffers) {
    if (role !== "weight") continue;
    const nbytes = tensors.get(name)?.nbytes;
    const size = target.sizeOf(name) ?? 0;
    if (nbytes === undefined || nbytes > size) {
      const found = nbytes === undefined ? "are missing from weights.json" : `hold ${nbytes} bytes`;
      throw new ModelpressError(
        "bad_format",
        `the weights of ${name} ${found}, the plan has ${size} bytes for them. ` +
          "Build the model again with `modelpress build`",
        { tensor: name },
      );
    }
  }
}

function endOf(tensor: Tensor | undefined): number {
  return tensor ? tensor.offset + tensor.nbytes : 0;
}
