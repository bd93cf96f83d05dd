/** A streamed answer: chunks as they arrive, for one `for await`. Leaving the loop stops it. */

import type { ModelpressError } from "./errors.ts";
import type { ChatCompletionChunk, Completion } from "./openai.ts";

interface Waiting<Chunk> {
  readonly resolve: (result: IteratorResult<Chunk, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

export type ChatStream = AnswerStream<ChatCompletionChunk>;
export type CompletionStream = AnswerStream<Completion>;

export class AnswerStream<Chunk> implements AsyncIterableIterator<Chunk, undefined> {
  /** Stops the answer, as OpenAI's client does it. */
  readonly controller: AbortController;
  readonly #chunks: Chunk[] = [];
  readonly #waiting: Waiting<Chunk>[] = [];
  #end: { readonly error?: ModelpressError } | undefined;

  constructor(controller: AbortController) {
    this.controller = controller;
  }

  push(chunk: Chunk): void {
    const waiting = this.#waiting.shift();
    if (waiting) waiting.resolve({ done: false, value: chunk });
    else this.#chunks.push(chunk);
  }

  /** The answer is over, or failed with `error`. */
  finish(error?: ModelpressError): void {
    if (this.#end) return;
    this.#end = error ? { error } : {};
    for (const waiting of this.#waiting.splice(0)) this.#settle(waiting);
  }

  next(): Promise<IteratorResult<Chunk, undefined>> {
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) return Promise.resolve({ done: false, value: chunk });
    return new Promise((resolve, reject) => {
      if (this.#end) this.#settle({ resolve, reject });
      else this.#waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<Chunk, undefined>> {
    this.controller.abort();
    this.#chunks.length = 0;
    this.finish();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #settle({ resolve, reject }: Waiting<Chunk>): void {
    const error = this.#end?.error;
    this.#end = {};
    if (error) reject(error);
    else resolve({ done: true, value: undefined });
  }
}
