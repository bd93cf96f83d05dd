/** HTTP for the site's own pages: the service worker hands a request to the page that leads.
 *
 * All pages are asked who leads, and the one that holds the lock of the endpoint says so; when it
 * closes or crashes, the browser gives the lock to the next. Every request ends: it is looked after
 * every 2 seconds, and a page that is gone, or says nothing for 8 seconds, is given up.
 */

import type { ErrorRecord } from "./errors.ts";
import type { Call, ToPage, ToRelay } from "./relay_messages.ts";

const LOOK_MS = 2_000;
const SILENCE_MS = 8_000;
/** For the page that leads to say so, and for one to take over from another that closed. */
const CALL_MS = 1_000;
const LEADER_MS = 4_000;

/** A page, as a service worker sees it. */
export interface Page {
  readonly id: string;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

export interface Pages {
  matchAll(options: {
    readonly type: "window"; readonly includeUncontrolled: boolean;
  }): Promise<readonly Page[]>;
  get(id: string): Promise<Page | undefined>;
}

/** The answer of the leading page to a request under `root`; errors are OpenAI's objects. */
export async function relay(request: Request, root: string, pages: Pages): Promise<Response> {
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  const body = hasBody ? await request.text() : null;
  const found = await findLeader(pages);
  if (!found) return errorResponse(503, noEngine());
  const { port, id } = found;
  const exchange = new Exchange(port, async () => (await pages.get(id)) !== undefined);
  exchange.start(request.method, request.url.slice(root.length), body);
  request.signal.addEventListener("abort", () => exchange.cancel(), { once: true });
  return exchange.response;
}

interface Leader {
  readonly id: string;
  readonly port: MessagePort;
}

async function findLeader(pages: Pages): Promise<Leader | undefined> {
  const deadline = performance.now() + LEADER_MS;
  do {
    const all = await pages.matchAll({ type: "window", includeUncontrolled: true });
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, CALL_MS));
    const found = await Promise.race([late, ...all.map(callPage)]);
    if (found) return found;
  } while (performance.now() < deadline);
  return undefined;
}

/** Resolves when `page` says that it leads, else never. */
function callPage(page: Page): Promise<Leader> {
  const { port1, port2 } = new MessageChannel();
  page.postMessage({ type: "modelpress-call" } satisfies Call, [port2]);
  return new Promise((resolve) => {
    port1.onmessage = () => resolve({ id: page.id, port: port1 });
  });
}

/** One request on its way. */
class Exchange {
  readonly response: Promise<Response>;
  readonly #port: MessagePort;
  readonly #isThere: () => Promise<boolean>;
  readonly #timer: ReturnType<typeof setInterval>;
  #respond: (response: Response) => void = () => undefined;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isEvents = false;
  #isOver = false;
  #heard = performance.now();

  constructor(port: MessagePort, isThere: () => Promise<boolean>) {
    this.#port = port;
    this.#isThere = isThere;
    this.response = new Promise((resolve) => {
      this.#respond = resolve;
    });
    port.onmessage = ({ data }: MessageEvent<ToRelay>) => this.#receive(data);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
  }

  start(method: string, path: string, body: string | null): void {
    this.#send({ type: "request", method, path, body });
  }

  /** Whoever asked has gone. */
  cancel(): void {
    this.#send({ type: "abort" });
    this.#close();
    this.#respond(Response.error());
  }

  #receive(message: ToRelay): void {
    this.#heard = performance.now();
    switch (message.type) {
      case "alive":
        return;
      case "head":
        return this.#begin(message.status, message.headers);
      case "body":
        return this.#stream?.enqueue(message.bytes);
      case "end":
        this.#close();
        return this.#stream?.close();
      case "error":
        return this.#fail(500, message.error);
      default:
        return message satisfies never;
    }
  }

  #begin(status: number, headers: readonly (readonly [string, string])[]): void {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#stream = controller;
      },
      cancel: () => this.cancel(),
    });
    const made = new Headers(headers.map(([name, value]) => [name, value]));
    this.#isEvents = made.get("content-type")?.startsWith("text/event-stream") ?? false;
    this.#respond(new Response(body, { status, headers: made }));
  }

  async #look(): Promise<void> {
    const isThere = await this.#isThere();
    if (this.#isOver) return;
    if (!isThere || performance.now() - this.#heard > SILENCE_MS) this.#fail(504, lostEngine());
    else this.#send({ type: "ping" });
  }

  #fail(status: number, error: ErrorRecord): void {
    this.#close();
    if (!this.#stream) return this.#respond(errorResponse(status, error));
    if (!this.#isEvents) return this.#stream.error(new Error(error.message));
    this.#stream.enqueue(new TextEncoder().encode(`data: ${errorText(error)}\n\n`));
    this.#stream.close();
  }

  #send(message: ToPage): void {
    this.#port.postMessage(message);
  }

  #close(): void {
    this.#isOver = true;
    clearInterval(this.#timer);
    // A message sent just before is delivered still.
    this.#port.close();
  }
}

function errorResponse(status: number, error: ErrorRecord): Response {
  return new Response(errorText(error), {
    status, headers: { "content-type": "application/json" },
  });
}

function errorText({ code, message, details }: ErrorRecord): string {
  return JSON.stringify({ error: { message, type: "server_error", param: null, code, details } });
}

function noEngine(): ErrorRecord {
  const message =
    "no page with the engine is open: open a page of this site, or call `serveEndpoint()` of " +
    "engine/client.js in yours and keep it open";
  return { code: "no_engine", message, details: {} };
}

function lostEngine(): ErrorRecord {
  const message = "the page whose engine answered has closed, crashed or hangs; ask again";
  return { code: "no_engine", message, details: {} };
}
