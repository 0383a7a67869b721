// A run: text under way. `for await` gives its pieces as they come, `await` its whole; both may be used on the same run, in any order.

/** @import { Piece, RunResult } from './types.d.ts' */

/**
 * @implements {AsyncIterable<Piece>}
 * @implements {PromiseLike<RunResult>}
 */
export class Run {
  /** All pieces so far: whoever iterates, early or late, sees each of them. @type {Piece[]} */
  #pieces = [];
  /** @type {Promise<RunResult>} */
  #result;
  #ended = false;
  #observed = false;
  #controller = new AbortController();
  /** Iterators that have caught up. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @internal
   * @param {(onPiece: (piece: Piece) => void, signal: AbortSignal) => Promise<RunResult>} start
   * @param {AbortSignal} [signal]
   */
  constructor(start, signal) {
    const own = this.#controller;
    const forward = () => own.abort(signal?.reason);
    if (signal?.aborted) forward();
    signal?.addEventListener('abort', forward, { once: true });
    const onPiece = (/** @type {Piece} */ piece) => {
      this.#pieces.push(piece);
      this.#wake();
    };
    const end = () => {
      signal?.removeEventListener('abort', forward);
      this.#ended = true;
      this.#wake();
    };
    this.#result = start(onPiece, own.signal).finally(end);
    // A failure that nobody looks at is reported once, as for any promise; one that was asked for (abort, dispose) is not.
    this.#result.catch((error) => {
      if (!this.#observed && !own.signal.aborted && error?.code !== 'DISPOSED') throw error;
    });
  }

  /**
   * @template [T=RunResult], [E=never]
   * @param {((result: RunResult) => T | PromiseLike<T>) | null} [onfulfilled]
   * @param {((error: any) => E | PromiseLike<E>) | null} [onrejected]
   * @returns {Promise<T | E>}
   */
  then(onfulfilled, onrejected) {
    this.#observed = true;
    return this.#result.then(onfulfilled, onrejected);
  }

  /**
   * @template T
   * @param {(error: any) => T} onrejected
   */
  catch(onrejected) {
    return this.then(undefined, onrejected);
  }

  /** @param {() => void} onfinally */
  finally(onfinally) {
    this.#observed = true;
    return this.#result.finally(onfinally);
  }

  /** Leaving the loop early aborts the run. @returns {AsyncIterator<Piece, RunResult | undefined>} */
  [Symbol.asyncIterator]() {
    this.#observed = true;
    let position = 0;
    let left = false;
    /** @returns {Promise<IteratorResult<Piece, RunResult | undefined>>} */
    const next = async () => {
      for (;;) {
        if (left) return { done: true, value: undefined };
        if (position < this.#pieces.length) return { done: false, value: this.#pieces[position++] };
        if (this.#ended) {
          left = true;
          return { done: true, value: await this.#result };
        }
        await new Promise((resolve) => this.#waiting.add(() => resolve(undefined)));
      }
    };
    return {
      next,
      return: async () => {
        left = true;
        if (!this.#ended) this.#controller.abort();
        return { done: true, value: undefined };
      },
    };
  }

  #wake() {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
