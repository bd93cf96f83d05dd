/** How threads share the work of a plan: each takes the next piece of a step, until none is left.
 *
 * Nobody waits for a thread, only for work: one that the system has put to sleep, or that comes late,
 * holds up what it has taken and nothing else. A step is over when all its pieces are computed.
 *
 * Threads agree by two words a step. The first says which run of which generation it belongs to and
 * how many pieces are taken; a thread that is still in an earlier run sees that and leaves. The second
 * counts the pieces that are computed.
 */

import type { Call } from "./calls.ts";
import { ModelpressError } from "./errors.ts";

/** Pieces for each thread: small enough that a slow one does not hold up the others for long. */
const PIECES_PER_THREAD = 4;
const GENERATIONS = 1 << 15;
const COUNT_BITS = 16;
const COUNT_MASK = (1 << COUNT_BITS) - 1;
/** Looks at a counter before sleeping: some tens of microseconds. */
const SPINS = 2000;
const SLEEP_MS = 1;

/** Word 0 says that a piece failed; the words of the first step come after. */
const FAILED = 0;
const FIRST = 2;

/** The words that threads agree by, for at most `steps` steps. */
export function makeBoard(steps: number): Int32Array<SharedArrayBuffer> {
  return new Int32Array(new SharedArrayBuffer(4 * (FIRST + 2 * steps)));
}

/** Opens a run for `count` steps, when all pieces of the one before are computed; its generation. */
export function openRun(board: Int32Array, count: number, last: number): number {
  const generation = (last + 1) % GENERATIONS;
  for (let step = 0; step < count; step += 1) {
    Atomics.store(board, FIRST + 2 * step + 1, 0);
    Atomics.store(board, FIRST + 2 * step, generation << COUNT_BITS);
  }
  return generation;
}

/** Takes part in one step until it is over; false when its run is.
 *
 * What a kernel throws is thrown, and "internal" when another thread's has.
 */
export function takePart(
  board: Int32Array, generation: number, step: number, call: Call, threads: number,
): boolean {
  const claims = FIRST + 2 * step;
  const { items } = call;
  const pieces = Math.min(items, threads * PIECES_PER_THREAD);
  for (;;) {
    const claim = Atomics.load(board, claims);
    if (claim >> COUNT_BITS !== generation) return false;
    const piece = claim & COUNT_MASK;
    if (piece === pieces) return untilComputed(board, generation, claims, pieces);
    if (Atomics.compareExchange(board, claims, claim, claim + 1) !== claim) continue;
    const begin = Math.floor((items * piece) / pieces);
    compute(board, call, begin, Math.floor((items * (piece + 1)) / pieces));
    if (Atomics.add(board, claims + 1, 1) + 1 === pieces) Atomics.notify(board, claims + 1);
  }
}

/** A piece that fails is never counted: nobody may wait for it. */
function compute(board: Int32Array, call: Call, begin: number, end: number): void {
  try {
    call.run(begin, end);
  } catch (error) {
    Atomics.store(board, FAILED, 1);
    throw error;
  }
}

function untilComputed(
  board: Int32Array, generation: number, claims: number, pieces: number,
): boolean {
  for (let spins = 0; ; spins += 1) {
    const computed = Atomics.load(board, claims + 1);
    if (Atomics.load(board, claims) >> COUNT_BITS !== generation) return false;
    if (computed === pieces) return true;
    if (Atomics.load(board, FAILED)) {
      throw new ModelpressError("internal", "a kernel failed in another thread");
    }
    // Not for ever: a new run resets the counter without waking anyone, and so does a failure.
    if (spins > SPINS) Atomics.wait(board, claims + 1, computed, SLEEP_MS);
  }
}
