/** What an empty conversation shows: the model, what it costs to get, and questions to start with. */

import { find, make } from "./dom.ts";
import type { ModelFacts } from "./facts.ts";
import { bytes } from "./words.ts";

export class Welcome {
  readonly #box = find("[data-welcome]");
  readonly #ask: (question: string) => void;

  constructor(ask: (question: string) => void) {
    this.#ask = ask;
  }

  /** Shows `model`, or nothing; `isKept` when it needs no download. */
  show(model: ModelFacts | undefined, isKept: boolean): void {
    this.#box.hidden = model === undefined;
    if (!model) return;
    find("[data-welcome-title]").textContent = model.name;
    find("[data-welcome-text]").textContent = model.description;
    find("[data-welcome-facts]").textContent = isKept
      ? "Downloaded: it works offline, and nothing leaves this device."
      : `Your first message downloads it once: ${bytes(model.download_nbytes)}. After that it works offline.`;
    find("[data-suggestions]").replaceChildren(...model.suggestions.map((text) => this.#suggestion(text)));
  }

  #suggestion(text: string): HTMLLIElement {
    const button = make("button", { type: "button", class: "suggestion" }, text);
    button.addEventListener("click", () => this.#ask(text));
    return make("li", {}, button);
  }
}
