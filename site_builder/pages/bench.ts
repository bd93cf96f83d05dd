/** The benchmark page: a form, a table, and `window.modelpressBench` for scripts. */

import { cachedModels } from "./cached.ts";
import { find, make } from "./dom.ts";
import { type Engine, type Progress, startEngine, Trouble } from "./engine.ts";
import { readFacts } from "./facts.ts";
import { bytesOf, rate, seconds, stageWords } from "./words.ts";

interface BenchOptions {
  readonly prompt?: number;
  readonly new?: number;
  readonly runs?: number;
  readonly variant?: string;
  readonly weights?: "synthetic" | "real";
  /** Forces a way to compute, as `{ decode: "decode_dot" }`. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Tests and measures the device again first. */
  readonly retune?: boolean;
  /** Times every kernel as well; the browser may round the times. */
  readonly profile?: boolean;
  /** 0, the default, takes the likeliest token. */
  readonly temperature?: number;
  readonly top_p?: number;
  readonly signal?: AbortSignal;
}

interface Run {
  readonly prompt_tokens: number;
  readonly new_tokens: number;
  readonly ttft_ms: number;
  readonly prefill_tok_s: number;
  readonly decode_tok_s: number;
  readonly gpu_ms_per_token: number;
  /** Time the engine itself runs, Python and JavaScript. */
  readonly cpu_ms_per_token: number;
}

interface Choice {
  readonly entry: string;
  readonly forced: boolean;
  readonly remembered: boolean;
  readonly milliseconds: Readonly<Record<string, number>>;
}

/** Device time by kernel, the slowest first. */
interface Profile {
  readonly tokens: number;
  readonly microseconds: number;
  readonly kernels: readonly {
    readonly kernel: string;
    readonly dispatches: number;
    readonly microseconds_each: number;
    readonly microseconds: number;
    readonly share: number;
  }[];
}

interface BenchResult {
  readonly id: string;
  readonly variant: string;
  readonly device: string;
  readonly dispatches_per_token: number;
  readonly weight_bytes: number;
  readonly load_ms: number;
  /** How this device computes "prefill" and "decode", and what that was chosen from. */
  readonly choices: Readonly<Record<string, Choice>>;
  readonly runs: readonly Run[];
  readonly profile?: { readonly decode: Profile; readonly prefill: Profile };
}

declare global {
  interface Window {
    modelpressBench: (id: string, options?: BenchOptions) => Promise<BenchResult>;
  }
}

const models = readFacts();
const form = find<HTMLFormElement>("[data-bench-form]");
const status = find("[data-bench-status]");
const results: BenchResult[] = [];

/** Measures model `id`; rejects with the engine's error. One at a time: each owns the device. */
async function measure(id: string, options: BenchOptions = {}): Promise<BenchResult> {
  const { prompt = 512, new: added = 128, runs = 3, variant = "auto", weights = "synthetic" } = options;
  const { choices = {}, retune = false, profile = false } = options;
  const { temperature = 0, top_p = 1 } = options;
  const signal = options.signal ? { signal: options.signal } : {};
  let engine: Engine | undefined;
  try {
    engine = await startEngine({ variant, weights, choices, retune, ...signal });
    const request = { id, prompt, new: added, runs, profile, temperature, top_p };
    const clock = new PageClock();
    const onProgress = (progress: Progress): void => clock.note(progress);
    const done = await engine.bench(request, { onProgress, ...signal });
    const result = clock.applyTo(done as unknown as BenchResult);
    showResult(result);
    return result;
  } finally {
    await engine?.close();
  }
}

/** Takes the times of a benchmark as this page sees its tokens arrive. */
class PageClock {
  readonly #runs: { readonly started: number; readonly tokens: number[] }[] = [];

  note(progress: Progress): void {
    const now = performance.now();
    if (progress.stage === "prefill") this.#runs.push({ started: now, tokens: [] });
    else if (progress.stage === "decode") this.#runs.at(-1)?.tokens.push(now);
    else showProgress(progress);
  }

