/** Bodies of responses as one array, read part by part. */

import type { Slot } from "./memory.ts";

export type Bytes = Uint8Array<ArrayBuffer>;

/** Read at once, at most. */
const PART_NBYTES = 1 << 20;
/** What `streamOf` hands over at once. */
const SLICE_NBYTES = 1 << 18;

type OnPart = (nbytes: number) => void;

export interface BodyOptions {
  /** Bytes expected; a body of another length is read as an empty one, which no digest fits. */
  readonly nbytes?: number | undefined;
  /** Where a body of known length goes. */
  readonly slot?: Slot | undefined;
  /** Bytes that arrived since the last call. */
  readonly onPart?: OnPart | undefined;
}

/** The whole body of `response`. */
export async function readBody(
  { body }: Response, { nbytes, slot, onPart = () => undefined }: BodyOptions = {},
): Promise<Bytes> {
  if (!body) return new Uint8Array(0);
  if (nbytes === undefined) return joined(body, onPart);
  const buffer = slot?.lend() ?? new ArrayBuffer(nbytes);
  const reader = byteReader(body);
  const filled = await (reader
    ? fill(body, reader, buffer, nbytes, onPart)
    : fillByParts(body.getReader(), buffer, nbytes, onPart));
  slot?.giveBack(filled.buffer);
  return new Uint8Array(filled.buffer, 0, filled.length === nbytes ? nbytes : 0);
}

/** A buffer, and how long the body is that begins in it. */
interface Filled {
  readonly buffer: ArrayBuffer;
  readonly length: number;
}

/** Reads into the buffer itself, so that no parts are left as garbage. */
async function fill(
  body: ReadableStream<Bytes>, reader: ReadableStreamBYOBReader, buffer: ArrayBuffer,
  nbytes: number, onPart: OnPart,
): Promise<Filled> {
  let at = 0;
  while (at < nbytes) {
    const view = new Uint8Array(buffer, at, Math.min(PART_NBYTES, nbytes - at));
    const { value, done } = await reader.read(view);
    if (!value) throw new TypeError("the body was cancelled");
    buffer = value.buffer;
    if (done) return { buffer, length: at };
    at += value.byteLength;
    onPart(value.byteLength);
  }
  // Not with this reader: Chromium does not always tell it of the end of a body from its cache.
  reader.releaseLock();
  const rest = body.getReader();
  const { value, done } = await rest.read();
  if (!done) await rest.cancel();
  return { buffer, length: at + (value?.byteLength ?? 0) };
}

/** For a browser whose bodies are streams of parts. */
async function fillByParts(
  reader: ReadableStreamDefaultReader<Bytes>, buffer: ArrayBuffer, nbytes: number, onPart: OnPart,
): Promise<Filled> {
  const whole = new Uint8Array(buffer, 0, nbytes);
  let at = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const { value } = part;
    if (at + value.byteLength <= nbytes) whole.set(value, at);
    at += value.byteLength;
    onPart(value.byteLength);
  }
  return { buffer, length: at };
}

async function joined(body: ReadableStream<Bytes>, onPart: OnPart): Promise<Bytes> {
  // Not `for await`: Safari cannot iterate a stream.
  const reader = body.getReader();
  const parts: Bytes[] = [];
  let length = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    length += part.value.byteLength;
    onPart(part.value.byteLength);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}

function byteReader(body: ReadableStream<Bytes>): ReadableStreamBYOBReader | undefined {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

/** `bytes` as a stream: whoever reads it need not hold a second copy of the whole. */
export function streamOf(bytes: Bytes): ReadableStream<Bytes> {
  let at = 0;
  return new ReadableStream({
    pull(controller): void {
      controller.enqueue(bytes.subarray(at, at + SLICE_NBYTES));
      at += SLICE_NBYTES;
      if (at >= bytes.byteLength) controller.close();
    },
  });
}
