/** What the browser tests reach for: the parts of the engine, without Python. */

import { digest } from "../../runtime/web/blob_cache.ts";
import { createEngine, ModelpressError } from "../../runtime/web/client.ts";
import { serveEndpoint } from "../../runtime/web/endpoint.ts";
import { Executor } from "../../runtime/web/executor.ts";
import { ProcessorExecutor } from "../../runtime/web/processor_executor.ts";
import { Storage } from "../../runtime/web/storage.ts";
import { Tokenizer } from "../../runtime/web/tokenizer.ts";

/** The code of the error that `work` ends in, or "no error". */
async function codeOf(work: () => Promise<unknown>): Promise<string> {
  return (await errorOf(work))?.code ?? "no error";
}

async function errorOf(
  work: () => Promise<unknown>,
): Promise<{ code: string; message: string; details: unknown } | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    if (error instanceof ModelpressError) return error.toRecord();
    return { code: `foreign: ${String(error)}`, message: "", details: {} };
  }
}

Object.assign(globalThis, {
  harness: {
    codeOf, createEngine, digest, errorOf, serveEndpoint, Executor, ModelpressError,
    ProcessorExecutor, Storage, Tokenizer,
  },
});
// Tests evaluate in workers, too.
if ("document" in globalThis) document.documentElement.dataset["ready"] = "";
