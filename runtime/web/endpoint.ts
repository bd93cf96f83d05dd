/** A page's end of the HTTP endpoint: `serveEndpoint` makes the service worker's `/v1` answer.
 *
 * Every page that calls it stands in line for a lock; who holds it leads, and answers for all pages
 * of the site with one engine. When it closes the next in line takes over.
 */

import { ModelpressError } from "./errors.ts";
import type { ToPage, ToRelay } from "./relay_messages.ts";
import { isCall } from "./relay_messages.ts";

const CONTROL_MS = 10_000;

/** What answers: an engine, or anything with the same routes. */
export interface Answers {
  fetch(input: string, init: RequestInit): Promise<Response>;
}

export interface EndpointOptions {
  /** Gives the engine; asked at the first request that this page has to answer, and again when
   * that failed. */
  readonly engine: () => Promise<Answers>;
  /** The site's service worker; the one beside the folder of this script by default. */
  readonly serviceWorker?: string | URL;
}

/** The endpoint as this page sees it, until `close`. */
export class Endpoint {
  /** For OpenAI's clients: ends in "/v1". */
  readonly baseURL: string;
  readonly #root: string;
  readonly #engineOf: () => Promise<Answers>;
  readonly #closing = new AbortController();
  #engine: Promise<Answers> | undefined;
  #leads = false;

  constructor(root: string, engineOf: () => Promise<Answers>) {
    this.#root = root;
    this.#engineOf = engineOf;
    this.baseURL = `${root}v1`;
    const { signal } = this.#closing;
    navigator.serviceWorker.addEventListener("message", (event) => this.#receive(event), { signal });
    // Messages wait for this where nobody has set `onmessage`.
    navigator.serviceWorker.startMessages();
    const lead = async (): Promise<void> => {
      this.#leads = true;
      await new Promise<void>((resolve) => {
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      this.#leads = false;
    };
    navigator.locks.request(`modelpress endpoint ${root}`, { signal }, lead).catch(() => undefined);
  }

  /** Whether this page answers now. */
  get leads(): boolean {
    return this.#leads;
  }

  /** Leaves the line; requests under way are finished. The engine is the caller's to close. */
  close(): void {
    this.#closing.abort();
  }

  #receive({ data, ports }: MessageEvent<unknown>): void {
    const [port] = ports;
    if (!isCall(data) || !port || !this.#leads) return;
    const say = (message: ToRelay): void => port.postMessage(message);
    const controller = new AbortController();
    port.onmessage = ({ data: message }: MessageEvent<ToPage>) => {
      switch (message.type) {
        case "request": {
          const { method, path, body } = message;
          const init = { method, body, signal: controller.signal };
          return void this.#answer(path, init, say);
        }
        case "ping":
          return say({ type: "alive" });
        case "abort":
          return controller.abort();
        default:
          return message satisfies never;
      }
    };
    say({ type: "alive" });
  }

  async #answer(path: string, init: RequestInit, say: (message: ToRelay) => void): Promise<void> {
    try {
      const engine = await this.#ready();
      const response = await engine.fetch(this.#root + path, init);
      say({ type: "head", status: response.status, headers: [...response.headers] });
      if (response.body) await pump(response.body, say);
      say({ type: "end" });
    } catch (error) {
      say({ type: "error", error: ModelpressError.from(error).toRecord() });
    }
  }

  #ready(): Promise<Answers> {
    this.#engine ??= this.#engineOf().catch((error: unknown) => {
      this.#engine = undefined;
      throw error;
    });
    return this.#engine;
  }
}

async function pump(
  body: ReadableStream<Uint8Array<ArrayBuffer>>, say: (message: ToRelay) => void,
): Promise<void> {
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    say({ type: "body", bytes: value });
  }
}

/** Makes `<site>/v1/...` answer requests of every page of this site, as OpenAI's API does.
 *
 * Resolves when the service worker governs this page: from then on `fetch` reaches the endpoint.
 */
export async function serveEndpoint(options: EndpointOptions): Promise<Endpoint> {
  if (!isSecureContext || !("serviceWorker" in navigator)) {
    throw new ModelpressError(
      "unsupported_device",
      "this browser offers no service workers here: use https or localhost, and no private window",
    );
  }
  const address = new URL(options.serviceWorker ?? new URL("../sw.js", import.meta.url), document.baseURI);
  const root = new URL("./", address);
  await navigator.serviceWorker.register(address, { scope: root.pathname });
  if (!document.URL.startsWith(root.href)) throw outsideError(root);
  await controlled();
  return new Endpoint(root.href, options.engine);
}

/** A page that was there before its service worker is claimed by it a moment later. */
async function controlled(): Promise<void> {
  const { serviceWorker } = navigator;
  const late = AbortSignal.timeout(CONTROL_MS);
  while (!serviceWorker.controller) {
    await new Promise<void>((resolve, reject) => {
      serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
      late.addEventListener("abort", () => reject(notControlled()), { once: true });
      if (serviceWorker.controller) resolve();
    });
  }
}

function notControlled(): ModelpressError {
  return new ModelpressError(
    "internal", "the service worker did not take over this page in 10 seconds; reload it",
  );
}

function outsideError(root: URL): ModelpressError {
  return new ModelpressError(
    "bad_request",
    `this page is not under ${root.href}, which is all that the service worker there governs`,
    { param: "serviceWorker" },
  );
}
