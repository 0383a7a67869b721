// `for await` over a stream, in browsers whose ReadableStream has no async iterator: Safari up to 26.
//
// Source: Streams Standard, section 4.2.5, "Asynchronous iteration". Remove this file when every supported
// browser has it.

/**
 * Gives a stream the async iterator of the standard where the browser's streams have none.
 * @template T
 * @param {ReadableStream<T>} stream
 * @returns {ReadableStream<T>} the same stream
 */
export function iterable(stream) {
  if (Reflect.has(stream, Symbol.asyncIterator)) return stream;
  const values = ({ preventCancel = false } = {}) => chunks(stream.getReader(), preventCancel);
  const property = { value: values, writable: true, configurable: true };
  return Object.defineProperties(stream, { values: property, [Symbol.asyncIterator]: property });
}

/**
 * The remaining chunks of a reader. Leaving the loop early cancels the stream, unless `preventCancel`.
 * @template T
 * @param {ReadableStreamDefaultReader<T>} reader
 * @param {boolean} preventCancel
 */
async function* chunks(reader, preventCancel) {
  let isOpen = true;
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        isOpen = false;
        throw error;
      });
      isOpen = !done;
      if (done) return;
      yield value;
    }
  } finally {
    if (isOpen && !preventCancel) await reader.cancel();
    reader.releaseLock();
  }
}
