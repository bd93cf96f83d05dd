/** The page's end of the worker: requests by id, answers pushed, and no way to wait for ever. */

import { aborted, ModelpressError } from "./errors.ts";
import type { Progress } from "./formats.ts";
import type { FromWorker, Method, OpenOptions, ToWorker } from "./messages.ts";

const START_TIMEOUT_MS = 10_000;

/** Who listens to a request. */
export interface Listener {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly onChunk?: ((value: unknown) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Pending extends Listener {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: ModelpressError) => void;
}

export class Channel {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #onWarning: ((error: ModelpressError) => void) | undefined;
  #nextId = 1;
  #ended: ModelpressError | undefined;
  #timer: ReturnType<typeof setTimeout>;

  constructor(workerUrl: URL, onWarning: ((error: ModelpressError) => void) | undefined) {
    this.#onWarning = onWarning;
    this.#worker = startWorker(workerUrl);
    this.#worker.addEventListener("message", ({ data }) => this.#receive(data as FromWorker));
    this.#worker.addEventListener("messageerror", () => this.end(brokenError("a bad message")));
    this.#worker.addEventListener("error", (event) => {
      this.end(brokenError(event.message || "its script did not load"));
    });
    this.#timer = setTimeout(
      () => this.end(brokenError("its script did not start in 10 seconds")), START_TIMEOUT_MS,
    );
  }

  /** Makes the worker's engine; resolves when it is ready to take requests. */
  async open(options: Omit<OpenOptions, "lock">, listener: Listener): Promise<void> {
    const lock = `modelpress worker ${crypto.randomUUID()}`;
    const opening = this.#send(
      (id) => ({ type: "open", id, options: { ...options, lock } }), listener,
    );
    await opening;
    this.#watch(lock);
  }

  /** Asks for `method`; rejects with the worker's error, or "aborted" by the listener's signal. */
  call(method: Method, argument = "", listener: Listener = {}): Promise<unknown> {
    return this.#send((id) => ({ type: "call", id, method, argument }), listener);
  }

  /** Asks everything under way to stop. */
  cancelAll(): void {
    for (const id of this.#pending.keys()) this.#cancel(id);
  }

  /** Ends the worker; whatever is pending, and every later call, rejects with `error`. */
  end(error: ModelpressError): void {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #send(message: (id: number) => ToWorker, listener: Listener): Promise<unknown> {
    if (this.#ended) return Promise.reject(this.#ended);
    if (listener.signal?.aborted) return Promise.reject(aborted());
    const id = this.#nextId++;
    const cancel = (): void => this.#cancel(id);
    listener.signal?.addEventListener("abort", cancel, { once: true });
    const answer = new Promise<unknown>((resolve, reject) => {
      this.#pending.set(id, { ...listener, resolve, reject });
    });
    this.#worker.postMessage(message(id));
    return answer.finally(() => listener.signal?.removeEventListener("abort", cancel));
  }

  #cancel(id: number): void {
    this.#worker.postMessage({ type: "cancel", id } satisfies ToWorker);
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "alive":
        return clearTimeout(this.#timer);
      case "warning":
        return this.#onWarning?.(ModelpressError.fromRecord(message.error));
      case "progress":
        return this.#pending.get(message.id)?.onProgress?.(message.progress);
      case "chunk":
        return this.#pending.get(message.id)?.onChunk?.(JSON.parse(message.text));
      case "result":
        return this.#settle(message.id)?.resolve(message.value);
      case "error":
        return this.#settle(message.id)?.reject(ModelpressError.fromRecord(message.error));
      default:
        return message satisfies never;
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  /** The worker holds `lock` as long as it lives, so getting it means that the worker died. */
  #watch(lock: string): void {
    void navigator.locks.request(lock, () => this.end(brokenError("it ended without notice")));
  }
}

function startWorker(url: URL): Worker {
  try {
    return new Worker(url, { type: "module", name: "modelpress" });
  } catch (error) {
    // A worker's script must come from the page's own origin.
    throw brokenError(error instanceof Error ? error.message : String(error));
  }
}

function brokenError(reason: string): ModelpressError {
  return new ModelpressError(
    "internal",
    `the engine's worker failed (${reason}). Reload the page; if it happens again, close other ` +
      "tabs or choose a smaller model",
    { reason },
  );
}
