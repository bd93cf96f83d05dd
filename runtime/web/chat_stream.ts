/** A streamed answer: chunks as they arrive, for one `for await`. Leaving the loop stops it. */

import type { ModelpressError } from "./errors.ts";
import type { ChatCompletionChunk } from "./openai.ts";

type Waiting = {
  readonly resolve: (result: IteratorResult<ChatCompletionChunk, undefined>) => void;
  readonly reject: (error: unknown) => void;
};

export class ChatStream implements AsyncIterableIterator<ChatCompletionChunk, undefined> {
  /** Stops the answer, as OpenAI's client does it. */
  readonly controller: AbortController;
  readonly #chunks: ChatCompletionChunk[] = [];
  readonly #waiting: Waiting[] = [];
  #end: { readonly error?: ModelpressError } | undefined;

  constructor(controller: AbortController) {
    this.controller = controller;
  }

  push(chunk: ChatCompletionChunk): void {
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

  next(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    const chunk = this.#chunks.shift();
    if (chunk) return Promise.resolve({ done: false, value: chunk });
    return new Promise((resolve, reject) => {
      if (this.#end) this.#settle({ resolve, reject });
      else this.#waiting.push({ resolve, reject });
    });
  }

  return(): Promise<IteratorResult<ChatCompletionChunk, undefined>> {
    this.controller.abort();
    this.#chunks.length = 0;
    this.finish();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #settle({ resolve, reject }: Waiting): void {
    const error = this.#end?.error;
    this.#end = {};
    if (error) reject(error);
    else resolve({ done: true, value: undefined });
  }
}
