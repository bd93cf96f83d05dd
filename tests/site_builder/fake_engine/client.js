/** The engine's surface with canned answers, for tests of the pages.
 *
 * A test chooses what happens by setting `globalThis.fakeEngine` before the page's scripts run:
 * {answer, thinking, pieces, delayMs, loadMs, failLoad, failOnce, failChat, failAfter, failCode,
 * processor}. `pieces` is
 * the number of characters in a chunk, words by default; without a delay it yields to the page
 * every 8 chunks, as messages from a worker would. Every request is recorded in
 * `globalThis.fakeEngineRequests`, and the engines that started are counted in
 * `globalThis.fakeEnginesStarted`.
 */

const MESSAGES = {
  no_webgpu: "this browser offers no WebGPU here",
  network: "the server answered 503 for a chunk; try again in a moment",
  quota_exceeded: "free some space on this device, or remove another model",
  device_lost: "the device was reset; ask again",
  out_of_memory: "choose a smaller model",
  context_length_exceeded: "3000 tokens do not fit the context of 2048",
  internal: "the engine's worker failed (it ended without notice)",
  integrity: "chunk 0123 is damaged on the server",
};

export class ModelpressError extends Error {
  constructor(code, message, details = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }
}

globalThis.fakeEngineRequests = [];
globalThis.fakeEnginesStarted = 0;

const scenario = () => ({ answer: "Hello from a fake.", delayMs: 4, loadMs: 60, ...globalThis.fakeEngine });
const fail = (code) => new ModelpressError(code, MESSAGES[code]);

const sleep = (ms, signal) =>
  new Promise((resolve, reject) => {
    const stop = () => reject(new ModelpressError("aborted", "stopped by its caller"));
    if (signal?.aborted) return stop();
    signal?.addEventListener("abort", stop);
    setTimeout(resolve, ms);
  });

async function load(model, { onProgress = () => {}, signal } = {}) {
  const { loadMs, failLoad } = scenario();
  const total = 8_900_000;
  onProgress({ stage: "registry", done: 1, total: 1, unit: "files" });
  onProgress({ stage: "plan", done: 2, total: 2, unit: "files" });
  for (let step = 1; step <= 20; step += 1) {
    await sleep(loadMs / 20, signal);
    onProgress({ stage: "compile", done: step, total: 20, unit: "kernels" });
    onProgress({ stage: "download", done: (total * step) / 20, total, unit: "bytes" });
    if (step === 10 && failLoad) {
      const code = failLoad;
      if (globalThis.fakeEngine?.failOnce) globalThis.fakeEngine.failLoad = undefined;
      throw fail(code);
    }
  }
  onProgress({ stage: "upload", done: total, total, unit: "bytes" });
  onProgress({ stage: "ready", done: 1, total: 1, unit: "models" });
  globalThis.fakeEngineLoaded = model;
}

function chunk(model, delta, finish_reason = null, usage = undefined) {
  const choices = usage ? [] : [{ index: 0, delta, finish_reason, logprobs: null }];
  return { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model, choices, ...(usage && { usage }) };
}

async function* stream(request, signal) {
  const { answer, thinking, delayMs, failAfter, failCode } = scenario();
  const text = answer;
  const size = scenario().pieces;
  const pattern = size ? new RegExp(`[^]{1,${size}}`, "gu") : /\s*\S+|\s+$/g;
  const pieces = text.match(pattern) ?? [];
  let count = 0;
  for (const piece of thinking?.match(/\s*\S+/g) ?? []) {
    await sleep(delayMs, signal);
    yield chunk(request.model, { reasoning_content: piece });
  }
  try {
    for (const piece of pieces) {
      if (failAfter === count) throw fail(failCode);
      if (delayMs > 0 || count % 8 === 0) await sleep(delayMs, signal);
      count += 1;
      yield chunk(request.model, { content: piece });
    }
  } catch (error) {
    if (error.code !== "aborted" || count === 0) throw error;
  }
  yield chunk(request.model, {}, "stop");
  const usage = { prompt_tokens: 9, completion_tokens: count, total_tokens: 9 + count };
  if (request.stream_options?.include_usage) yield chunk(request.model, {}, null, usage);
}

class Engine {
  constructor() {
    this.chat = { completions: { create: (request, options) => this.#create(request, options) } };
    this.cache = { list: async () => [], remove: async () => {}, persist: async () => false };
  }

  async #create(request, { signal } = {}) {
    globalThis.fakeEngineRequests.push(structuredClone(request));
    const { failChat } = scenario();
    if (failChat) throw fail(failChat);
    return stream(request, signal);
  }

  load(model, options) {
    return load(model, options);
  }

  async info() {
    const { processor = null } = scenario();
    return { model: { id: globalThis.fakeEngineLoaded, processor } };
  }

  async bench({ id, prompt, new: added, runs }, { onProgress = () => {} } = {}) {
    const { failLoad } = scenario();
    if (failLoad) throw fail(failLoad);
    // What the worker measured; the page is to report what it saw itself.
    const run = {
      prompt_tokens: prompt, new_tokens: added, ttft_ms: 1, prefill_tok_s: 1e9, decode_tok_s: 1e9, gpu_ms_per_token: 20.1,
    };
    for (let index = 0; index < runs; index += 1) {
      onProgress({ stage: "prefill", done: 0, total: prompt, unit: "tokens" });
      for (let token = 1; token <= added; token += 1) {
        await new Promise((resolve) => setTimeout(resolve, 10));
        onProgress({ stage: "decode", done: token, total: added, unit: "tokens" });
      }
      onProgress({ stage: "bench", done: index + 1, total: runs, unit: "runs" });
    }
    const milliseconds = { decode: 2, "decode.dot": 1 };
    return {
      id, variant: "f16", device: "fake (gpu)", dispatches_per_token: 74, weight_bytes: 8_900_000, load_ms: 900,
      choices: { decode: { entry: "decode.dot", forced: false, remembered: false, milliseconds } },
      runs: Array.from({ length: runs }, () => run),
    };
  }

  async close() {}
}

export async function createEngine({ model, onProgress, signal } = {}) {
  if (model !== undefined) await load(model, { onProgress, signal });
  globalThis.fakeEnginesStarted += 1;
  return new Engine();
}
