/** The engine as these pages use it: loaded from the site's own `engine/client.js`, never bundled. */

import type { Engine, EngineOptions } from "../../runtime/web/client.ts";
import { siteRoot } from "./dom.ts";

export type { ChatMessage, Engine, EngineOptions, Progress } from "../../runtime/web/client.ts";

type Client = { readonly createEngine: (options?: EngineOptions) => Promise<Engine> };

/** Starts an engine; raises the engine's ModelpressError, or `network` when it cannot be fetched. */
export async function startEngine(options: EngineOptions): Promise<Engine> {
  const address = new URL("engine/client.js", siteRoot()).href;
  let client: Client;
  try {
    client = (await import(address)) as Client;
  } catch (error) {
    throw new Trouble("network", `The engine could not be fetched (${String(error)}).`);
  }
  return client.createEngine(options);
}

/** An error as the pages show it; the engine's have the same two fields. */
export class Trouble extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }

  static from(error: unknown): Trouble {
    if (error instanceof Trouble) return error;
    const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
    if (typeof code === "string" && typeof message === "string") return new Trouble(code, message);
    return new Trouble("internal", typeof message === "string" ? message : String(error));
  }
}
