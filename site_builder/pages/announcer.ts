/** Speaks to screen readers through one polite live region, in whole sentences and not too often. */

const PAUSE_MS = 2500;
/** More than this is not spoken in one go: whoever wants all of it reads the message. */
const LONGEST = 600;

export class Announcer {
  readonly #region: HTMLElement;
  #waiting = "";
  #spoken = 0;
  /** No sentence ends before here that was not spoken. */
  #searched = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(region: HTMLElement) {
    this.#region = region;
  }

  /** Says `words` as soon as the pause since the last ones is over. */
  say(words: string): void {
    this.#waiting = `${this.#waiting} ${words}`.trim().slice(-LONGEST);
    if (this.#timer === undefined) this.#next();
  }

  /** A new answer begins. */
  begin(): void {
    this.#spoken = 0;
    this.#searched = 0;
  }

  /** The answer is `text` so far: says the sentences that are complete and were not said. */
  follow(text: string): void {
    const recent = text.slice(this.#searched);
    const ends = [". ", "! ", "? ", "\n"].map((end) => recent.lastIndexOf(end));
    const complete = this.#searched + Math.max(...ends) + 1;
    this.#searched = text.length - 1;
    if (Math.max(...ends) >= 0 && complete > this.#spoken) this.#speakTo(text, complete);
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
