// The progress of a load.

/** @import { FileNews } from '../shared/protocol.d.ts' */
/** @import { LoadOptions } from '../shared/types.d.ts' */
/** @import { Place } from './source.js' */

/** Counts the bytes of a load for `onProgress`: of each file the most that was here. */
export class Meter {
  /** @type {Map<string, number>} */
  #bytes = new Map();
  #loaded = 0;
  /** Known once a file or an index states it. A wrong one is never overrun. @type {number | undefined} */
  #total;
  #file = '';
  #isSharded = false;
  #report;

  /** @param {LoadOptions['onProgress']} report */
  constructor(report) {
    this.#report = report;
  }

  /**
   * The weights are in several files.
   * @param {number | undefined} bytes of all of them, where they are stated
   */
  sharded(bytes) {
    if (!this.#isSharded && bytes !== undefined) this.#total = this.#loaded + bytes;
    this.#isSharded = true;
  }

  /**
   * The size of a file. Where it has all the weights, the total follows.
   * @param {Place} place
   * @param {number} [bytes]
   */
  size(place, bytes) {
    if (bytes !== undefined && !this.#isSharded && place.weights) this.#total ??= this.#loaded + bytes;
  }

  /** Takes the news of one file. @param {Place} place @returns {(news: FileNews) => void} */
  of(place) {
    return ({ phase, bytes, total }) => {
      this.size(place, total);
      const before = this.#bytes.get(place.file) ?? 0;
      this.#bytes.set(place.file, Math.max(before, bytes));
      this.#file = place.file;
      this.#loaded = Math.min(this.#loaded + Math.max(0, bytes - before), this.#total ?? Infinity);
      this.#report?.({ phase, file: this.#file, loaded: this.#loaded, total: this.#total });
    };
  }

  finish() {
    const loaded = Math.max(this.#loaded, this.#total ?? 0);
    this.#report?.({ phase: 'build', file: this.#file, loaded, total: loaded });
  }
}
