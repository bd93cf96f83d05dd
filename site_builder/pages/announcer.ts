/** Speaks to screen readers through one polite live region, in whole sentences and not too often. */

const PAUSE_MS = 2500;

export class Announcer {
  readonly #region: HTMLElement;
  #waiting = "";
  #spoken = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(region: HTMLElement) {
    this.#region = region;
  }

  /** Says `words` as soon as the pause since the last ones is over. */
  say(words: string): void {
    this.#waiting = `${this.#waiting} ${words}`.trim();
    if (this.#timer === undefined) this.#next();
  }

  /** A new answer begins. */
  begin(): void {
    this.#spoken = 0;
  }

  /** The answer is `text` so far: says the sentences that are complete and were not said. */
  follow(text: string): void {
    const complete = Math.max(...[". ", "! ", "? ", "\n"].map((end) => text.lastIndexOf(end)));
    if (complete + 1 > this.#spoken) this.#speakTo(text, complete + 1);
  }

  finish(text: string): void {
    this.#speakTo(text, text.length);
  }

  #speakTo(text: string, end: number): void {
    const words = text.slice(this.#spoken, end).replace(/[*_`#>|]+/g, " ").trim();
    this.#spoken = end;
    if (words) this.say(words);
  }

  #next(): void {
    this.#timer = undefined;
    if (!this.#waiting) return;
    this.#region.textContent = this.#waiting;
    this.#waiting = "";
    this.#timer = setTimeout(() => this.#next(), PAUSE_MS);
  }
}
