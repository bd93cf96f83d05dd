/** The messages of the conversation on the page, rendered once per frame at most. */

import { AnswerView } from "./answer.ts";
import type { Conversation, Message } from "./conversations.ts";
import { find, make } from "./dom.ts";
import { rate, seconds } from "./words.ts";

const NEAR_END_PX = 80;

interface Shown {
  readonly message: Message;
  readonly item: HTMLLIElement;
  readonly answer: AnswerView | undefined;
  state: Message["state"] | undefined;
}

export interface TranscriptActions {
  readonly nameOf: (model: string | undefined) => string;
  readonly regenerate: () => void;
}

export class Transcript {
  readonly #list = find<HTMLOListElement>("[data-messages]");
  readonly #scroller = find("[data-scroller]");
  readonly #toEnd = find<HTMLButtonElement>("[data-to-end]");
  readonly #actions: TranscriptActions;
  #shown: Shown[] = [];
  #frame = 0;
  #restUntil = 0;
  #follows = true;

  constructor(actions: TranscriptActions) {
    this.#actions = actions;
    this.#scroller.addEventListener("scroll", () => this.#noteScroll(), { passive: true });
    this.#toEnd.addEventListener("click", () => this.toEnd());
    this.#list.addEventListener("click", (event) => void copyCode(event.target as Element));
    new ResizeObserver(() => this.#stay()).observe(this.#scroller);
  }

  /** Shows `conversation` from its first message, at its end. */
  show(conversation: Conversation): void {
    this.#list.replaceChildren();
    this.#shown = [];
    this.#follows = true;
    this.update(conversation);
  }

  /** Brings the page to what `conversation` says: messages added, grown, finished or removed. */
  update(conversation: Conversation): void {
    const { messages } = conversation;
    const same = this.#shown.findIndex(({ message }, i) => messages[i]?.id !== message.id);
    if (same >= 0) for (const { item } of this.#shown.splice(same)) item.remove();
    for (const message of messages.slice(this.#shown.length)) this.#append(message);
    this.#schedule();
  }

  toEnd(): void {
    this.#follows = true;
    this.#stay();
  }

  #append(message: Message): void {
    const own = message.role === "user";
    const speaker = own ? "You" : this.#actions.nameOf(message.model);
    const item = make("li", { class: `message message-${message.role}` });
    item.append(make("span", { class: "sr" }, `${speaker}: `));
    if (own) item.append(message.text);
    const answer = own ? undefined : new AnswerView(make("div", { class: "answer" }));
    if (answer) item.append(thoughts(), answer.element, make("div", { class: "message-foot" }));
    this.#list.append(item);
    this.#shown.push({ message, item, answer, state: undefined });
  }

  #schedule(): void {
    if (this.#frame === 0) this.#frame = requestAnimationFrame((now) => this.#render(now));
  }

  /** One frame's worth. After a costly frame it rests, so that the page stays three quarters free. */
  #render(now: number): void {
    this.#frame = 0;
    if (now < this.#restUntil) return this.#schedule();
    const started = performance.now();
    let complete = true;
    for (const shown of this.#shown) {
      const whole = renderMessage(shown);
      if (whole) this.#finish(shown);
      complete = whole && complete;
      if (performance.now() - started > 12) {
        complete = complete && shown === this.#shown.at(-1);
        break;
      }
    }
    this.#stay();
    this.#restUntil = performance.now() + 3 * (performance.now() - started) - 12;
    if (!complete) this.#schedule();
  }

  /** The foot belongs to the state: buttons and numbers once the answer has ended. */
  #finish(shown: Shown): void {
    const { message, item } = shown;
    const last = shown === this.#shown.at(-1);
    const key = message.state;
    if (!shown.answer || (shown.state === key && item.dataset["last"] === String(last))) return;
    shown.state = key;
    item.dataset["last"] = String(last);
    const foot = find(".message-foot", item);
    foot.replaceChildren();
    if (message.state === "writing") return;
    if (message.text) foot.append(copyButton(message));
    if (last) foot.append(button("Regenerate", "data-regenerate", this.#actions.regenerate));
    if (message.state === "stopped") foot.append(note("Stopped"));
    if (message.state === "failed") foot.append(note("Broken off by an error"));
    foot.append(make("span", { class: "message-numbers" }, numbers(message)));
  }

  #noteScroll(): void {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    this.#toEnd.hidden = this.#follows;
  }

  #stay(): void {
    if (this.#follows) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    else this.#noteScroll();
  }
}

/** False when more is to be rendered. */
function renderMessage({ message, answer, item }: Shown): boolean {
  if (!answer) return true;
  if (message.thinking) showThoughts(item, message.thinking, message.text === "");
  const waiting = answer.element.querySelector(".waiting");
  if (message.text) waiting?.remove();
  else if (message.state !== "writing") waiting?.remove();
  else if (!waiting) answer.element.append(dots());
  answer.grow(message.text);
  return answer.render();
}

/** Where a model's reasoning is shown: folded, and only once there is some. */
function thoughts(): HTMLDetailsElement {
  const text = make("p", { class: "thoughts-text" });
  return make("details", { class: "thoughts", hidden: true }, make("summary", {}), text);
}

function showThoughts(item: HTMLElement, thinking: string, goesOn: boolean): void {
  const details = find<HTMLDetailsElement>(".thoughts", item);
  details.hidden = false;
  find("summary", details).textContent = goesOn ? "Thinking" : "Thoughts before the answer";
  const text = find(".thoughts-text", details);
  const shown = text.textContent;
  if (thinking.startsWith(shown)) text.append(thinking.slice(shown.length));
  else text.textContent = thinking;
}

function dots(): HTMLElement {
  return make("span", { class: "waiting" }, make("i"), make("i"), make("i"), make("span", { class: "sr" }, "Thinking"));
}

function button(label: string, mark: string, act: () => void): HTMLButtonElement {
  const made = make("button", { type: "button", class: "small-button", [mark]: true }, label);
  made.addEventListener("click", act);
  return made;
}

function note(words: string): HTMLElement {
  return make("span", { class: "message-note" }, words);
}

function copyButton(message: Message): HTMLButtonElement {
  const made = button("Copy", "data-copy", () => void copy(message.text, made));
  made.append(make("span", { class: "sr" }, " answer"));
  return made;
}

function numbers({ first_token_ms, tokens_per_second }: Message): string {
  const first = first_token_ms === undefined ? [] : [`${seconds(first_token_ms)} to the first word`];
  const speed = tokens_per_second === undefined ? [] : [`${rate(tokens_per_second)} tokens/s`];
  return [...first, ...speed].join(" · ");
}

async function copyCode(target: Element): Promise<void> {
  const pressed = target.closest<HTMLButtonElement>("[data-copy-code]");
  const code = pressed?.closest(".code")?.querySelector("code")?.textContent;
  if (pressed && code !== null && code !== undefined) await copy(code, pressed);
}

async function copy(text: string, pressed: HTMLButtonElement): Promise<void> {
  const label = pressed.firstChild as Text;
  try {
    await navigator.clipboard.writeText(text);
    label.data = "Copied";
  } catch {
    label.data = "The browser refused";
  }
  setTimeout(() => (label.data = "Copy"), 1600);
}
