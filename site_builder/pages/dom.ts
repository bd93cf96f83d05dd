/** The few things that every page script does with the document. */

/** The element matching `selector`; its absence is a mistake in a template. */
export function find<T extends Element = HTMLElement>(selector: string, within: ParentNode = document): T {
  const found = within.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
}

type Attributes = Readonly<Record<string, string | boolean>>;

/** A new element. `true` sets an empty attribute, `false` sets none; strings become text. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A stroked icon from path data. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(SVG, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

/** The site's root as an absolute address, whatever sub-path it is served under. */
export function siteRoot(): URL {
  return new URL(document.documentElement.dataset["root"] ?? "./", location.href);
}

/** A name that nothing else has; `crypto.randomUUID` is only for secure pages. */
export function uniqueId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A name for browser storage that another site on this origin does not share. */
export function storageName(name: string): string {
  return `modelpress ${siteRoot().pathname} ${name}`;
}

/** What localStorage keeps under `name`, or null where it is forbidden. */
export function recall(name: string): string | null {
  try {
    return localStorage.getItem(storageName(name));
  } catch {
    return null; // storage is switched off: the page works, and forgets
  }
}

/** Keeps `value` under `name`, or forgets it when null; false when the browser keeps nothing. */
export function remember(name: string, value: string | null): boolean {
  try {
    if (value === null) localStorage.removeItem(storageName(name));
    else localStorage.setItem(storageName(name), value);
    return true;
  } catch {
    return false;
  }
}
