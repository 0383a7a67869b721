// Assertions that also work in a page.

/**
 * @param {unknown} got
 * @param {unknown} expected
 * @param {string} [what]
 */
export function equal(got, expected, what = 'got') {
  const [a, b] = [got, expected].map((value) => (typeof value === 'object' && value !== null && !(value instanceof Error) ? JSON.stringify(value) : value));
  if (!Object.is(a, b)) throw new Error(`${what}: ${String(a)}, expected ${String(b)}`);
}

/**
 * @param {unknown} value
 * @param {string} what
 */
export function ok(value, what) {
  if (!value) throw new Error(`not so: ${what}`);
}

/**
 * Rejects (or throws at once) with an error of this name, or with this very value. Resolves with it.
 * @param {() => unknown} call
 * @param {unknown} expected
 * @returns {Promise<any>}
 */
export async function rejects(call, expected) {
  let value;
  try {
    value = await call();
  } catch (error) {
    const name = /** @type {any} */ (error)?.name;
    if (typeof expected === 'string' ? name !== expected : error !== expected) throw new Error(`rejected with ${name}: ${/** @type {any} */ (error)?.message}, expected ${expected}`);
    return error;
  }
  throw new Error(`resolved with ${JSON.stringify(value)}, expected ${expected}`);
}

/**
 * @param {() => unknown} call
 * @param {string} name
 */
export function throws(call, name) {
  try {
    call();
  } catch (error) {
    return equal(/** @type {any} */ (error).name, name, 'thrown');
  }
  throw new Error(`nothing was thrown, expected ${name}`);
}

/** @param {ReadableStream<string>} stream */
export async function read(stream) {
  const chunks = [];
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return chunks;
    chunks.push(value);
  }
}
