/** A growing answer on the page. Blocks that are finished are rendered once and left alone; only
 * the last one is rendered again, so a long answer costs as much as its length, and work is done
 * in slices that leave the page free.
 */

import type { MarkedToken, Tokens } from "marked";

import { blocks, codeBlock, renderBlock } from "./markdown.ts";

const SLICE_MS = 8;
/** Items of a list that are rendered in one go. */
const LIST_PIECE = 10;
const LIST_TAIL = 3;

/** A block to render; a list that `continues` adds its items to the list before it. */
interface Piece {
  readonly token: MarkedToken;
  readonly continues: boolean;
}

export class AnswerView {
  readonly element: HTMLElement;
  #text = "";
  /** How much of the text is in finished blocks. */
  #settled = 0;
  #queue: Piece[] = [];
  #last: Piece | undefined;
  /** The settled text ends inside a list. */
  #cut = false;
  #tail: ChildNode[] = [];
  #openCode: Text | undefined;
  /** Line ends of an open block are shown once something follows them. */
  #heldBack = "";

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
    this.#last = last && this.#splitLast(last);
  }

  /** Renders what it can in a slice of time; false when there is more to do. */
  render(): boolean {
    const end = performance.now() + SLICE_MS;
    if (this.#queue.length > 0 || this.#last) this.#dropTail();
    for (let token = this.#queue.shift(); token; token = this.#queue.shift()) {
      this.#append(token);
      if (performance.now() > end) return false;
    }
    if (this.#last) this.#renderTail(this.#last);
    this.#last = undefined;
    return true;
  }

  /** A finished block; a long list goes in pieces, which become one again on the page. */
  #settle(token: MarkedToken): void {
    this.#settled += token.raw.length;
    if (token.type === "space") return;
    const pieces = token.type === "list" ? pieceOf(token) : [token];
    for (const [i, piece] of pieces.entries()) {
      this.#queue.push({ token: piece, continues: i > 0 || this.#isCut(token) });
    }
    this.#cut = false;
  }

  /** Gives the finished items of a long list away, and leaves the list of the few last ones. */
  #splitLast(token: MarkedToken): Piece {
    const continues = this.#isCut(token);
    if (token.type !== "list" || token.items.length < LIST_PIECE) return { token, continues };
    const first = token.items.slice(0, -LIST_TAIL);
    const raw = first.map((item) => item.raw).join("");
    // Only when the items are the text, character by character, can the rest be parsed on its own.
    if (!token.raw.startsWith(raw)) return { token, continues };
    this.#settle({ ...token, items: first, raw });
    this.#cut = true;
    const rest = { ...token, items: token.items.slice(-LIST_TAIL), raw: token.raw.slice(raw.length) };
    return { token: rest, continues: true };
  }

  /** Whether `token` is the rest of a list whose beginning is settled. */
  #isCut(token: MarkedToken): boolean {
    return this.#cut && token.type === "list";
  }

  #append({ token, continues }: Piece): ChildNode[] {
    const fragment = renderBlock(token);
    const before = continues ? this.element.lastElementChild : null;
    const list = before ? fragment.firstElementChild : null;
    // The line end before the first item is there already.
    if (list?.firstChild instanceof Text) list.firstChild.remove();
    const nodes = [...(list ?? fragment).childNodes];
    (before ?? this.element).append(...nodes);
    return nodes;
  }

  #renderTail(piece: Piece): void {
    const { token } = piece;
    if (token.type !== "code" || !isOpen(token)) {
      this.#tail = this.#append(piece);
      return;
    }
    this.#tail = [codeBlock(token.lang ?? "", token.text.replace(/\n+$/, ""))];
    this.element.append(...this.#tail);
    if (token.raw.includes("\n")) this.#follow(token);
  }

  /** From here on, text of the open block is appended to what is shown. */
  #follow(token: Tokens.Code): void {
    const code = this.element.lastElementChild?.querySelector("code") as HTMLElement;
    if (!code.firstChild) code.append("");
    this.#openCode = code.firstChild as Text;
    this.#heldBack = /\n*$/.exec(token.raw.slice(token.raw.indexOf("\n") + 1))?.[0] ?? "";
  }

  /** Text inside an open fence needs no parsing: it is appended, until a line might close it. */
  #growOpenCode(text: string): boolean {
    const added = text.slice(this.#text.length);
    const line = this.#text.slice(this.#text.lastIndexOf("\n") + 1) + added;
    if (/^ {0,3}[`~]/m.test(line)) {
      this.#openCode = undefined;
      return false;
    }
    const shown = this.#heldBack + added;
    this.#heldBack = /\n*$/.exec(shown)?.[0] ?? "";
    this.#openCode?.appendData(shown.slice(0, shown.length - this.#heldBack.length));
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

/** A list as lists of a few items each. */
function pieceOf(list: Tokens.List): Tokens.List[] {
  const pieces: Tokens.List[] = [];
  for (let i = 0; i < list.items.length; i += LIST_PIECE) {
    pieces.push({ ...list, items: list.items.slice(i, i + LIST_PIECE) });
  }
  return pieces;
}
