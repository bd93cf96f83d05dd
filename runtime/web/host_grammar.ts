/** What Python sees of grammars: the script of grammar.ts, loaded when it is first needed. */

import { ModelpressError } from "./errors.ts";
import type { Grammars, Matcher, Spelling } from "./grammar.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** How often the library ended itself; it cannot be used again, a fresh copy of it can. */
let failures = 0;

/** Grammars over the vocabulary of `tokenizer`; `spelled` holds ids of special tokens with a text. */
export async function hostGrammars(
  tokenizer: Tokenizer, size: number, spelling: Spelling, stopIds: Iterable<number>,
  spelled: Iterable<number>,
): Promise<HostGrammars> {
  const stops = [...stopIds];
  const silent = new Set([...tokenizer.specialIds(), ...stops]);
  for (const id of spelled) silent.delete(id);
  const pieces = Array.from({ length: size }, (_, id) => {
    return silent.has(id) ? "" : tokenizer.piece(id) ?? "";
  });
  const script = new URL(failures ? `grammar.js?${failures}` : "grammar.js", import.meta.url).href;
  const module = await load(script);
  return new HostGrammars(
    await guarded(() => module.Grammars.open({ pieces, spelling, stopIds: stops })),
  );
}

export class HostGrammars {
  readonly #grammars: Grammars;

  constructor(grammars: Grammars) {
    this.#grammars = grammars;
  }

  async matcher(text: string): Promise<Matcher> {
    return guarded(() => this.#grammars.matcher(text));
  }
}

async function load(script: string): Promise<typeof import("./grammar.ts")> {
  try {
    return (await import(script)) as typeof import("./grammar.ts");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelpressError(
      "network", `the engine's grammar.js did not load (${reason}). Try again`, { reason },
    );
  }
}

async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    failures += 1;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelpressError("internal", `the grammar could not be compiled: ${reason}`);
  }
}
