/** One way to fetch bytes: streamed with progress, and one retry policy for everything.
 *
 * Network failures, stalls, 408, 429 and 5xx are tried again with exponential backoff and jitter,
 * after what Retry-After asks for; any other status is final.
 */

import { readBody } from "./body.ts";
import { aborted, checkAborted, ModelpressError } from "./errors.ts";
import type { Slot } from "./memory.ts";

export const MAX_TRIES = 5;
const FIRST_DELAY_MS = 300;
const MAX_DELAY_MS = 60_000;
const STALL_MS = 30_000;

export interface FetchOptions {
  /** Bytes expected: a body of another length is not what was asked for. */
  readonly nbytes?: number;
  /** Where it goes; the caller frees it. */
  readonly slot?: Slot | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes that arrived since the last call; negative when a try starts over. */
  readonly onBytes?: ((delta: number) => void) | undefined;
  readonly cache?: RequestCache;
  readonly tries?: number;
  /** How long nothing may arrive; half a minute by default. */
  readonly stallMs?: number;
}

/** A failed try: `retry` says whether another may help, `delayMs` what the server asked for. */
class TryError extends Error {
  readonly status: number | undefined;
  readonly retry: boolean;
  readonly delayMs: number | undefined;

  constructor(message: string, retry: boolean, status?: number, delayMs?: number) {
    super(message);
    this.retry = retry;
    this.status = status;
    this.delayMs = delayMs;
  }
}

/** The body at `url`; raises "network" naming `name` and the status, or "aborted". */
export async function fetchBytes(
  url: string, name: string, options: FetchOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const tries = options.tries ?? MAX_TRIES;
  for (let count = 1; ; count += 1) {
    try {
      return await fetchOnce(url, options);
    } catch (error) {
      checkAborted(options.signal);
      if (!(error instanceof TryError)) throw error;
      if (!error.retry || count >= tries) throw networkError(name, error, count);
      await pause(error.delayMs ?? backoff(count), options.signal);
    }
  }
}

async function fetchOnce(
  url: string, { nbytes, slot, signal, onBytes, cache, stallMs = STALL_MS }: FetchOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const stall = new Stall(signal, stallMs);
  let seen = 0;
  try {
    const response = await fetch(url, { cache: cache ?? "default", signal: stall.signal });
    if (!response.ok) throw statusError(response);
    const onPart = (arrived: number): void => {
      stall.reset();
      seen += arrived;
      onBytes?.(arrived);
    };
    return await readBody(response, { nbytes, slot, onPart });
  } catch (error) {
    onBytes?.(-seen);
    if (error instanceof TryError || error instanceof ModelpressError) throw error;
    const silence = `no answer for ${stallMs / 1000} seconds`;
    const reason = stall.expired ? silence : (error as Error).message;
    throw new TryError(reason, true);
  } finally {
    stall.stop();
  }
}

/** Aborts a request that brings nothing for `stallMs`, or whose caller gave up. */
class Stall {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #onAbort = (): void => this.#controller.abort();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stallMs: number;
  expired = false;

  constructor(caller: AbortSignal | undefined, stallMs: number) {
    this.#caller = caller;
    this.#stallMs = stallMs;
    caller?.addEventListener("abort", this.#onAbort);
    this.reset();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  reset(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.expired = true;
      this.#controller.abort();
    }, this.#stallMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener("abort", this.#onAbort);
    this.#controller.abort();
  }
}

function statusError(response: Response): TryError {
  const { status } = response;
  void response.body?.cancel().catch(() => undefined);
  const retry = status === 408 || status === 429 || status >= 500;
  return new TryError(`HTTP ${status}`, retry, status, retryAfter(response.headers));
}

function networkError(name: string, error: TryError, tries: number): ModelpressError {
  const again = error.retry
    ? "Check the connection and try again"
    : "The site is incomplete: whoever runs it should publish it again";
  const message = `${name} could not be fetched (${error.message}, ${tries} tries). ${again}`;
  return new ModelpressError("network", message, { file: name, status: error.status ?? null });
}

/** Milliseconds of a Retry-After header in seconds or as a date. */
export function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  if (value === null) return undefined;
  const seconds = Number(value);
  const delay = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(delay) ? undefined : Math.min(Math.max(delay, 0), MAX_DELAY_MS);
}

function backoff(count: number): number {
  return FIRST_DELAY_MS * 2 ** (count - 1) * (0.5 + Math.random());
}

function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(aborted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, delayMs);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
