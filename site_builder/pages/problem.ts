/** An error in words, with the remedy and what can be pressed. */

import { find } from "./dom.ts";
import type { Trouble } from "./engine.ts";

const LEADS: Readonly<Record<string, string>> = {
  context_length_exceeded: "This conversation is longer than the model can read.",
  device_lost: "The graphics card stopped answering.",
  integrity: "A downloaded piece was not what it should be.",
  network: "The download did not get through.",
  no_webgpu: "This model cannot run in this browser.",
  out_of_memory: "There is not enough memory for this model.",
  quota_exceeded: "The browser has no more room to keep this model.",
  unsupported_device: "This device cannot run this model.",
};

const HELPED = new Set(["no_webgpu", "unsupported_device"]);

export class Problem {
  readonly #box = find("[data-problem]");
  readonly #words = find("[data-problem-words]");
  readonly #help = find("[data-problem-help]");
  readonly #retry = find<HTMLButtonElement>("[data-problem-retry]");

  constructor() {
    find("[data-problem-dismiss]").addEventListener("click", () => this.hide());
  }

  /** `retry` is what the button does; without it there is no button. */
  show({ code, message }: Trouble, retry?: { readonly label: string; readonly act: () => void }): void {
    const lead = LEADS[code];
    this.#words.textContent = lead ? `${lead} ${sentence(message)}` : sentence(message);
    this.#help.hidden = !HELPED.has(code);
    this.#retry.hidden = retry === undefined;
    this.#retry.textContent = retry?.label ?? "";
    this.#retry.onclick = () => {
      this.hide();
      retry?.act();
    };
    this.#box.dataset["code"] = code;
    this.#box.hidden = false;
  }

  hide(): void {
    this.#box.hidden = true;
  }
}

function sentence(message: string): string {
  const text = message.trim();
  const ended = /[.!?…]$/.test(text) ? text : `${text}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}
