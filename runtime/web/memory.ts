/** Memory for bodies while they are fetched, checked and used: a few buffers, used again and again.
 *
 * Not one made for each body: browsers give a buffer's memory back when they collect garbage, and
 * nothing makes them do that before a whole model lies there.
 */

export class BufferPool {
  readonly #limit: number;
  readonly #waiting: { readonly nbytes: number; readonly go: () => void }[] = [];
  #idle: ArrayBuffer[] = [];
  #taken = 0;

  /** `limit` bytes in all, exceeded only by a single body that is larger. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A place for a body of `nbytes`, as soon as there is room: whoever asks first has it first. */
  async take(nbytes: number): Promise<Slot> {
    await new Promise<void>((go) => {
      this.#waiting.push({ nbytes, go });
      this.#admit();
    });
    return new Slot(nbytes, this.#reuse(nbytes), (left) => {
      this.#taken -= nbytes;
      if (left) this.#idle.push(left);
      this.#admit();
    });
  }

  /** Lets go of the buffers that nobody uses now. */
  clear(): void {
    this.#idle = [];
  }

  #admit(): void {
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      if (this.#taken > 0 && this.#taken + first.nbytes > this.#limit) return;
      this.#waiting.shift();
      this.#taken += first.nbytes;
      first.go();
    }
  }

  #reuse(nbytes: number): ArrayBuffer | undefined {
    const at = this.#idle.findIndex(({ byteLength }) => byteLength >= nbytes);
    if (at >= 0) return this.#idle.splice(at, 1)[0];
    // Too small for what is fetched now.
    this.clear();
    return undefined;
  }
}

/** The place of one body. Its buffer moves to whoever fills it and back. */
export class Slot {
  readonly #nbytes: number;
  readonly #onFree: (left: ArrayBuffer | undefined) => void;
  #buffer: ArrayBuffer | undefined;
  #isFree = false;

  constructor(
    nbytes: number, buffer: ArrayBuffer | undefined,
    onFree: (left: ArrayBuffer | undefined) => void,
  ) {
    this.#nbytes = nbytes;
    this.#buffer = buffer;
    this.#onFree = onFree;
  }

  /** The buffer, or a new one when the last was lost with a stream that failed. */
  lend(): ArrayBuffer {
    const buffer = this.#buffer ?? new ArrayBuffer(this.#nbytes);
    this.#buffer = undefined;
    return buffer;
  }

  giveBack(buffer: ArrayBuffer): void {
    this.#buffer = buffer;
  }

  free(): void {
    if (this.#isFree) return;
    this.#isFree = true;
    this.#onFree(this.#buffer);
  }
}

/** Runs one piece of work after the other. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();

  /** The result of `work`, begun when everything before it has ended. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
