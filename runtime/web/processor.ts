/** What this browser's WebAssembly can do, in the words of runtime/processor.py. */

import { ModelpressError } from "./errors.ts";
import type { DeviceInfo } from "./facts.ts";

const MAX_MEMORY = 2 ** 32;
/** More share no work that would be worth waiting for. */
const MOST_THREADS = 8;

/** A module of one function without arguments, its body given from the locals on. */
function moduleOf(result: readonly number[], body: readonly number[]): Uint8Array<ArrayBuffer> {
  const section = (id: number, bytes: readonly number[]): number[] => [id, bytes.length, ...bytes];
  const code = [0, ...body, 0x0b];
  return Uint8Array.from([
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00,
    ...section(1, [1, 0x60, 0, result.length, ...result]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, code.length, ...code]),
  ]);
}

const I32 = 0x7f;
const V128_CONST = [0xfd, 0x0c];
const EXTRACT_LANE_2 = [0xfd, 0x1b, 2];
/** i32x4.relaxed_dot_i8x16_i7x16_add_s */
const RELAXED_DOT_ADD = [0xfd, 0x93, 0x02];
const A = [1, 2, 3, 4, 5, 6, 7, 8, -127, 127, -128, 100, 9, 10, 11, 12];
const B = [15, 14, 13, 12, 11, 10, 9, 8, 15, 15, 15, 7, 7, 6, 5, 4];
const START = 1000;
/** START + -127 * 15 + 127 * 15 + -128 * 15 + 100 * 7 */
const EXPECTED = -220;

const SIMD_MODULE = moduleOf([I32], [...V128_CONST, ...new Array<number>(16).fill(1), ...EXTRACT_LANE_2]);
const RELAXED_MODULE = moduleOf([I32], [
  ...V128_CONST, ...A.map((value) => value & 0xff),
  ...V128_CONST, ...B,
  ...V128_CONST, ...new Uint8Array(Int32Array.of(0, 0, START, 0).buffer),
  ...RELAXED_DOT_ADD, ...EXTRACT_LANE_2,
]);

export function hasSimd(): boolean {
  return WebAssembly.validate(SIMD_MODULE);
}

/** Whether a device, or what is asked of one, is a processor's. */
export function isForProcessors({ features }: { readonly features: readonly string[] }): boolean {
  return features.includes("wasm");
}

/** Whether a known relaxed dot product comes out right, from the first call on: some browsers have
 * had it wrong in the compiler that they begin with. */
export function hasRelaxedSimd(): boolean {
  if (!WebAssembly.validate(RELAXED_MODULE)) return false;
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(RELAXED_MODULE));
  return (exports["f"] as () => number)() === EXPECTED;
}

/** Threads to compute with: `wanted`, or as many as help; "bad_request" for more than there can be. */
export function threadsFor(wanted: number | undefined): number {
  const cores = navigator.hardwareConcurrency || 1;
  if (wanted === undefined) {
    return crossOriginIsolated ? Math.min(Math.max(cores - 1, 1), MOST_THREADS) : 1;
  }
  if (!Number.isInteger(wanted) || wanted < 1) {
    throw new ModelpressError(
      "bad_request", "threads must be a whole number from 1 on", { param: "threads" },
    );
  }
  if (wanted > 1 && !crossOriginIsolated) {
    throw new ModelpressError(
      "bad_request",
      "several threads need a page that is cross-origin isolated: serve it with the headers " +
        "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
      { param: "threads" },
    );
  }
  return wanted;
}

/** The processor as a device; "unsupported_device" when its WebAssembly has no SIMD. */
export function describeProcessor(threads: number): DeviceInfo {
  if (!hasSimd()) {
    throw new ModelpressError(
      "unsupported_device",
      "this browser is too old to compute on the processor: its WebAssembly has no SIMD. Update it",
    );
  }
  const relaxed = hasRelaxedSimd() ? ["wasm-relaxed-simd"] : [];
  return {
    kind: "cpu",
    vendor: "",
    architecture: "wasm32",
    description: `this processor, ${threads} ${threads === 1 ? "thread" : "threads"}`,
    driver: navigator.userAgent,
    features: ["timestamp-query", "wasm", ...relaxed, "wasm-simd128"],
    limits: {
      wasmMemorySize: MAX_MEMORY,
      maxBufferSize: MAX_MEMORY,
      maxStorageBufferBindingSize: MAX_MEMORY,
    },
  };
}
