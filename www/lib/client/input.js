// Reads the files that are in the page's hands: bytes, Blobs, Responses and streams.

import { abortError, badInput, FiresideError } from '../shared/errors.js';

/** @import { Input } from '../shared/types.d.ts' */

/**
 * A file about to be read. `transferable`: its chunks may be given away to the worker.
 * @typedef {{ file: string, size?: number, transferable: boolean, chunks: AsyncIterable<Uint8Array> }}
 *   Opened
 */

/** Bytes that are all there are handed on in slices of this size. */
const SLICE_BYTES = 1 << 20;

/**
 * @param {{ file: string, input: Input }} place
 * @param {AbortSignal} signal
 * @param {number} stallMs how long nothing may come
 * @returns {Opened}
 */
export function openInput({ input, file }, signal, stallMs) {
  if (input instanceof Response) {
    if (input.ok && input.body) return { file, transferable: true, chunks: readStream(input.body, file, signal, stallMs) };
    throw new FiresideError('NETWORK', `${file} could not be read: its Response has status ${input.status}.`, { file, status: input.status });
  }
  if (input instanceof Blob) return { file, size: input.size, transferable: true, chunks: readStream(input.stream(), file, signal, stallMs) };
  if (input instanceof ReadableStream) return { file, transferable: false, chunks: readStream(input, file, signal, stallMs) };
  if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) {
    const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return { file, size: bytes.length, transferable: false, chunks: slices(bytes) };
  }
  throw badInput(`source: ${file}`, 'a Uint8Array, ArrayBuffer, Blob, File, Response, ReadableStream or URL', input);
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {string} file
 * @param {AbortSignal} signal
 * @param {number} stallMs
 */
async function* readStream(stream, file, signal, stallMs) {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel, { once: true });
  let bytes = 0;
  let stalled = false;
  try {
    for (;;) {
      if (signal.aborted) throw abortError(signal);
      const timer = setTimeout(() => (stalled = true) && cancel(), stallMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (signal.aborted) throw abortError(signal);
      if (stalled) throw new Error('nothing came');
      if (done) return;
      if (!(value instanceof Uint8Array)) throw badInput(`source: ${file}`, 'a stream of Uint8Array chunks', value);
      bytes += value.length;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof FiresideError || signal.aborted) throw cause;
    const what = stalled ? `stood still for ${stallMs} ms after` : 'broke off after';
    throw new FiresideError('NETWORK', `${file} ${what} ${bytes} bytes. Check the connection and load again.`, { file, bytes }, { cause });
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** @param {Uint8Array} bytes */
async function* slices(bytes) {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) yield bytes.subarray(start, start + SLICE_BYTES);
}
