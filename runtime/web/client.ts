/** The engine for pages: `createEngine`, and what it gives.
 *
 * import { createEngine } from "./engine/client.js";
 * const engine = await createEngine({ model: "press-guide" });
 * const reply = await engine.chat.completions.create({ messages: [{ role: "user", content: "Hi" }] });
 */

import { Channel } from "./channel.ts";
import { ChatCompletions, Completions } from "./completions.ts";
import { engineFetch } from "./engine_fetch.ts";
import type { RequestOptions } from "./completions.ts";
import { aborted, ModelpressError, NO_WEBGPU } from "./errors.ts";
import type { CachedModel, EngineInfo } from "./facts.ts";
import type { Progress } from "./formats.ts";
import type { OpenOptions } from "./messages.ts";
import type {
  EmbeddingList,
  EmbeddingRequest,
  ModelList,
  ModelSummary,
} from "./openai.ts";

export { serveEndpoint } from "./endpoint.ts";
export { ModelpressError } from "./errors.ts";
export type { Answers, Endpoint, EndpointOptions } from "./endpoint.ts";
export type { ErrorCode, Progress } from "./formats.ts";
export type { ChatStream, CompletionStream } from "./chat_stream.ts";
export type { ChatCompletions, Completions, RequestOptions } from "./completions.ts";
export type * from "./facts.ts";
export type * from "./openai.ts";

export type OnProgress = (progress: Progress) => void;

export interface EngineOptions {
  /** Loaded before `createEngine` resolves; without it, `load` or the first request loads one. */
  readonly model?: string;
  /** "q4", "q8"...; the model's first by default. */
  readonly scheme?: string;
  /** Where registry.json lies; the site's own by default. */
  readonly registryUrl?: string | URL;
  /** "auto", or a plan variant: one that cannot be honoured is an error. */
  readonly variant?: string;
  /** "synthetic" makes weights on the device, to measure before downloading. */
  readonly weights?: "real" | "synthetic";
  /** Tokens of context; the model's own by default. */
  readonly context?: number;
  /** Steps queued ahead, 1 to 8. */
  readonly depth?: number;
  /** Forces an entry of the plan where it has several, as `{ decode: "decode_dot" }`. */
  readonly choices?: { readonly [name: string]: string };
  /** Threads to compute with on the processor, where the page is cross-origin isolated. */
  readonly threads?: number;
  /** Tests and measures again what an earlier visit has found out about this device. */
  readonly retune?: boolean;
  readonly onProgress?: OnProgress;
  /** Troubles that stop nothing, such as "quota_exceeded": the model is not kept. */
  readonly onWarning?: (warning: ModelpressError) => void;
  /** Stops the start and the first load. */
  readonly signal?: AbortSignal;
}

export interface LoadOptions extends RequestOptions {
  readonly onProgress?: OnProgress;
}

