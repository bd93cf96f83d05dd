/** Python in this worker: Pyodide from the site's own files, with the engine's package on its path. */

import type { PyodideInterface } from "pyodide";

import { ModelpressError } from "./errors.ts";
import { fetchBytes } from "./fetcher.ts";

const HOME = "/modelpress";

/** Boots Pyodide and unpacks runtime.zip. Nothing is fetched from anywhere else. */
export async function bootPython(): Promise<PyodideInterface> {
  const archive = fetchBytes(new URL("./runtime.zip", import.meta.url).href, "runtime.zip", {});
  archive.catch(() => undefined);
  const python = await loadPython();
  python.unpackArchive(await archive, "zip", { extractDir: HOME });
  const sys = python.pyimport("sys") as { path: { insert(at: number, item: string): void } };
  sys.path.insert(0, HOME);
  return python;
}

async function loadPython(): Promise<PyodideInterface> {
  const base = new URL("./pyodide/", import.meta.url).href;
  try {
    const { loadPyodide } = (await import(`${base}pyodide.mjs`)) as typeof import("pyodide");
    return await loadPyodide({ indexURL: base, packageBaseUrl: base });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelpressError(
      "network", `Python could not be started (${reason}). Reload the page`, { reason },
    );
  }
}
