/** The engine's HTTP without a network: a `Response` for a request to one of its routes. */

import type { Channel } from "./channel.ts";
import { aborted, ModelpressError } from "./errors.ts";

/** The first chunk of an answer; texts of the body follow. */
interface Head {
  readonly status: number;
  readonly headers: { readonly [name: string]: string };
}

/** Answers a request whose path ends in a route of the API, such as "/v1/chat/completions".
 *
 * As `fetch` does, it resolves with the head of the answer, whatever its status, and rejects only
 * when there is none. Cancelling the body stops the work.
 */
export async function engineFetch(
  channel: Channel, input: RequestInfo | URL, init?: RequestInit,
): Promise<Response> {
  const request = new Request(input, init);
  const body = request.method === "GET" || request.method === "HEAD" ? null : await request.text();
  const argument = JSON.stringify({ method: request.method, path: routeOf(request.url), body });
  const controller = new AbortController();
  const signal = AbortSignal.any([request.signal, controller.signal]);
  return new Promise<Response>((resolve, reject) => {
    let stream: ReadableStreamDefaultController<Uint8Array> | undefined;
    const encoder = new TextEncoder();
    const onChunk = (value: unknown): void => {
      if (typeof value === "string") return stream?.enqueue(encoder.encode(value));
      const { status, headers } = value as Head;
      const source = new ReadableStream<Uint8Array>({
        start: (made) => {
          stream = made;
        },
        cancel: () => {
          // What is on its way still has nowhere to go.
          stream = undefined;
          controller.abort();
        },
      });
      resolve(new Response(source, { status, headers: { ...headers } }));
    };
    channel.call("http", argument, { signal, onChunk }).then(
      () => stream?.close(),
      (error: unknown) => {
        const ours = ModelpressError.from(error);
        stream?.error(ours);
        reject(request.signal.aborted ? new DOMException(aborted().message, "AbortError") : ours);
      },
    );
  });
}

/** The path from the API's own folder on, wherever the site lies: "/v1/models". */
function routeOf(url: string): string {
  const { pathname } = new URL(url);
  const start = pathname.lastIndexOf("/v1/");
  return start < 0 ? pathname : pathname.slice(start);
}
