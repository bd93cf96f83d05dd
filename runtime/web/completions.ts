/** Answers of a model: `chat.completions.create` and `completions.create`, as OpenAI has them. */

import type { Channel } from "./channel.ts";
import type { ChatStream, CompletionStream } from "./chat_stream.ts";
import { AnswerStream } from "./chat_stream.ts";
import { ModelpressError } from "./errors.ts";
import type { Method } from "./messages.ts";
import type {
  ChatCompletion,
  ChatCompletionRequest,
  Completion,
  CompletionRequest,
  StreamingCompletionRequest,
  StreamingRequest,
  WholeCompletionRequest,
  WholeRequest,
} from "./openai.ts";

export interface RequestOptions {
  readonly signal?: AbortSignal;
}

export class ChatCompletions {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** OpenAI's `chat.completions.create`; a stream is given once the request is known to be good. */
  create(request: StreamingRequest, options?: RequestOptions): Promise<ChatStream>;
  create(request: WholeRequest, options?: RequestOptions): Promise<ChatCompletion>;
  create(
    request: ChatCompletionRequest, options?: RequestOptions,
  ): Promise<ChatCompletion | ChatStream>;
  async create(
    request: ChatCompletionRequest, { signal }: RequestOptions = {},
  ): Promise<ChatCompletion | ChatStream> {
    const text = JSON.stringify(request);
    if (request.stream === true) return openStream(this.#channel, "chat_stream", text, signal);
    return (await this.#channel.call("chat", text, { signal })) as ChatCompletion;
  }
}

export class Completions {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** OpenAI's `completions.create`; a stream is given once the request is known to be good. */
  create(
    request: StreamingCompletionRequest, options?: RequestOptions,
  ): Promise<CompletionStream>;
  create(request: WholeCompletionRequest, options?: RequestOptions): Promise<Completion>;
  create(
    request: CompletionRequest, options?: RequestOptions,
  ): Promise<Completion | CompletionStream>;
  async create(
    request: CompletionRequest, { signal }: RequestOptions = {},
  ): Promise<Completion | CompletionStream> {
    const text = JSON.stringify(request);
    if (request.stream === true) {
      return openStream(this.#channel, "completion_stream", text, signal);
    }
    return (await this.#channel.call("completion", text, { signal })) as Completion;
  }
}

/** Resolves with the first chunk: whatever is wrong with the request is thrown before. */
async function openStream<Chunk>(
  channel: Channel, method: Method, text: string, signal: AbortSignal | undefined,
): Promise<AnswerStream<Chunk>> {
  const controller = new AbortController();
  const both = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal;
  const stream = new AnswerStream<Chunk>(controller);
  await new Promise<void>((resolve, reject) => {
    const onChunk = (value: unknown): void => {
      stream.push(value as Chunk);
      resolve();
    };
    const fail = (error: unknown): void => {
      stream.finish(ModelpressError.from(error));
      reject(error as Error);
    };
    const finish = (): void => {
      stream.finish();
      resolve();
    };
    channel.call(method, text, { signal: both, onChunk }).then(finish, fail);
  });
  return stream;
}
