/** Tokenizers for Python: the TypeScript half of the `Tokenizer` protocol of runtime/tokenizer.py. */

import { Tokenizer as Tokenizers } from "@huggingface/tokenizers";

import { ModelpressError } from "./errors.ts";
import { WordPiece } from "./word_piece.ts";

export class Tokenizer {
  readonly #tokenizer: Tokenizers;
  /** Encodes, where the model has such a tokenizer. */
  readonly #wordPiece: WordPiece | undefined;

  private constructor(tokenizer: Tokenizers, wordPiece: WordPiece | undefined) {
    this.#tokenizer = tokenizer;
    this.#wordPiece = wordPiece;
  }

  /** From the texts of tokenizer.json and tokenizer_config.json; "bad_format" when they are not. */
  static parse(text: string, config: string | undefined): Tokenizer {
    try {
      const options = JSON.parse(config ?? "{}") as object;
      const document = JSON.parse(text) as object;
      return new Tokenizer(new Tokenizers(document, options), WordPiece.of(document));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new ModelpressError(
        "bad_format", `tokenizer.json cannot be read (${reason}). Build the model again`,
      );
    }
  }

  /** Ids of `text`; special tokens in it become their single ids, none is added. */
  encode(text: string): Int32Array {
    const ids = this.#wordPiece?.encode(text)
      ?? this.#tokenizer.encode(text, { add_special_tokens: false }).ids;
    return Int32Array.from(ids);
  }

  /** Ids of `text` with the special tokens of tokenizer.json's post-processor. */
  encodeWhole(text: string): Int32Array {
    const ids = this.#wordPiece?.encodeWhole(text)
      ?? this.#tokenizer.encode(text, { add_special_tokens: true }).ids;
    return Int32Array.from(ids);
  }

  /** Text of `ids` without special tokens, spaces as they are. */
  decode(ids: Iterable<number>): string {
    const list = [...ids];
    if (list.length === 0) return "";
    const options = { skip_special_tokens: true, clean_up_tokenization_spaces: false };
    return this.#tokenizer.decode(list, options);
  }

  /** How the vocabulary spells an id; nothing for one that it has not. */
  piece(id: number): string | undefined {
    return this.#tokenizer.id_to_token(id);
  }

  /** Ids that stand for no text. */
  specialIds(): Int32Array {
    const special = this.#tokenizer.get_added_tokens_decoder().values();
    return Int32Array.from([...special].filter((one) => one.special).map((one) => one.id));
  }
}
