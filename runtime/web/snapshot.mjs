// Makes the memory image of a booted Python with the engine imported, so that pages need not boot.
// Usage: node snapshot.mjs PYODIDE_FOLDER RUNTIME_ZIP OUT
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, archive, out] = process.argv.slice(2);

// An image made with stack switching loads only where it exists; one without loads everywhere.
delete WebAssembly.Suspending;
delete WebAssembly.promising;

const { loadPyodide } = await import(pathToFileURL(`${folder}/pyodide.mjs`).href);
const python = await loadPyodide({ indexURL: folder, _makeSnapshot: true });
python.unpackArchive(new Uint8Array(readFileSync(archive)), "zip", { extractDir: "/modelpress" });
python.runPython(`
import sys
sys.path.insert(0, "/modelpress")
import asyncio, json, random, traceback
import jinja2.sandbox, jinja2.ext, jinja2.nativetypes
import runtime.api, runtime.template_sandbox
# The first compilation imports and builds what every later one needs.
runtime.chat.ChatTemplate.compile("{% for m in messages %}{{ m.content }}{% endfor %}", None)
`);
writeFileSync(out, python.makeMemorySnapshot());