/** An engine of its own in a worker of its own. Raises ModelpressError only. */
export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const { model, onProgress, onWarning, signal } = options;
  // Elsewhere browsers withhold WebGPU, and locks and caches with it.
  if (!isSecureContext) throw new ModelpressError("no_webgpu", NO_WEBGPU);
  const registryUrl = addressOf(options.registryUrl);
  const channel = new Channel(new URL("./worker.js", import.meta.url), onWarning);
  const stop = (): void => channel.end(aborted());
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop);
  try {
    const { threads } = options;
    const own = { registryUrl, model: model ?? null, ...(threads !== undefined && { threads }) };
    const open = { ...own, engine: engineOptions(options) };
    await channel.open(open, { onProgress });
    if (model !== undefined) await channel.call("load", model, { onProgress });
    return new Engine(channel);
  } catch (error) {
    const ours = ModelpressError.from(error);
    channel.end(ours);
    throw ours;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function addressOf(registryUrl: string | URL | undefined): string {
  try {
    const own = new URL("../registry.json", import.meta.url);
    return new URL(registryUrl ?? own, document.baseURI).href;
  } catch {
    throw new ModelpressError(
      "bad_request", `registryUrl is no address: ${String(registryUrl)}`, { param: "registryUrl" },
    );
  }
}

function engineOptions(options: EngineOptions): OpenOptions["engine"] {
  const { scheme, variant, weights, context, depth, choices, retune } = options;
  return {
    ...(scheme !== undefined && { scheme }),
    ...(variant !== undefined && { variant }),
    ...(weights !== undefined && { weights }),
    ...(context !== undefined && { context }),
    ...(depth !== undefined && { depth }),
    ...(choices !== undefined && { choices }),
    ...(retune !== undefined && { retune }),
  };
}

export class Engine {
  readonly chat: { readonly completions: ChatCompletions };
  /** Continues a text, or fills a gap in it. */
  readonly completions: Completions;
  readonly embeddings: Embeddings;
  readonly cache: EngineCache;
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
    this.chat = { completions: new ChatCompletions(channel) };
    this.completions = new Completions(channel);
    this.embeddings = new Embeddings(channel);
    this.cache = new EngineCache(channel);
  }

  /** The models of the hub, first the one that visitors meet first. */
  async models({ signal }: RequestOptions = {}): Promise<readonly ModelSummary[]> {
    const list = (await this.#channel.call("models", "", { signal })) as ModelList;
    return list.data;
  }

  /** Loads a model, in place of the one before. */
  async load(id: string, { signal, onProgress }: LoadOptions = {}): Promise<EngineInfo> {
    return (await this.#channel.call("load", id, { signal, onProgress })) as EngineInfo;
  }

  async unload(id: string): Promise<void> {
    await this.#channel.call("unload", id);
  }

  async info(): Promise<EngineInfo> {
    return (await this.#channel.call("info")) as EngineInfo;
  }

  /** `fetch` for the routes of OpenAI's API, answered by this engine without a network.
   *
   * For OpenAI's own client: `new OpenAI({ baseURL: location.origin + "/v1", fetch: engine.fetch })`.
   */
  readonly fetch = (input: RequestInfo | URL, init?: RequestInit): Promise<Response> =>
    engineFetch(this.#channel, input, init);

  /** Measures the loaded model; `request` as runtime/api.py has it. */
  async bench(
    request: { readonly [name: string]: unknown }, { signal, onProgress }: LoadOptions = {},
  ): Promise<{ readonly [name: string]: unknown }> {
    const text = JSON.stringify(request);
    const result = await this.#channel.call("bench", text, { signal, onProgress });
    return result as { readonly [name: string]: unknown };
  }

  /** Frees the device and ends the worker; whatever still runs is aborted. */
  async close(): Promise<void> {
    this.#channel.cancelAll();
    const done = this.#channel.call("close").catch(() => undefined);
    const late = new Promise((resolve) => setTimeout(resolve, 2000));
    await Promise.race([done, late]);
    this.#channel.end(new ModelpressError("aborted", "the engine is closed: create another"));
  }
}

export class Embeddings {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** OpenAI's `embeddings.create`: one vector for each text, in order. */
  async create(
    request: EmbeddingRequest, { signal }: RequestOptions = {},
  ): Promise<EmbeddingList> {
    const text = JSON.stringify(request);
    return (await this.#channel.call("embeddings", text, { signal })) as EmbeddingList;
  }
}

/** What this browser keeps of the models. */
export class EngineCache {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async list(): Promise<readonly CachedModel[]> {
    return (await this.#channel.call("cache_list")) as CachedModel[];
  }

  async remove(id: string): Promise<void> {
    await this.#channel.call("cache_remove", id);
  }

  /** Asks the browser never to evict; false when it declines, "quota_exceeded" when too late. */
  async persist(): Promise<boolean> {
    await this.#channel.call("cache_check");
    // Browsers offer this to pages only.
    return navigator.storage.persist();
  }
}
