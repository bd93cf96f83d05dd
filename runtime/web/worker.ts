/** The engine's worker: boots Python, opens a device and fetches at once, then serves requests. */

import type { ErrorRecord } from "./errors.ts";
import { ModelpressError } from "./errors.ts";
import { Executor } from "./executor.ts";
import { ProcessorExecutor } from "./processor_executor.ts";
import type { EngineInfo } from "./facts.ts";
import type { OnPlan } from "./host.ts";
import { errorText, HostExecutor, HostStorage, hostTokenizer } from "./host.ts";
import { hostGrammars } from "./host_grammar.ts";
import type { FromWorker, Method, OpenOptions, ToWorker } from "./messages.ts";
import type { Python } from "./python.ts";
import { heapNbytes, startPython } from "./python.ts";
import { Storage } from "./storage.ts";
import type { Devices } from "./warm_up.ts";
import { precompile, warmUp } from "./warm_up.ts";

/** runtime/browser/bridge.py, as far as it is called from here. */
interface Bridge {
  start(id: number, method: string, argument: string): void;
  cancel(id: number): void;
}

/** How Python answers: `kind` is a message's type, `text` its JSON. */
type Post = (kind: "chunk" | "result" | "error", id: number, text: string) => void;

type Report = (id: number, ...progress: [string, number, number, string]) => void;

interface Session {
  readonly storage: Storage;
  readonly bridge: Bridge;
  readonly python: Python;
}

let opening: Promise<Session> | undefined;
/** Requests that are answered with the engine's facts, to which this side adds its own. */
const asksForFacts = new Set<number>();

function send(message: FromWorker): void {
  self.postMessage(message);
}

async function open(options: OpenOptions): Promise<Session> {
  // Never released: the browser does that when this worker ends, and so the page knows.
  void navigator.locks.request(options.lock, () => new Promise(() => undefined));
  const booting = startPython();
  booting.catch(() => undefined);
  const warn = (error: ModelpressError): void => send({ type: "warning", error: error.toRecord() });
  const storage = await Storage.open(options.registryUrl, warn);
  const graphics = new Executor();
  const devices = { graphics, processor: new ProcessorExecutor(storage, options.threads) };
  await openFirst(devices);
  void warmUp(storage, devices, options);
  const python = await booting;
  const bridge = makeBridge(python, options, storage, devices);
  return { storage, bridge, python };
}

/** Opens the graphics device; where there is none, the processor must do. */
async function openFirst({ graphics, processor }: Devices): Promise<void> {
  try {
    await graphics.device();
  } catch (error) {
    const ours = ModelpressError.from(error);
    if (ours.code !== "no_webgpu") throw ours;
    await processor.device().catch((other: unknown) => {
      const { message } = ModelpressError.from(other);
      throw new ModelpressError("no_webgpu", `${ours.message}. ${message}`);
    });
  }
}

function makeBridge(
  python: Python, options: OpenOptions, storage: Storage, devices: Devices,
): Bridge {
  const onPlan: OnPlan = (text, sha256) => {
    // `prepare` asks for the same pipelines, and reports what goes wrong.
    precompile(storage, devices, options.engine, text, sha256).catch(() => undefined);
  };
  const module = python.interpreter.pyimport("runtime.browser.bridge") as {
    make_bridge(...parts: readonly unknown[]): Bridge;
  };
  return module.make_bridge(
    new HostExecutor(devices.graphics, storage),
    new HostExecutor(devices.processor, storage),
    new HostStorage(storage, onPlan),
    hostTokenizer,
    hostGrammars,
    errorText,
    post,
    report,
    JSON.stringify(options.engine),
  );
}

const report: Report = (id, stage, done, total, unit) => {
  send({ type: "progress", id, progress: { stage, done, total, unit } });
};

const post: Post = (kind, id, text) => {
  switch (kind) {
    case "chunk":
      return send({ type: "chunk", id, text });
    case "error":
      asksForFacts.delete(id);
      return send({ type: "error", id, error: JSON.parse(text) as ErrorRecord });
    case "result":
      return sendResult(id, JSON.parse(text));
    default:
      return kind satisfies never;
  }
};

function sendResult(id: number, value: unknown): void {
  if (!asksForFacts.delete(id)) return send({ type: "result", id, value });
  void opening?.then((session) => {
    send({ type: "result", id, value: { ...(value as object), ...ownFacts(session) } });
  });
}

function ownFacts({ storage, python }: Session): Pick<EngineInfo, "cache" | "python"> {
  const facts = { start: python.start, heap_nbytes: heapNbytes(python) };
  return { cache: { keeps: storage.keeps }, python: facts };
}

async function call(id: number, method: Method, argument: string): Promise<void> {
  if (!opening) throw new ModelpressError("internal", "the engine was not opened");
  const { storage, bridge } = await opening;
  switch (method) {
    case "cache_list":
      return send({ type: "result", id, value: await storage.list() });
    case "cache_remove":
      await storage.remove(argument);
      return send({ type: "result", id, value: null });
    case "cache_check":
      storage.checkKept();
      return send({ type: "result", id, value: null });
    case "load":
    case "info":
      asksForFacts.add(id);
      return bridge.start(id, method, argument);
    case "models":
    case "unload":
    case "chat":
    case "chat_stream":
    case "completion":
    case "completion_stream":
    case "embeddings":
    case "http":
    case "bench":
    case "close":
      return bridge.start(id, method, argument);
    default:
      return method satisfies never;
  }
}

async function receive(message: ToWorker): Promise<void> {
  switch (message.type) {
    case "open":
      opening = open(message.options);
      await opening;
      return send({ type: "result", id: message.id, value: null });
    case "call":
      return call(message.id, message.method, message.argument);
    case "cancel":
      return (await opening)?.bridge.cancel(message.id);
    default:
      return message satisfies never;
  }
}

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  receive(data).catch((error: unknown) => {
    const record = ModelpressError.from(error).toRecord();
    send({ type: "error", id: data.id, error: record });
  });
});
send({ type: "alive" });
