/** The one error class of the engine, and how foreign errors become it. */

import type { ErrorCode } from "./formats.ts";

export const NO_WEBGPU =
  "this browser offers no WebGPU here. Use a recent Chrome, Edge, Firefox or Safari over https " +
  "(or localhost), with hardware acceleration switched on";

export type ErrorDetails = { readonly [name: string]: unknown };

/** An error as it crosses between the worker, Python and the page. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** `code` is a promise to users, the message says what to do, `details` are JSON. */
export class ModelpressError extends Error {
  override readonly name = "ModelpressError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message);
    this.code = code;
    this.details = details;
  }

  static fromRecord(record: ErrorRecord): ModelpressError {
    return new ModelpressError(record.code, record.message, record.details);
  }

  /** A foreign error as ours: an abort is "aborted", anything unknown is "internal". */
  static from(error: unknown): ModelpressError {
    if (error instanceof ModelpressError) return error;
    if (isAbort(error)) return aborted();
    const message = error instanceof Error ? error.message : String(error);
    return new ModelpressError("internal", message);
  }

  toRecord(): ErrorRecord {
    return { code: this.code, message: this.message, details: this.details };
  }
}

export function aborted(): ModelpressError {
  return new ModelpressError("aborted", "the request was stopped by its caller");
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Throws "aborted" when `signal` has fired. */
export function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted();
}