  /** `result` with the engine's own times replaced by the page's. */
  applyTo(result: BenchResult): BenchResult {
    const runs = result.runs.map((run, index) => {
      const { started = 0, tokens = [] } = this.#runs[index] ?? {};
      const first = tokens[0] ?? started;
      const last = tokens.at(-1) ?? first;
      return {
        ...run,
        new_tokens: tokens.length,
        ttft_ms: rounded(first - started),
        prefill_tok_s: rounded((1000 * run.prompt_tokens) / (first - started)),
        decode_tok_s: rounded((1000 * (tokens.length - 1)) / (last - first)),
      };
    });
    return { ...result, runs };
  }
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function showProgress({ stage, done, total, unit }: Progress): void {
  const amount = unit === "bytes" ? bytesOf(done, total) : `${done} of ${total}`;
  status.textContent = `${stageWords(stage)}: ${amount}`;
}

function showResult(result: BenchResult): void {
  results.push(result);
  const body = find("[data-bench-table] tbody");
  document.querySelector("[data-bench-none]")?.remove();
  for (const run of result.runs) body.append(row(result, run));
  find("[data-bench-json]").textContent = JSON.stringify(results, null, 1);
  status.textContent = `Done: ${rate(result.runs.at(-1)?.decode_tok_s ?? 0)} tokens a second.`;
}

function row(result: BenchResult, run: Run): HTMLTableRowElement {
  const name = models.find((model) => model.id === result.id)?.name ?? result.id;
  const cells = [
    wayOf(result),
    result.device,
    `${run.prompt_tokens}`,
    `${run.new_tokens}`,
    seconds(run.ttft_ms),
    `${rate(run.prefill_tok_s)} tokens/s`,
    `${rate(run.decode_tok_s)} tokens/s`,
  ];
  return make("tr", {}, make("th", { scope: "row" }, name), ...cells.map((text) => make("td", {}, text)));
}

/** The variant, and the entries that were chosen over its own. */
function wayOf({ variant, choices }: BenchResult): string {
  const chosen = Object.entries(choices).filter(([name, { entry }]) => entry !== name);
  return [variant, ...chosen.map(([, { entry }]) => entry)].join(", ");
}

const field = (name: string): HTMLInputElement & HTMLSelectElement => find(`[data-bench-${name}]`, form);

function showVariants(): void {
  const model = models.find(({ id }) => id === field("model").value);
  const names = model?.variants.map(({ name }) => name) ?? [];
  const best = make("option", { value: "auto" }, "Best for this device");
  field("variant").replaceChildren(best, ...names.map((name) => make("option", { value: name }, name)));
}

async function start(): Promise<void> {
  const controller = new AbortController();
  const stop = find<HTMLButtonElement>("[data-bench-stop]", form);
  const go = find<HTMLButtonElement>("[type=submit]", form);
  stop.onclick = () => controller.abort();
  stop.hidden = !(go.disabled = true);
  status.textContent = "Starting the engine";
  try {
    await measure(field("model").value, {
      prompt: field("prompt").valueAsNumber,
      new: field("new").valueAsNumber,
      runs: field("runs").valueAsNumber,
      variant: field("variant").value,
      weights: field("weights").value as "synthetic" | "real",
      signal: controller.signal,
    });
  } catch (error) {
    const { code, message } = Trouble.from(error);
    status.textContent = code === "aborted" ? "Stopped." : message;
  } finally {
    stop.hidden = !(go.disabled = false);
  }
}

window.modelpressBench = measure;
form.hidden = false;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void start();
});
field("model").addEventListener("change", showVariants);
const asked = new URLSearchParams(location.search).get("model");
if (asked !== null && models.some(({ id }) => id === asked)) field("model").value = asked;
showVariants();
if ((await cachedModels()).some(({ model, complete }) => complete && model === field("model").value)) {
  field("weights").value = "real";
}
