// Which requests compute, which wait, and which are refused at once. The engine uses all cores for one
// answer, so several at a time would only be slower each.

import { abortError } from '../../shared/errors.js';
import { ApiError, unavailable } from './errors.js';

/** @typedef {{ start: () => void, fail: (error: unknown) => void }} Waiting */

/** What an answer is taken to last before one has been seen; units: seconds. */
const FIRST_GUESS_S = 2;

export class Queue {
  #concurrency;
  #queueMax;
  #running = 0;
  /** First come, first served. @type {Set<Waiting>} */
  #waiting = new Set();
  /** Those that had a turn and go on; they come first. @type {Set<Waiting>} */
  #back = new Set();
  #isClosed = false;
  /** How long an answer lasts, as the last ones did. */
  #seconds = FIRST_GUESS_S;

  /** @param {{ concurrency: number, queueMax: number }} limits */
  constructor({ concurrency, queueMax }) {
    this.#concurrency = concurrency;
    this.#queueMax = queueMax;
  }

  get running() {
    return this.#running;
  }

  get waiting() {
    return this.#waiting.size;
  }

  /**
   * Waits for a turn. Resolves with a function that ends it. Errors: 429 at once if too many wait; 503 once
   * closed; an AbortError.
   * @param {AbortSignal} signal
   * @param {{ isBack?: boolean }} [how] `isBack`: it gave up a turn and continues, so it is not refused
   * @returns {Promise<() => void>}
   */
  async enter(signal, { isBack = false } = {}) {
    if (this.#isClosed && !isBack) throw shuttingDown();
    if (signal.aborted) throw abortError(signal);
    if (this.#running < this.#concurrency) return this.#start();
    if (this.#waiting.size >= this.#queueMax && !isBack) throw this.#full();
    const line = isBack ? this.#back : this.#waiting;
    await new Promise((resolve, reject) => {
      const leave = (/** @type {() => void} */ end) => () => {
        line.delete(waiting);
        signal.removeEventListener('abort', onAbort);
        end();
      };
      const onAbort = leave(() => reject(abortError(signal)));
      const waiting = { start: leave(() => resolve(undefined)), fail: (/** @type {unknown} */ error) => leave(() => reject(error))() };
      signal.addEventListener('abort', onAbort);
      line.add(waiting);
    });
    // The request that ended gave its place to this one; it stays counted.
    return this.#start(true);
  }

  /** Sends away those who wait and those who come. */
  close() {
    this.#isClosed = true;
    for (const { fail } of this.#waiting) fail(shuttingDown());
  }

  #start(isHandedOver = false) {
    if (!isHandedOver) this.#running++;
    const begin = performance.now();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#seconds = (3 * this.#seconds + (performance.now() - begin) / 1000) / 4;
      const [next] = [...this.#back, ...this.#waiting];
      if (next) next.start();
      else this.#running--;
    };
  }

  #full() {
    const seconds = Math.ceil((this.#seconds * (this.#waiting.size + 1)) / this.#concurrency);
    const headers = { 'Retry-After': String(Math.min(Math.max(seconds, 1), 60)) };
    const message = `Too many requests: ${this.#running} are being answered and ${this.#waiting.size} wait, which is the most this server takes. Try again later.`;
    return new ApiError(429, message, { type: 'requests', code: 'rate_limit_exceeded', headers });
  }
}

function shuttingDown() {
  return unavailable('The server is shutting down.', 'shutting_down');
}
