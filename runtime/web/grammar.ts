/** Grammars for Python: the TypeScript half of the `Grammars` protocol of runtime/grammar/matcher.py.
 *
 * A script of its own, loaded when the first structured answer is asked for: the library is larger
 * than all the rest. It puts itself into the global scope.
 */

import "@mlc-ai/web-xgrammar";

import type * as Xgrammar from "@mlc-ai/web-xgrammar";

/** How a vocabulary spells bytes: see runtime/token_text.py. */
export type Spelling = "byte_level" | "byte_fallback" | "raw";

export interface Vocabulary {
  /** By id; "" for tokens that stand for no text. */
  readonly pieces: readonly string[];
  readonly spelling: Spelling;
  readonly stopIds: readonly number[];
}

const library = (globalThis as unknown as { readonly xgrammar: typeof Xgrammar }).xgrammar;

/** Compiled grammars kept for the next request. */
const KEPT = 32;

export class Grammars {
  readonly #compiler: Xgrammar.GrammarCompiler;
  readonly #compiled = new Map<string, Xgrammar.CompiledGrammar>();

  private constructor(compiler: Xgrammar.GrammarCompiler) {
    this.#compiler = compiler;
  }

  static async open({ pieces, spelling, stopIds }: Vocabulary): Promise<Grammars> {
    const info = await library.TokenizerInfo.createTokenizerInfo(
      [...pieces], spelling, false, pieces.length, [...stopIds],
    );
    return new Grammars(await library.GrammarCompiler.createGrammarCompiler(info, false));
  }

  /** A matcher at the start of the grammar with this text. */
  async matcher(text: string): Promise<Matcher> {
    const compiled = this.#compiled.get(text) ?? (await this.#compiler.compileGrammar(text));
    // The last used come last.
    this.#compiled.delete(text);
    this.#compiled.set(text, compiled);
    for (const [oldest, unused] of this.#compiled) {
      if (this.#compiled.size <= KEPT) break;
      this.#compiled.delete(oldest);
      unused.dispose();
    }
    return new Matcher(await library.GrammarMatcher.createGrammarMatcher(compiled));
  }
}

export class Matcher {
  readonly #matcher: Xgrammar.GrammarMatcher;

  constructor(matcher: Xgrammar.GrammarMatcher) {
    this.#matcher = matcher;
  }

  /** The tokens that may come next, as the bytes of u32[ceil(size / 32)]. */
  async mask(): Promise<Uint8Array> {
    return new Uint8Array((await this.#matcher.getNextTokenBitmask()).buffer);
  }

  /** Goes on with `token`; false where it is not allowed. */
  accept(token: number): boolean {
    return this.#matcher.acceptToken(token);
  }

  /** What must come next; U+FFFD where it is cut within a character. */
  forcedText(): string {
    return this.#matcher.findJumpForwardString();
  }

  dispose(): void {
    this.#matcher.dispose();
  }
}
