/** What crosses between the service worker, which takes HTTP requests, and the page whose engine
 * answers them: one message port a request.
 */

import type { ErrorRecord } from "./errors.ts";

/** Comes to every page with a port of its own: does it lead? */
export interface Call {
  readonly type: "modelpress-call";
}

export type ToPage =
  | {
      readonly type: "request";
      readonly method: string;
      /** From the folder of the site on: "v1/models". */
      readonly path: string;
      readonly body: string | null;
    }
  | { readonly type: "ping" }
  | { readonly type: "abort" };

export type ToRelay =
  /** The answer to a call by the page that leads; others say nothing. And the one to a ping. */
  | { readonly type: "alive" }
  | {
      readonly type: "head";
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
    }
  | { readonly type: "body"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: "end" }
  | { readonly type: "error"; readonly error: ErrorRecord };

export function isCall(data: unknown): data is Call {
  return (data as { readonly type?: unknown } | null)?.type === "modelpress-call";
}
