// Waiting with an end.

/**
 * Resolves or rejects as `promise` does, or resolves with `late` after so long.
 * @template T, L
 * @param {Promise<T>} promise
 * @param {number} ms
 * @param {L} late
 * @returns {Promise<T | L>}
 */
export function within(promise, ms, late) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const timeout = new Promise((/** @type {(late: L) => void} */ resolve) => (timer = setTimeout(resolve, ms, late)));
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

/**
 * Asks again and again, for so long at most. Resolves with whether it is so.
 * @param {() => unknown} isSo
 * @param {number} ms
 */
export async function until(isSo, ms) {
  const end = performance.now() + ms;
  while (!isSo()) {
    if (performance.now() >= end) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}
