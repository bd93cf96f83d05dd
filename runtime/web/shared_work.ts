/** Work that several callers want at once is done once; it stops when the last of them gives up. */

import { aborted, checkAborted } from "./errors.ts";

export type OnBytes = (delta: number) => void;

interface Waiter {
  readonly onBytes: OnBytes | undefined;
}

/** One download under way. */
class Work<T> {
  readonly controller = new AbortController();
  readonly waiters = new Set<Waiter>();
  readonly result: Promise<T>;
  nbytes = 0;

  constructor(start: (signal: AbortSignal, onBytes: OnBytes) => Promise<T>) {
    this.result = start(this.controller.signal, (delta) => {
      this.nbytes += delta;
      for (const { onBytes } of this.waiters) onBytes?.(delta);
    });
    this.result.catch(() => undefined);
  }
}

export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: OnBytes | undefined;
}

export class SharedWork<T> {
  readonly #running = new Map<string, Work<T>>();
  readonly #dispose: (value: T) => void;

  /** `dispose` is given a result when nobody uses it any more. */
  constructor(dispose: (value: T) => void = () => undefined) {
    this.#dispose = dispose;
  }

  /** What `use` makes of the result of `start` for `key`, joining the one already under way. */
  async run<U>(
    key: string,
    start: (signal: AbortSignal, onBytes: OnBytes) => Promise<T>,
    { signal, onBytes }: WaitOptions,
    use: (value: T) => U | Promise<U>,
  ): Promise<U> {
    checkAborted(signal);
    const work = this.#running.get(key) ?? this.#begin(key, start);
    const waiter = { onBytes };
    work.waiters.add(waiter);
    let stop = (): void => undefined;
    const stopped = new Promise<never>((_, reject) => {
      stop = () => reject(aborted());
      signal?.addEventListener("abort", stop);
    });
    // Whoever joins late has missed what came before.
    if (work.nbytes > 0) onBytes?.(work.nbytes);
    try {
      return await use(await Promise.race([work.result, stopped]));
    } finally {
      signal?.removeEventListener("abort", stop);
      work.waiters.delete(waiter);
      if (work.waiters.size === 0) this.#end(key, work);
    }
  }

  #begin(key: string, start: (signal: AbortSignal, onBytes: OnBytes) => Promise<T>): Work<T> {
    const work = new Work(start);
    this.#running.set(key, work);
    return work;
  }

  #end(key: string, work: Work<T>): void {
    work.controller.abort();
    if (this.#running.get(key) === work) this.#running.delete(key);
    work.result.then(this.#dispose, () => undefined);
  }
}
