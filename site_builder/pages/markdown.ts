/** Markdown from a model, as DOM that can do nothing: parsed by marked, cleaned by DOMPurify.
 *
 * Three walls: HTML in the text is shown as text; whatever marked makes of the rest is cut down to
 * a short list of elements; the page's security policy forbids the rest. Images are never loaded.
 */

import DOMPurify from "dompurify";
import { Marked, type MarkedToken } from "marked";

import { make } from "./dom.ts";

const TAGS = [
  "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre",
  "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
];
const SAFE_LINK = /^(?:https?:|mailto:)/i;

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    image({ href, text }) {
      return link(href, escape(text || "image"));
    },
    link({ href, tokens }) {
      return link(href, this.parser.parseInline(tokens));
    },
    heading({ depth, tokens }) {
      const level = Math.min(depth + 2, 6);
      return `<h${level}>${this.parser.parseInline(tokens)}</h${level}>`;
    },
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

/** The blocks of `text`, in order, each with its source in `raw`. */
export function blocks(text: string): MarkedToken[] {
  return [...marked.lexer(text)] as MarkedToken[];
}

/** One block as elements. */
export function renderBlock(token: MarkedToken): DocumentFragment {
  if (token.type === "code") {
    const fragment = document.createDocumentFragment();
    fragment.append(codeBlock(token.lang ?? "", token.text));
    return fragment;
  }
  const html = marked.parser([token]);
  const fragment = DOMPurify.sanitize(html, {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["align", "class", "href", "start"],
    ALLOWED_URI_REGEXP: SAFE_LINK,
    // Else these would have to be addresses, too.
    ADD_URI_SAFE_ATTR: ["align", "class", "start"],
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
    RETURN_DOM_FRAGMENT: true,
  });
  finishLinks(fragment);
  finishCode(fragment);
  finishTables(fragment);
  return fragment;
}

/** A block of code with its language and a button that copies it. */
export function codeBlock(language: string, code: string): HTMLElement {
  const name = language.trim().split(/\s/)[0] ?? "";
  const copy = make("button", { type: "button", class: "small-button", "data-copy-code": true }, "Copy");
  copy.append(make("span", { class: "sr" }, " code"));
  return make(
    "div", { class: "code" },
    make("div", { class: "code-head" }, make("span", {}, name || "code"), copy),
    make("pre", { tabindex: "0", role: "region", "aria-label": `Code${name && `, ${name}`}` }, make("code", {}, code)),
  );
}

function finishLinks(fragment: DocumentFragment): void {
  for (const anchor of fragment.querySelectorAll("a")) {
    anchor.target = "_blank";
    anchor.rel = "noopener noreferrer nofollow";
  }
}

function finishCode(fragment: DocumentFragment): void {
  for (const pre of fragment.querySelectorAll("pre")) {
    const language = /language-(\S+)/.exec(pre.firstElementChild?.className ?? "")?.[1] ?? "";
    pre.replaceWith(codeBlock(language, (pre.textContent ?? "").replace(/\n$/, "")));
  }
  for (const element of fragment.querySelectorAll("[class]")) {
    if (!element.closest(".code")) element.removeAttribute("class");
  }
}

function finishTables(fragment: DocumentFragment): void {
  for (const table of fragment.querySelectorAll("table")) {
    const frame = make("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
}

function link(href: string, content: string): string {
  return SAFE_LINK.test(href) ? `<a href="${escape(href)}">${content}</a>` : content;
}

function escape(text: string): string {
  const names: Readonly<Record<string, string>> = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;",
  };
  return text.replace(/[&<>"']/g, (character) => names[character] ?? "");
}
