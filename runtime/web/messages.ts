/** Everything that crosses between the page and its worker: one union each way, on `type`.
 *
 * A request has an id; its answers carry the same id and end with one "result" or "error".
 * Streams are pushed: nothing is ever asked for again.
 */

import type { ErrorRecord } from "./errors.ts";
import type { Progress } from "./formats.ts";

/** What an engine is made with; see `EngineOptions` of the client. */
export interface OpenOptions {
  readonly registryUrl: string;
  /** The model that will be loaded first, so that its files can be fetched at once. */
  readonly model: string | null;
  /** The name of the lock that the worker holds while it lives. */
  readonly lock: string;
  /** Threads of the processor's executor; as many as help by default. */
  readonly threads?: number;
  /** The options of runtime/api.py, as JSON. */
  readonly engine: {
    readonly scheme?: string;
    readonly variant?: string;
    readonly weights?: "real" | "synthetic";
    readonly context?: number;
    readonly depth?: number;
    readonly choices?: { readonly [name: string]: string };
    readonly retune?: boolean;
  };
}

export type Method =
  | "models"
  | "load"
  | "unload"
  | "info"
  | "chat"
  | "chat_stream"
  | "completion"
  | "completion_stream"
  | "embeddings"
  | "http"
  | "bench"
  | "cache_list"
  | "cache_remove"
  | "cache_check"
  | "close";

export type ToWorker =
  | { readonly type: "open"; readonly id: number; readonly options: OpenOptions }
  | {
      readonly type: "call";
      readonly id: number;
      readonly method: Method;
      /** A model's id, or the JSON text of a request, or nothing. */
      readonly argument: string;
    }
  | { readonly type: "cancel"; readonly id: number };

export type FromWorker =
  /** The script runs: everything after this is reported by messages. */
  | { readonly type: "alive" }
  | { readonly type: "progress"; readonly id: number; readonly progress: Progress }
  /** A piece of a stream, as JSON: parsing it is the page's work, not this worker's. */
  | { readonly type: "chunk"; readonly id: number; readonly text: string }
  | { readonly type: "result"; readonly id: number; readonly value: unknown }
  | { readonly type: "error"; readonly id: number; readonly error: ErrorRecord }
  /** A trouble that stops nothing, such as a full disk. */
  | { readonly type: "warning"; readonly error: ErrorRecord };
