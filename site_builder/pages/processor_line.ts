/** The line under the chat that says when answers come from the processor, why, and how fast. */

import type { ProcessorInfo } from "../../runtime/web/facts.ts";
import type { Message } from "./conversations.ts";
import { find } from "./dom.ts";
import type { Engine } from "./engine.ts";
import { countWords, rate } from "./words.ts";

const REASONS: Readonly<Record<ProcessorInfo["reason"], string>> = {
  asked: "",
  only: "",
  no_webgpu: ", because this browser offers no WebGPU here",
  software: ", because this browser found no graphics card",
  unfit: ", because the graphics card lacks what the model needs",
  self_test: ", because the graphics card computes the model wrongly",
  device_lost: ", because the graphics card stopped answering twice",
};
/** Of fewer words nobody can tell a speed. */
const FEWEST_WORDS = 5;

export class ProcessorLine {
  readonly #line = find("[data-processor]");
  readonly #words = find("[data-processor-words]", this.#line);

  /** Says where `engine` computes; after an `answer`, how fast. */
  async show(engine: Engine, answer?: Message): Promise<void> {
    const { model } = await engine.info();
    const { processor = null } = model ?? {};
    this.#line.hidden = processor === null;
    if (processor === null) return;
    const speed = answer && wordsPerSecond(answer);
    const pace = speed === undefined ? "" : `: about ${rate(speed)} words a second`;
    this.#words.textContent = `Running on the processor${REASONS[processor.reason]}${pace}.`;
  }
}

/** Words a second of an answer, from its tokens' speed: that leaves the wait for the first out. */
function wordsPerSecond({ text, tokens_per_second, tokens }: Message): number | undefined {
  const words = countWords(text);
  if (tokens_per_second === undefined || tokens === undefined || words < FEWEST_WORDS) return undefined;
  return (words * tokens_per_second) / tokens;
}
