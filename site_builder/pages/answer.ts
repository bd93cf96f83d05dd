/** A growing answer on the page. Blocks that are finished are rendered once and left alone; only
 * the last one is rendered again, so a long answer costs as much as its length, and work is done
 * in slices that leave the page free.
 */

import type { MarkedToken, Tokens } from "marked";

import { blocks, codeBlock, renderBlock } from "./markdown.ts";

const SLICE_MS = 10;
const LONG_LIST = 24;
const LIST_TAIL = 4;

export class AnswerView {
  readonly element: HTMLElement;
  #text = "";
  /** How much of the text is in finished blocks. */
  #settled = 0;
  #queue: MarkedToken[] = [];
  #last: MarkedToken | undefined;
  #tail: ChildNode[] = [];
  #openCode: Text | undefined;

  constructor(element: HTMLElement) {
    this.element = element;
  }

  /** The text has become `text`, which begins with what it was before. */
  grow(text: string): void {
    if (text === this.#text) return;
    if (this.#openCode && this.#growOpenCode(text)) return;
    this.#text = text;
    const tokens = blocks(text.slice(this.#settled));
    while (tokens.at(-1)?.type === "space") tokens.pop();
    const last = tokens.pop();
    for (const token of tokens) this.#settle(token);
    this.#last = last && splitLongList(last, (token) => this.#settle(token));
  }

  /** Renders what it can in a slice of time; false when there is more to do. */
  render(): boolean {
    const end = performance.now() + SLICE_MS;
    if (this.#queue.length > 0 || this.#last) this.#dropTail();
    for (let token = this.#queue.shift(); token; token = this.#queue.shift()) {
      this.element.append(renderBlock(token));
      if (performance.now() > end) return false;
    }
    if (this.#last) this.#renderTail(this.#last);
    this.#last = undefined;
    return true;
  }

  #settle(token: MarkedToken): void {
    this.#settled += token.raw.length;
    if (token.type !== "space") this.#queue.push(token);
  }

  #renderTail(token: MarkedToken): void {
    const open = token.type === "code" && isOpen(token);
    const fragment = open ? document.createDocumentFragment() : renderBlock(token);
    if (open) fragment.append(codeBlock(token.lang ?? "", token.text));
    this.#tail = [...fragment.childNodes];
    this.element.append(fragment);
    this.#openCode = open ? this.#codeText() : undefined;
  }

  #codeText(): Text {
    const code = this.element.lastElementChild?.querySelector("code") as HTMLElement;
    if (!code.firstChild) code.append("");
    return code.firstChild as Text;
  }

  /** Text inside an open fence needs no parsing: it is appended, until a line might close it. */
  #growOpenCode(text: string): boolean {
    const added = text.slice(this.#text.length);
    const line = this.#text.slice(this.#text.lastIndexOf("\n") + 1) + added;
    if (/[`~]/.test(line)) {
      this.#openCode = undefined;
      return false;
    }
    this.#openCode?.appendData(added);
    this.#text = text;
    return true;
  }

  #dropTail(): void {
    for (const node of this.#tail) node.remove();
    this.#tail = [];
    this.#openCode = undefined;
  }
}

/** A fenced block whose closing line has not come. */
function isOpen(token: Tokens.Code): boolean {
  const fence = /^ {0,3}(`{3,}|~{3,})/.exec(token.raw)?.[1];
  if (fence === undefined) return false;
  const last = token.raw.trimEnd().split("\n").slice(1).at(-1)?.trim() ?? "";
  return !(last.startsWith(fence) && /^[`~]+$/.test(last));
}

/** Gives the finished items of a long list away, and returns the list of the few last ones. */
function splitLongList(token: MarkedToken, settle: (token: MarkedToken) => void): MarkedToken {
  if (token.type !== "list" || token.items.length < LONG_LIST) return token;
  const first = token.items.slice(0, -LIST_TAIL);
  const rest = token.items.slice(-LIST_TAIL);
  const raw = first.map((item) => item.raw).join("");
  // Only when the items are the text, character by character, can the rest be parsed on its own.
  if (!token.raw.startsWith(raw)) return token;
  settle({ ...token, items: first, raw });
  const start = typeof token.start === "number" ? token.start + first.length : token.start;
  return { ...token, items: rest, raw: token.raw.slice(raw.length), start };
}
