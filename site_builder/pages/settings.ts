/** The settings sheet: system prompt, sampling, and what is kept on this device. */

import { type CachedModel, cachedModels, removeCached } from "./cached.ts";
import { confirmDelete } from "./dialogs.ts";
import { find, make, recall, remember } from "./dom.ts";
import type { ModelFacts } from "./facts.ts";
import { bytes } from "./words.ts";

/** What a request carries; a missing field leaves the model's own value. */
export interface Settings {
  readonly system?: string;
  readonly temperature?: number;
  readonly top_p?: number;
  readonly max_tokens?: number;
  readonly seed?: number;
}

type Field = HTMLInputElement | HTMLTextAreaElement;

const NUMBERS = ["temperature", "top_p", "max_tokens", "seed"] as const;

export interface SettingsActions {
  readonly deleteAll: () => Promise<void>;
  readonly changed: () => void;
}

export class SettingsSheet {
  readonly #dialog = find<HTMLDialogElement>("[data-settings]");
  readonly #problem = find("[data-settings-error]");
  readonly #actions: SettingsActions;

  constructor(actions: SettingsActions) {
    this.#actions = actions;
    this.#fill(JSON.parse(recall("settings") ?? "{}") as Settings);
    find("[data-open-settings]").addEventListener("click", () => this.open());
    this.#dialog.addEventListener("input", () => this.#keep());
    this.#dialog.addEventListener("close", () => actions.changed());
    find("[data-settings-reset]").addEventListener("click", () => {
      this.#fill({});
      this.#keep();
    });
    find("[data-delete-all]").addEventListener("click", () => void this.#deleteAll());
  }

  /** The settings as they stand; fields that make no sense are left out, and said so in the sheet. */
  get values(): Settings {
    const system = this.#field("system").value.trim();
    const numbers = NUMBERS.filter((name) => {
      const field = this.#field(name);
      return field.value.trim() !== "" && field.validity.valid;
    }).map((name) => [name, Number(this.#field(name).value)] as const);
    return { ...(system && { system }), ...Object.fromEntries(numbers) };
  }

  /** Empty fields show what `model` does by itself. */
  showDefaults(model: ModelFacts): void {
    this.#field("system").placeholder = model.system_prompt ?? "none";
    this.#field("temperature").placeholder = String(model.sampling.temperature);
    this.#field("top_p").placeholder = String(model.sampling.top_p);
  }

  open(): void {
    this.#dialog.showModal();
    void this.#showStorage();
  }

  #field(name: keyof Settings): Field {
    return find<Field>(`[data-setting="${name}"]`, this.#dialog);
  }

  #fill(settings: Settings): void {
    for (const name of ["system", ...NUMBERS] as const) {
      const value = settings[name];
      this.#field(name).value = value === undefined ? "" : String(value);
    }
  }

  #keep(): void {
    const wrong = NUMBERS.map((name) => this.#field(name)).filter((field) => !field.validity.valid);
    this.#problem.textContent = wrong
      .map((field) => `${field.labels?.[0]?.textContent?.trim() ?? ""}: ${field.validationMessage}`)
      .join(" ");
    remember("settings", JSON.stringify(this.values));
  }

  async #deleteAll(): Promise<void> {
    const words = "Every conversation in this browser will be gone. This cannot be undone.";
    if (!(await confirmDelete("Delete all conversations?", words))) return;
    await this.#actions.deleteAll();
    this.#dialog.close();
  }

  async #showStorage(): Promise<void> {
    const models = await cachedModels();
    const used = models.reduce((sum, { nbytes }) => sum + nbytes, 0);
    const persisted = await navigator.storage?.persisted?.().catch(() => false);
    const promise = persisted ? "The browser promised not to clear them." : "The browser may clear them when space is short.";
    find("[data-storage]").textContent = models.length === 0
      ? "No model is downloaded yet."
      : `Downloaded models take ${bytes(used)}. ${promise}`;
    find("[data-cached-models]").replaceChildren(...models.map((model) => this.#cachedModel(model)));
  }

  #cachedModel(model: CachedModel): HTMLLIElement {
    const size = model.complete ? bytes(model.nbytes) : `${bytes(model.nbytes)}, not complete`;
    const remove = make("button", { type: "button", class: "link-button danger", "aria-label": `Remove ${model.name}` }, "Remove");
    remove.addEventListener("click", async () => {
      await removeCached(model.model);
      await this.#showStorage();
      find<HTMLButtonElement>("[value=close]", this.#dialog).focus();
    });
    return make("li", { class: "cached-model" }, make("span", {}, `${model.name} (${size})`), remove);
  }
}
