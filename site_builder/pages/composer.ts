/** Where questions are written: Enter sends, Shift and Enter makes a line, nothing typed is lost. */

import { find, recall, remember } from "./dom.ts";

export interface ComposerActions {
  /** True when the question was taken. */
  readonly send: (question: string) => boolean;
  readonly stop: () => void;
}

export class Composer {
  readonly #field = find<HTMLTextAreaElement>("[data-question]");
  readonly #send = find<HTMLButtonElement>("[data-send]");
  readonly #stop = find<HTMLButtonElement>("[data-stop]");
  readonly #actions: ComposerActions;

  constructor(actions: ComposerActions) {
    this.#actions = actions;
    this.#field.value ||= recall("question") ?? "";
    find<HTMLFormElement>("[data-composer]").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      // An input method uses Enter to pick a character.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#field.addEventListener("input", () => this.#changed());
    this.#stop.addEventListener("click", () => actions.stop());
    this.#changed();
  }

  focus(): void {
    this.#field.focus();
  }

  /** While an answer is written, the stop button takes the place of the send button. */
  setBusy(busy: boolean): void {
    const hadFocus = document.activeElement === this.#stop || document.activeElement === this.#send;
    this.#send.hidden = busy;
    this.#stop.hidden = !busy;
    if (hadFocus) this.focus();
  }

  #submit(): void {
    const question = this.#field.value.trim();
    if (!question || !this.#actions.send(question)) return;
    this.#field.value = "";
    this.#changed();
  }

  #changed(): void {
    remember("question", this.#field.value || null);
    this.#send.disabled = this.#field.value.trim() === "";
    this.#field.style.height = "auto";
    this.#field.style.height = `${this.#field.scrollHeight}px`;
  }
}
