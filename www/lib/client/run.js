// A run: a text under way. `for await` gives its pieces as they come, `await` the whole. Both may be used on
// the same run, in any order.

/** @import { Piece, RunResult } from '../shared/types.d.ts' */

/**
 * @implements {AsyncIterable<Piece>}
 * @implements {PromiseLike<RunResult>}
 */
export class Run {
  /** All pieces so far: an iterator sees each of them, whenever it begins. @type {Piece[]} */
  #pieces = [];
  /** @type {Promise<RunResult>} */
  #result;
  #ended = false;
  #observed = false;
  #controller = new AbortController();
  /** Lets the engine post pieces up to a number. @type {((until: number) => void) | undefined} */
  #pace;
  /** Iterators that have caught up. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @internal
   * @param {(onPiece: (piece: Piece) => void, signal: AbortSignal, begun: (pace: (until: number) => void)
   *   => void) => Promise<RunResult>} start `begun` is called with what lets the run give pieces up to a
   *   number; a run that is told no number does not wait
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
    this.#result = start(onPiece, own.signal, (pace) => (this.#pace = pace)).finally(end);
    // A failure that nobody looks at is reported once, as for any promise; one that was asked for (abort,
    // dispose) is not.
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

  /**
   * The pieces for one reader, at the reader's pace: the engine stays `ahead` pieces ahead and then waits,
   * and no piece is kept. Instead of `for await` on the run itself.
   * @internal
   * @param {number} ahead
   * @returns {AsyncGenerator<Piece, void>}
   */
  async *paced(ahead) {
    this.#observed = true;
    try {
      this.#pace?.(ahead);
      for (let taken = 0; ; ) {
        const piece = this.#pieces.shift();
        if (piece) {
          yield piece;
          this.#pace?.(++taken + ahead);
        } else if (this.#ended) break;
        else await new Promise((resolve) => this.#waiting.add(() => resolve(undefined)));
      }
      await this.#result;
    } finally {
      if (!this.#ended) this.#controller.abort();
    }
  }

  #wake() {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
