/** What Python sees of the device and the files: plain scalars, texts and bytes, one call a deed.
 *
 * runtime/browser/ adapts these to the engine's protocols. The one Python object kept here takes the
 * results of steps.
 */

import type { Executor } from "./executor.ts";
import { ModelpressError } from "./errors.ts";
import type { Symbols } from "./expr.ts";
import type { Chunk } from "./formats.ts";
import type { Storage } from "./storage.ts";
import { Tokenizer } from "./tokenizer.ts";

/** A Python function; gone once the call's signal has fired. */
export type Report = (stage: string, done: number, total: number, unit: string) => void;

/** The number of a step, its word, and the record of its error as JSON or nothing. */
type Deliver = (step: number, word: number, error: string) => void;

/** Names and values in turn. */
type Flat = readonly (string | number)[];

export type OnPlan = (text: string, sha256: string) => void;

const REPORT_INTERVAL_MS = 40;

/** What every executor can do, whatever it computes on. */
export type AnyExecutor = Pick<
  Executor,
  | "device" | "prepare" | "upload" | "write" | "submit" | "step" | "profile" | "read"
  | "synchronize" | "release" | "close"
>;

export class HostExecutor {
  readonly #executor: AnyExecutor;
  readonly #storage: Storage;
  #deliver: Deliver | undefined;

  constructor(executor: AnyExecutor, storage: Storage) {
    this.#executor = executor;
    this.#storage = storage;
  }

  async device(): Promise<string> {
    return JSON.stringify(await this.#executor.device());
  }

  /** Resolves with the names of the spare entries that failed, separated by spaces. */
  async prepare(
    text: string, pages: number, entries: string, spare: string, signal: AbortSignal,
    report: Report,
  ): Promise<string> {
    const onCompiled = throttled(report, signal, "compile", "kernels");
    const options = { entries: namesOf(entries), spare: namesOf(spare) };
    return (await this.#executor.prepare(text, pages, onCompiled, options)).join(" ");
  }

  async upload(text: string, signal: AbortSignal, report: Report): Promise<void> {
    const onFetched = throttled(report, signal, "download", "bytes");
    const onWritten = throttled(report, signal, "upload", "bytes");
    const onBytes = (fetched: number, written: number, total: number): void => {
      onFetched(fetched, total);
      onWritten(written, total);
    };
    await this.#executor.upload(text, this.#storage, { signal, onBytes });
    await this.#storage.settle();
  }

  write(buffer: string, data: Uint8Array<ArrayBuffer>, offset: number): void {
    this.#executor.write(buffer, data, offset);
  }

  /** Where the results of steps go. */
  onAnswer(deliver: Deliver): void {
    this.#deliver = deliver;
  }

  /** `symbols` are names and values in turn. */
  submit(entries: string, ...symbols: Flat): void {
    this.#executor.submit(namesOf(entries), symbolsOf(symbols));
  }

  /** The result comes by `onAnswer` with the number of the step. */
  step(step: number, entries: string, read: string, ...symbols: Flat): void {
    this.#executor.step(namesOf(entries), symbolsOf(symbols), read).then(
      (word) => this.#deliver?.(step, word, ""),
      (error: unknown) => this.#deliver?.(step, 0, errorText(error)),
    );
  }

  /** Pairs of kernel and microseconds, as JSON. */
  async profile(entries: string, ...symbols: Flat): Promise<string> {
    return JSON.stringify(await this.#executor.profile(namesOf(entries), symbolsOf(symbols)));
  }

  read(buffer: string, nbytes: number, offset: number): Promise<Uint8Array> {
    return this.#executor.read(buffer, nbytes, offset);
  }

  synchronize(): Promise<void> {
    return this.#executor.synchronize();
  }

  release(): Promise<void> {
    return this.#executor.release();
  }

  close(): Promise<void> {
    return this.#executor.close();
  }
}

export class HostStorage {
  readonly #storage: Storage;
  readonly #onPlan: OnPlan;

  /** `onPlan` hears of plans as they arrive, before Python has read them. */
  constructor(storage: Storage, onPlan: OnPlan) {
    this.#storage = storage;
    this.#onPlan = onPlan;
  }

  registry(signal: AbortSignal): Promise<string> {
    return this.#storage.registry({ signal });
  }

  async text(path: string, nbytes: number, sha256: string, signal: AbortSignal): Promise<string> {
    const text = await this.#storage.text({ path, nbytes, sha256 }, { signal });
    if (isPlan(path)) this.#onPlan(text, sha256);
    return text;
  }

  /** A note of an earlier visit; empty when there is none. */
  async note(key: string): Promise<string> {
    return (await this.#storage.note(key)) ?? "";
  }

  writeNote(key: string, text: string): Promise<void> {
    return this.#storage.writeNote(key, text);
  }

  chunk(sha256: string, offset: number, nbytes: number, signal: AbortSignal): Promise<Uint8Array> {
    const chunk: Chunk = { sha256, offset, nbytes };
    return this.#storage.chunk(chunk, { signal });
  }
}

/** `Tokenizer.parse` for Python, which has no `undefined`. */
export function hostTokenizer(text: string, config: string): Tokenizer {
  return Tokenizer.parse(text, config === "" ? undefined : config);
}

/** Any error as the JSON text of a record. */
export function errorText(error: unknown): string {
  return JSON.stringify(ModelpressError.from(error).toRecord());
}

function isPlan(path: string): boolean {
  return /(^|\/)plan\.[^/]+\.json$/.test(path);
}

function namesOf(text: string): string[] {
  return text === "" ? [] : text.split(" ");
}

function symbolsOf(flat: Flat): Symbols {
  const symbols: { [name: string]: number } = {};
  for (let at = 0; at < flat.length; at += 2) symbols[String(flat[at])] = Number(flat[at + 1]);
  return symbols;
}

/** Reports the first, the last, and at most one every 40 ms between. */
function throttled(
  report: Report, signal: AbortSignal, stage: string, unit: string,
): (done: number, total: number) => void {
  let last = -Infinity;
  let sent = -1;
  return (done, total) => {
    const now = performance.now();
    if (signal.aborted || done === sent || (done < total && now - last < REPORT_INTERVAL_MS)) return;
    last = now;
    sent = done;
    report(stage, done, total, unit);
  };
}
