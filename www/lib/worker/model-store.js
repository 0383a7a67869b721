// The stored files of models, from the worker's side. A change that fails gives up storing: the load goes
// on without it.

import { folderOf, isWeights, openBackend, StoredFile } from '../shared/store.js';

/** @import { CacheReason } from '../shared/types.d.ts' */
/** @import { Backend } from '../shared/store.js' */

/**
 * @typedef {(phase: 'download' | 'cache', bytes: number, total: number | undefined) => void} Report says
 *   how much of a file is here
 */

/**
 * Where files are stored, and the locks by which loads that store the same one take turns.
 * @typedef {{ open: () => Promise<Backend | undefined>, locks: () => Pick<LockManager, 'request'> |
 *   undefined }} Store
 */

/** @type {Store} */
const browsers = { open: openBackend, locks: () => globalThis.navigator?.locks };

/** How often a file that another tab is downloading is looked at. */
const WATCH_MS = 300;

export class ModelStore {
  #locks;
  /** @type {Promise<Backend | undefined>} */
  #backend;
  /** Why nothing is stored. @type {CacheReason | undefined} */
  reason;

  /** @param {boolean} wanted whether files are to be stored @param {Store} [store] */
  constructor(wanted, store = browsers) {
    this.#locks = store.locks;
    this.#backend = wanted ? store.open() : Promise.resolve(undefined);
    if (!wanted) this.reason = 'off';
    else this.#backend.then((backend) => backend ?? (this.reason = 'unavailable'));
  }

  /** Whether anything is stored at all. */
  async keeps() {
    return (await this.#backend) !== undefined && !this.reason;
  }

  /**
   * A file of a model, stored or not yet. Undefined: it cannot be stored.
   * @param {string} source
   * @param {string} file
   */
  async file(source, file) {
    const backend = await this.#backend;
    // A file that is on the machine anyway (an extension's own, a blob:) is not stored twice.
    if (!backend || this.reason || !/^https?:/.test(source)) return undefined;
    return StoredFile.open(backend, source, file).catch(() => this.#giveUp('lost'));
  }

  /** Removes a file. @param {string} source @param {string} file */
  async forget(source, file) {
    const stored = await this.file(source, file);
    await stored?.remove().catch(() => {});
  }

  /** The file without its content; undefined: it can no longer be stored. @param {StoredFile} stored */
  async emptied(stored) {
    await this.change(stored, () => stored.remove());
    return this.reason ? undefined : stored;
  }

  /**
   * Changes a stored file. If that fails, nothing is stored from then on.
   * @param {StoredFile} stored
   * @param {() => Promise<void>} change
   */
  async change(stored, change) {
    if (this.reason) return;
    try {
      await change();
    } catch (error) {
      const isFull = error instanceof DOMException && error.name === 'QuotaExceededError';
      this.#giveUp(isFull ? 'quota' : 'lost');
      // A part that cannot be completed only takes room.
      if (isFull) await stored.remove().catch(() => {});
      await stored.close();
    }
  }

  /** The names of the files of a model that are here, also in part. @param {string} source */
  async names(source) {
    const backend = await this.#backend;
    if (!backend || this.reason) return [];
    const folder = await folderOf(source);
    const folders = await backend.folders().catch(() => []);
    return folders.find((each) => each.folder === folder)?.files ?? [];
  }

  /** Whether every known file of a model is here, weights among them. @param {string} source */
  async isWhole(source) {
    const backend = await this.#backend;
    if (!backend || this.reason) return false;
    try {
      const folder = await folderOf(source);
      const files = await this.names(source);
      const all = await Promise.all(files.map((name) => StoredFile.openIn(backend, folder, name)));
      const hasWeights = files.some((name, index) => isWeights(name) && all[index].whole);
      return hasWeights && all.every(({ whole, absent }) => whole || absent);
    } catch {
      return false;
    }
  }

  /**
   * Waits until no other tab or load is writing the file. Resolves with what ends the turn; undefined: the
   * writer stands still.
   * @param {StoredFile} stored
   * @param {string} name
   * @param {number} stallMs
   * @param {Report} report
   */
  async turn(stored, name, stallMs, report) {
    const locks = this.#locks();
    if (!locks) return () => {};
    const waiting = new AbortController();
    /** @type {(() => void) | undefined} */
    let release;
    const turn = new Promise((resolve) => {
      const hold = () => new Promise((end) => resolve((release = () => end(undefined))));
      // If locks do not work, the load goes on without one.
      locks.request(`fireside-lm ${name}`, { signal: waiting.signal }, hold).catch(() => resolve((release = () => {})));
    });
    let [bytes, since] = [stored.bytes, performance.now()];
    for (;;) {
      await Promise.race([turn, new Promise((resolve) => setTimeout(resolve, WATCH_MS))]);
      await stored.refresh().catch(() => {});
      if (release) return release;
      if (stored.bytes !== bytes) {
        [bytes, since] = [stored.bytes, performance.now()];
        report('download', bytes, stored.head?.size);
      } else if (performance.now() - since > stallMs) {
        waiting.abort();
        return undefined;
      }
    }
  }

  /** @param {CacheReason} reason @returns {undefined} */
  #giveUp(reason) {
    this.reason ??= reason;
    return undefined;
  }
}
