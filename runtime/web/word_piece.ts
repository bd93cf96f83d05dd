/** BERT's tokenizer, to the letter as the `tokenizers` library computes it.
 *
 * The library of the page differs from that one in characters beyond the first plane, in capitals at
 * the end of a Greek word and in what it takes for punctuation; vectors would differ with it.
 */

import { ACCENTS, CHINESE, GAPS, PUNCTUATION, REMOVED, SPACES } from "./bert_characters.ts";

interface Named {
  readonly type: string;
}

interface Normalizer extends Named {
  readonly clean_text: boolean;
  readonly handle_chinese_chars: boolean;
  readonly strip_accents: boolean | null;
  readonly lowercase: boolean;
}

interface Added {
  readonly id: number;
  readonly content: string;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

type TemplatePart =
  | { readonly SpecialToken: { readonly id: string } }
  | { readonly Sequence: { readonly id: string } };

interface Template extends Named {
  readonly single: readonly TemplatePart[];
  readonly special_tokens: { readonly [id: string]: { readonly ids: readonly number[] } };
}

interface Processing extends Named {
  readonly cls: readonly [string, number];
  readonly sep: readonly [string, number];
}

/** A tokenizer.json, as far as it is read here. */
interface Document {
  readonly normalizer: Normalizer | null;
  readonly pre_tokenizer: Named | null;
  readonly post_processor: Template | Processing | Named | null;
  readonly added_tokens?: readonly Added[];
  readonly model: Named & {
    readonly vocab: { readonly [word: string]: number };
    readonly unk_token: string;
    readonly continuing_subword_prefix: string;
    readonly max_input_chars_per_word: number;
  };
}

export class WordPiece {
  readonly #normalizer: Normalizer;
  readonly #vocab: ReadonlyMap<string, number>;
  readonly #unknown: number;
  readonly #prefix: string;
  readonly #longest: number;
  readonly #added: ReadonlyMap<string, number>;
  readonly #marks: RegExp | undefined;
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  private constructor(document: Document, normalizer: Normalizer, around: Around) {
    const { model, added_tokens: added = [] } = document;
    this.#normalizer = normalizer;
    this.#vocab = new Map(Object.entries(model.vocab));
    const unknown = this.#vocab.get(model.unk_token);
    if (unknown === undefined) throw new Error(`${model.unk_token} is not in the vocabulary`);
    this.#unknown = unknown;
    this.#prefix = model.continuing_subword_prefix;
    this.#longest = model.max_input_chars_per_word;
    this.#added = new Map(added.map(({ content, id }) => [content, id]));
    const contents = [...this.#added.keys()].sort((a, b) => b.length - a.length);
    this.#marks = contents.length ? new RegExp(`(${contents.map(escaped).join("|")})`) : undefined;
    [this.#before, this.#after] = around;
  }

  /** The tokenizer of a parsed tokenizer.json; undefined for one of another kind. */
  static of(document: unknown): WordPiece | undefined {
    const found = document as Document;
    const { normalizer, pre_tokenizer: splitter, model, added_tokens: added = [] } = found;
    if (model?.type !== "WordPiece" || normalizer?.type !== "BertNormalizer") return undefined;
    if (splitter?.type !== "BertPreTokenizer" || !added.every(isPlain)) return undefined;
    const around = aroundOf(found.post_processor);
    return around && new WordPiece(found, normalizer, around);
  }

  /** Ids of `text`; special tokens in it become their single ids, none is added. */
  encode(text: string): number[] {
    const parts = this.#marks ? text.split(this.#marks) : [text];
    return parts.flatMap((part) => {
      const added = this.#added.get(part);
      return added === undefined ? this.#words(part).flatMap((w) => this.#pieces(w)) : [added];
    });
  }

  /** As `encode`, with the special tokens of the post-processor. */
  encodeWhole(text: string): number[] {
    return [...this.#before, ...this.encode(text), ...this.#after];
  }

  #words(text: string): string[] {
    const apart = this.#normalized(text).replace(PUNCTUATION, " $& ");
    return apart.split(GAPS).filter((word) => word !== "");
  }

  #normalized(text: string): string {
    const { clean_text, handle_chinese_chars, lowercase, strip_accents } = this.#normalizer;
    let result = text;
    if (clean_text) result = result.replace(REMOVED, "").replace(SPACES, " ");
    if (handle_chinese_chars) result = result.replace(CHINESE, " $& ");
    if (strip_accents ?? lowercase) result = result.normalize("NFD").replace(ACCENTS, "");
    // One by one: where a character stands in its word must not matter.
    if (lowercase) result = Array.from(result, (character) => character.toLowerCase()).join("");
    return result;
  }

  /** The longest pieces from the left; a word that does not come out even is unknown. */
  #pieces(word: string): number[] {
    const characters = Array.from(word);
    const pieces: number[] = [];
    if (characters.length > this.#longest) return [this.#unknown];
    for (let start = 0; start < characters.length;) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end -= 1) {
        const piece = characters.slice(start, end).join("");
        id = this.#vocab.get(start ? this.#prefix + piece : piece);
        if (id !== undefined) break;
      }
      if (id === undefined) return [this.#unknown];
      pieces.push(id);
      start = end;
    }
    return pieces;
  }
}

type Around = readonly [before: readonly number[], after: readonly number[]];

/** The ids that a post-processor puts before and after a text; undefined when it does more. */
function aroundOf(processor: Document["post_processor"]): Around | undefined {
  if (processor === null) return [[], []];
  if (processor.type === "BertProcessing") {
    const { cls, sep } = processor as Processing;
    return [[cls[1]], [sep[1]]];
  }
  if (processor.type !== "TemplateProcessing") return undefined;
  const { single, special_tokens: tokens } = processor as Template;
  const at = single.findIndex((part) => "Sequence" in part);
  const ids = (parts: readonly TemplatePart[]): number[] =>
    parts.flatMap((part) => ("SpecialToken" in part ? tokens[part.SpecialToken.id]?.ids ?? [] : []));
  return at < 0 ? undefined : [ids(single.slice(0, at)), ids(single.slice(at + 1))];
}

function isPlain({ single_word, lstrip, rstrip, normalized }: Added): boolean {
  return !single_word && !lstrip && !rstrip && !normalized;
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
