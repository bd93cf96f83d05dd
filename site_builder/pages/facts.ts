/** What the page knows of the models: written into it by site_builder/cards.py. */

import { find } from "./dom.ts";

export interface VariantFacts {
  readonly name: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Device memory with a full context, in bytes. */
  readonly memory_nbytes: number;
}

export interface ModelFacts {
  readonly id: string;
  readonly name: string;
  /** What it is asked for: answers, or a vector for each text. */
  readonly task: "chat" | "embedding";
  /** Names of what may be written before a text, for a model of embeddings. */
  readonly prompts: readonly string[];
  readonly description: string;
  readonly context: number;
  readonly licence: string;
  readonly synthetic: boolean;
  readonly system_prompt: string | null;
  readonly suggestions: readonly string[];
  readonly sampling: { readonly temperature: number; readonly top_p: number };
  readonly scheme: string;
  readonly manifest_sha256: string;
  readonly download_nbytes: number;
  /** From most to least demanding. */
  readonly variants: readonly VariantFacts[];
}

export function readFacts(): readonly ModelFacts[] {
  return JSON.parse(find("#models").textContent ?? "[]") as ModelFacts[];
}
