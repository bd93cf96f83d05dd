/** Python in this worker: Pyodide from the site's own files, with the engine's package on its path. */

import type { PyodideInterface } from "pyodide";

import { ModelpressError } from "./errors.ts";
import { fetchBytes } from "./fetcher.ts";

const HOME = "/modelpress";

/** Python, and whether it started from the image that the site ships or had to boot. */
export interface Python {
  readonly interpreter: PyodideInterface;
  readonly start: "snapshot" | "cold";
}

/** Bytes of the interpreter's memory. */
export function heapNbytes({ interpreter }: Python): number {
  // Pyodide has its memory at hand, and only its types leave it out.
  const { _module } = interpreter as unknown as { _module: { readonly HEAPU8: Uint8Array } };
  return _module.HEAPU8.byteLength;
}

type LoadPyodide = typeof import("pyodide").loadPyodide;
type Options = Parameters<LoadPyodide>[0];

/** Starts Pyodide and unpacks runtime.zip. Nothing is fetched from anywhere else. */
export async function startPython(): Promise<Python> {
  const archive = fetchBytes(address("./runtime.zip"), "runtime.zip", {});
  archive.catch(() => undefined);
  const python = await load();
  python.interpreter.unpackArchive(await archive, "zip", { extractDir: HOME });
  // An image freezes the generator's state, which must differ from visit to visit.
  python.interpreter.runPython(
    `import random, sys\nrandom.seed()\nif "${HOME}" not in sys.path: sys.path.insert(0, "${HOME}")`,
  );
  return python;
}

async function load(): Promise<Python> {
  const base = address("./pyodide/");
  try {
    const { loadPyodide } = (await import(`${base}pyodide.mjs`)) as { loadPyodide: LoadPyodide };
    const options: Options = { indexURL: base, packageBaseUrl: base };
    return await loadImage(loadPyodide, options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ModelpressError(
      "network", `Python could not be started (${reason}). Reload the page`, { reason },
    );
  }
}

/** From the image, which only saves time: a browser that cannot use it boots, with equal results. */
async function loadImage(loadPyodide: LoadPyodide, options: Options): Promise<Python> {
  try {
    const image = fetchImage();
    image.catch(() => undefined);
    const interpreter = await loadPyodide({ ...options, _loadSnapshot: image });
    return { interpreter, start: "snapshot" };
  } catch {
    return { interpreter: await loadPyodide(options), start: "cold" };
  }
}

async function fetchImage(): Promise<ArrayBuffer> {
  const packed = await fetchBytes(address("./snapshot.bin"), "snapshot.bin", {});
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).arrayBuffer();
}

function address(path: string): string {
  return new URL(path, import.meta.url).href;
}
