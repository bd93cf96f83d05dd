/** Turns of the event loop in the midst of long computing: the worker must hear of a stop. */

import { aborted } from "./errors.ts";

const SLICE_MS = 30;

export class Breath {
  readonly #channel = new MessageChannel();
  readonly #waiting: (() => void)[] = [];
  #since = performance.now();
  #isOver = false;

  constructor() {
    this.#channel.port1.onmessage = () => {
      this.#since = performance.now();
      this.#waiting.shift()?.();
    };
  }

  /** Whether the event loop has waited long enough. */
  get isDue(): boolean {
    return performance.now() - this.#since > SLICE_MS;
  }

  /** Resolves when everything that happened until now has been seen to; "aborted" after `stop`.
   *
   * A message, not a timer: browsers let timers that follow each other wait for 4 ms.
   */
  async take(): Promise<void> {
    if (!this.#isOver) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        this.#channel.port2.postMessage(null);
      });
    }
    if (this.#isOver) throw aborted();
  }

  /** Ends whatever breathes here. */
  stop(): void {
    this.#isOver = true;
    for (const resolve of this.#waiting) resolve();
    this.#channel.port1.close();
  }
}
