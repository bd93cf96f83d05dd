/** The list of conversations: open, rename, delete; on a narrow page it slides in. */

import type { Conversation } from "./conversations.ts";
import { find, icon, make } from "./dom.ts";

const PEN = "M4 20h4L19 9l-4-4L4 16v4ZM13.5 6.5l4 4";
const BIN = "M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12M10.5 11v5M13.5 11v5";

export interface ListActions {
  readonly open: (conversation: Conversation) => void;
  readonly rename: (conversation: Conversation) => void;
  readonly remove: (conversation: Conversation) => void;
  readonly startNew: () => void;
}

export class ConversationList {
  readonly #panel = find("#list");
  readonly #items = find("[data-conversations]");
  readonly #opener = find<HTMLButtonElement>("[data-open-list]");
  readonly #veil = find("[data-veil]");
  readonly #actions: ListActions;

  constructor(actions: ListActions) {
    this.#actions = actions;
    find("[data-new]").addEventListener("click", () => actions.startNew());
    this.#opener.addEventListener("click", () => this.#slide(true));
    find("[data-close-list]").addEventListener("click", () => this.close());
    this.#veil.addEventListener("click", () => this.close());
  }

  get isOpen(): boolean {
    return "open" in this.#panel.dataset;
  }

  /** Shows `conversations`; the focus stays on the item it was on. */
  show(conversations: readonly Conversation[], current: string): void {
    const focused = (document.activeElement as HTMLElement | null)?.dataset["key"];
    this.#items.replaceChildren(...conversations.map((item) => this.#item(item, item.id === current)));
    if (focused) this.#items.querySelector<HTMLElement>(`[data-key="${focused}"]`)?.focus();
  }

  /** Slides it away on a narrow page; elsewhere nothing happens. */
  close(): void {
    if (!this.isOpen) return;
    this.#slide(false);
    this.#opener.focus();
  }

  #slide(open: boolean): void {
    if (open) this.#panel.dataset["open"] = "";
    else delete this.#panel.dataset["open"];
    this.#veil.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
    if (open) find<HTMLButtonElement>("[data-new]").focus();
  }

  #item(conversation: Conversation, current: boolean): HTMLLIElement {
    const { id, title } = conversation;
    const open = make("button", { type: "button", class: "list-open", "data-key": `open-${id}`, title }, title);
    if (current) open.setAttribute("aria-current", "true");
    open.addEventListener("click", () => this.#actions.open(conversation));
    const rename = iconButton(PEN, `Rename “${title}”`, `rename-${id}`);
    rename.addEventListener("click", () => this.#actions.rename(conversation));
    const remove = iconButton(BIN, `Delete “${title}”`, `remove-${id}`);
    remove.addEventListener("click", () => this.#actions.remove(conversation));
    return make("li", { "data-current": current }, open, rename, remove);
  }
}

function iconButton(path: string, label: string, key: string): HTMLButtonElement {
  const attributes = { type: "button", class: "icon-button", "aria-label": label, title: label, "data-key": key };
  return make("button", attributes, icon(path));
}
