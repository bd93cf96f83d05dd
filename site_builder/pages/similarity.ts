/** The page that compares sentences: a form, and a table sorted by similarity. */

import { find, make } from "./dom.ts";
import { type Engine, type Progress, Trouble } from "./engine.ts";
import { readFacts } from "./facts.ts";
import { ModelSession } from "./model_session.ts";
import { bytesOf, seconds, stageWords } from "./words.ts";

const MOST_TEXTS = 200;

const models = readFacts();
const form = find<HTMLFormElement>("[data-similar-form]");
const status = find("[data-similar-status]");
const picker = find<HTMLSelectElement>("[data-similar-model]", form);
const session = new ModelSession({
  progress: ({ stage, done, total, unit }: Progress) => {
    const amount = unit === "bytes" ? bytesOf(done, total) : `${done} of ${total}`;
    status.textContent = `${stageWords(stage)}: ${amount}`;
  },
  warning: (trouble) => console.info(trouble.message),
});
let running: AbortController | undefined;

/** The vectors of `input`, written as `promptName` where the model has such a prompt. */
async function vectorsOf(
  engine: Engine, input: readonly string[], promptName: string, signal: AbortSignal,
): Promise<readonly (readonly number[])[]> {
  const prompts = models.find(({ id }) => id === picker.value)?.prompts ?? [];
  const prompt = prompts.includes(promptName) ? { prompt_name: promptName } : {};
  const { data } = await engine.embeddings.create({ input, truncate: true, ...prompt }, { signal });
  return data.map(({ embedding }) => embedding as readonly number[]);
}

/** The cosine of the angle between two vectors: 1 for the same direction. */
function similarity(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, at) => sum + value * (y[at] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b) || 1);
}

async function compare(signal: AbortSignal): Promise<void> {
  const query = find<HTMLInputElement>("[data-similar-query]", form).value.trim();
  const lines = find<HTMLTextAreaElement>("[data-similar-texts]", form).value.split("\n");
  const texts = lines.map((line) => line.trim()).filter(Boolean).slice(0, MOST_TEXTS);
  if (!query || texts.length === 0) return void (status.textContent = "Write a sentence in both fields.");
  status.textContent = "Starting the engine";
  const engine = await session.ensure(picker.value);
  const began = performance.now();
  const [wanted = []] = await vectorsOf(engine, [query], "query", signal);
  const vectors = await vectorsOf(engine, texts, "document", signal);
  const took = performance.now() - began;
  const found = texts.map((text, at) => ({ text, score: similarity(wanted, vectors[at] ?? []) }));
  found.sort((a, b) => b.score - a.score);
  find("[data-similar-rows]").replaceChildren(...found.map(row));
  find("[data-similar-results]").hidden = false;
  status.textContent = `${texts.length + 1} texts in ${seconds(took)}.`;
}

function row({ text, score }: { readonly text: string; readonly score: number }): HTMLTableRowElement {
  return make("tr", {}, make("td", {}, score.toFixed(3)), make("th", { scope: "row" }, text));
}

async function start(): Promise<void> {
  running = new AbortController();
  const stop = find<HTMLButtonElement>("[data-similar-stop]", form);
  const go = find<HTMLButtonElement>("[type=submit]", form);
  stop.hidden = !(go.disabled = true);
  try {
    await compare(running.signal);
  } catch (error) {
    const { code, message } = Trouble.from(error);
    status.textContent = code === "aborted" ? "Stopped." : message;
  } finally {
    stop.hidden = !(go.disabled = false);
    running = undefined;
  }
}

form.hidden = false;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) void start();
});
find("[data-similar-stop]", form).addEventListener("click", () => {
  session.cancel();
  running?.abort();
});
const asked = new URLSearchParams(location.search).get("model");
if (asked !== null && models.some(({ id }) => id === asked)) picker.value = asked;
document.body.dataset["ready"] = "";
