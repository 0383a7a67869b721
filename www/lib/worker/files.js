// The files of a model, from the worker's side. Each comes from the stored files where it is there and
// right, else from the network, and is then stored.
//
//     stored whole, and still what the server has?
//         each chunk from there; a lost or damaged one is fetched again and put back
//     else, once no other tab is writing it:
//         what is stored of it, then the rest from the network; each chunk is stored before it is used
//     a change of the stored files fails:
//         nothing is stored from then on, and the load goes on

import { collect } from '../shared/bytes.js';
import { FiresideError, htmlInstead, looksLikeHtml, noLock } from '../shared/errors.js';
import { CHUNK_BYTES, digest } from '../shared/store.js';
import { Beginning } from './beginning.js';
import { Changed, Download } from './download.js';
import { ModelStore } from './model-store.js';
import { isCurrent } from './versions.js';

/** @import { FileWanted } from '../shared/protocol.d.ts' */
/** @import { StoredFile } from '../shared/store.js' */
/** @import { Report, Store } from './model-store.js' */
/** @import { EngineModule } from './types.d.ts' */

/** How long a load whose files are all stored waits for a network that says nothing. */
const PATIENCE_MS = 1000;

export class Files {
  #wasm;
  #stallMs;
  #store;
  /** Whether a file came whole out of the stored files, and whether one did not. */
  #reused = false;
  #fetched = false;
  /** The small files that were read. @type {FileWanted[]} */
  #small = [];
  /**
   * Whether the network said nothing for PATIENCE_MS about a stored file: this load waits for it no more.
   */
  #silent = false;
  #beginning = new Beginning();

  /**
   * @param {Promise<EngineModule>} wasm
   * @param {{ modelCache: boolean, stallMs: number }} options
   * @param {Store} [store] where files are stored, if not where browsers store them
   */
  constructor(wasm, { modelCache, stallMs }, store) {
    this.#wasm = wasm;
    this.#stallMs = stallMs;
    this.#store = new ModelStore(modelCache, store);
  }

  /** Where the files of this load were or went. @returns {'stored' | 'reused' | 'none'} */
  get outcome() {
    return this.reason ? 'none' : this.#reused && !this.#fetched ? 'reused' : 'stored';
  }

  /** Why nothing is stored. */
  get reason() {
    return this.#store.reason;
  }

  /** Whether anything is stored at all. */
  keeps() {
    return this.#store.keeps();
  }

  /**
   * A whole small file, or undefined where there is no such file.
   * @param {FileWanted} wanted
   * @param {Report} report
   */
  async read(wanted, report) {
    const opened = await this.open(wanted, report);
    if (!opened) return undefined;
    const bytes = await collect(opened.chunks);
    if (looksLikeHtml(bytes)) {
      await this.forget(wanted);
      if (wanted.optional) return undefined;
      throw htmlInstead(wanted.file, wanted.url);
    }
    this.#small.push(wanted);
    return bytes;
  }

  /**
   * What a publisher states about its files; undefined: it cannot be had. A network that cannot be reached
   * changes nothing about a model that is stored.
   * @param {FileWanted} wanted
   * @param {boolean} needed whether to lack the list is an error
   * @param {Report} report
   */
  async list(wanted, needed, report) {
    const answer = this.#listed(wanted, needed, report);
    answer.catch(() => {}); // awaited below, or no longer of use
    const isWhole = async () => (this.#silent = await this.#store.isWhole(wanted.source));
    const settled = answer.then(() => true, () => true);
    if ((await within(settled, PATIENCE_MS)) === undefined && (await isWhole())) return undefined;
    return answer.catch(async (error) => {
      if (error.details?.status === undefined && error.code === 'NETWORK' && (await isWhole())) return undefined;
      throw error;
    });
  }

  /** @param {FileWanted} wanted @param {boolean} needed @param {Report} report */
  async #listed(wanted, needed, report) {
    const download = new Download(wanted, { ...this.#net(report), ...(!needed && { retries: 0 }) });
    try {
      if (await download.open()) return await collect(download.bytes());
      if (!needed) return undefined;
      throw noLock(wanted.file, wanted.url);
    } catch (error) {
      if (!needed && !(error instanceof FiresideError && error.code === 'BAD_FILE')) return undefined;
      throw await this.#explain(error, wanted);
    }
  }

  /**
   * Notes that there is no such file, as its publisher's list says: a later load may have to do without the
   * list.
   * @param {FileWanted} wanted
   */
  async markAbsent({ source, file }) {
    const stored = await this.#store.file(source, file);
    if (!stored || stored.absent) return;
    await this.#store.change(stored, () => stored.markAbsent({ source }));
    await stored.close();
  }

  /** The names of the stored files of a model. @param {string} source */
  names(source) {
    return this.#store.names(source);
  }

  /**
   * The first bytes of a file, at least `bytes` where it has as many; undefined: there is no such file.
   * @param {FileWanted} wanted
   * @param {number} bytes
   */
  async head(wanted, bytes) {
    try {
      return await this.#beginning.read(wanted, bytes, this.#net());
    } catch (error) {
      throw await this.#explain(error, wanted);
    }
  }

  /** Removes the stored small files that were read: the engine refuses their content. */
  async forgetSmall() {
    for (const wanted of this.#small) await this.forget(wanted);
  }

  /** Removes a stored file. @param {FileWanted} wanted */
  forget({ source, file }) {
    return this.#store.forget(source, file);
  }

  /**
   * @param {FileWanted} wanted
   * @param {Report} report
   * @returns {Promise<{ chunks: AsyncGenerator<Uint8Array> } | undefined>} undefined: there is no such file
   */
  async open(wanted, report) {
    const { source, file, pin } = wanted;
    let stored = await this.#store.file(source, file);
    if (stored && (stored.whole || stored.absent) && !(await this.#holds(stored, wanted))) stored = await this.#store.emptied(stored);
    if (stored?.absent && wanted.optional) return undefined;
    /** @type {() => void} */
    let release = () => {};
    if (stored && !stored.whole) {
      const turn = await this.#store.turn(stored, `${source}${file}`, this.#stallMs, report);
      if (turn) release = turn;
      else stored = undefined; // the one that is writing it stands still
    }
    if (stored?.whole) {
      release();
      this.#reused = true;
      return { chunks: this.#fromStore(stored, wanted, report) };
    }
    // Without a list, the server tells whether the file that was begun is still the same.
    if (pin && stored?.head && stored.head.pin !== pin.id) stored = await this.#store.emptied(stored);
    return this.#openFetched(stored, wanted, report, release);
  }

  /**
   * Opens a file that is not stored whole.
   * @param {StoredFile | undefined} stored
   * @param {FileWanted} wanted
   * @param {Report} report
   * @param {() => void} release called when the file is no longer written
   */
  async #openFetched(stored, wanted, report, release) {
    for (;;) {
      try {
        const chunks = await this.#fromNetwork(stored, wanted, report, release);
        if (!chunks) release();
        return chunks && { chunks };
      } catch (error) {
        await stored?.close();
        // The stored beginning is of an older version, and nobody has used it yet.
        if (error instanceof Changed && stored?.chunks.length) {
          stored = await this.#store.emptied(stored);
          continue;
        }
        release();
        throw await this.#explain(error, wanted);
      }
    }
  }

  /**
   * Whether a stored file is still what its publisher or its server has.
   * @param {StoredFile} stored
   * @param {FileWanted} wanted
   */
  async #holds(stored, { source, file, url, pin, max = Infinity }) {
    if (stored.bytes > max) return false;
    if (pin) return stored.head?.pin === pin.id;
    if (stored.stale) return false;
    const known = { version: stored.head, size: stored.bytes, absent: stored.absent };
    const answer = isCurrent(url, known, this.#stallMs);
    // Where other files came from the network, a stored one is not used unasked.
    const current = await within(answer, this.#fetched ? this.#stallMs : this.#silent ? 0 : PATIENCE_MS);
    if (current !== undefined) return current;
    this.#silent = true;
    void answer.then(async (isCurrent) => {
      if (isCurrent) return;
      // Too late for this load: the next one fetches the file.
      const late = await this.#store.file(source, file);
      await late?.expire().catch(() => {});
      await late?.close();
    });
    return true;
  }

  /** @param {Report} [report] */
  #net(report) {
    const progress = (/** @type {number} */ bytes, /** @type {number | undefined} */ total) => report?.('download', bytes, total);
    return { stallMs: this.#stallMs, digest: (/** @type {Uint8Array} */ bytes) => this.#digest(bytes), progress };
  }

  /** @param {Uint8Array} bytes */
  async #digest(bytes) {
    // Browsers give no digests to pages from plain http addresses.
    if (globalThis.crypto?.subtle) return digest(bytes);
    const hash = new (await this.#wasm).Sha256();
    hash.update(bytes);
    return hash.digest();
  }

  /**
   * @param {StoredFile} stored
   * @param {FileWanted} wanted
   * @param {Report} report
   * @returns {AsyncGenerator<Uint8Array>}
   */
  async *#fromStore(stored, wanted, report) {
    const total = stored.bytes;
    let bytes = 0;
    try {
      for await (const chunk of this.#kept(stored, total, wanted)) {
        bytes += chunk.length;
        report('cache', bytes, total);
        yield chunk;
      }
    } catch (error) {
      await stored.close();
      throw await this.#explain(error, wanted);
    } finally {
      await stored.close();
    }
  }

  /**
   * The stored chunks, each as it should be.
   * @param {StoredFile} stored
   * @param {number | undefined} size
   * @param {FileWanted} wanted
   * @returns {AsyncGenerator<Uint8Array>}
   */
  async *#kept(stored, size, wanted) {
    const { length } = stored.chunks;
    let ahead = length ? stored.chunk(0) : undefined;
    for (let index = 0; index < length; index++) {
      const chunk = await ahead;
      // The next one is read and checked while the engine works on this one.
      if (index + 1 < length) ahead = stored.chunk(index + 1);
      yield chunk ?? (await this.#mended(stored, index, size, wanted));
    }
  }

  /**
   * A lost chunk, from the network.
   * @param {StoredFile} stored
   * @param {number} index
   * @param {number | undefined} size
   * @param {FileWanted} wanted
   */
  async #mended(stored, index, size, wanted) {
    this.#fetched = true;
    const { chunks, head } = stored;
    const digests = chunks.slice(0, index).map(({ sha256 }) => sha256);
    const download = new Download(wanted, this.#net(), { digests, version: head, size }, (index + 1) * CHUNK_BYTES);
    for await (const { bytes, sha256 } of download.chunks()) {
      if (sha256 !== chunks[index].sha256) throw new Changed('a chunk that was lost came differently');
      await this.#store.change(stored, () => stored.mend(index, bytes));
      return bytes;
    }
    throw new Changed('it is shorter than it was');
  }

  /**
   * @param {StoredFile | undefined} stored
   * @param {FileWanted} wanted
   * @param {Report} report
   * @param {() => void} release
   * @returns {Promise<AsyncGenerator<Uint8Array> | undefined>} undefined: there is no such file
   */
  async #fromNetwork(stored, wanted, report, release) {
    this.#fetched = true;
    const digests = stored?.chunks.map(({ sha256 }) => sha256) ?? [];
    const download = new Download(wanted, this.#net(report), { digests, version: stored?.head, size: stored?.head?.size });
    // All of it may be stored but for the line that says so: only the last chunk of a file is a short one.
    const last = stored?.chunks.at(-1);
    const isWhole = last && (stored?.bytes === download.size || (download.size === undefined && last.bytes < CHUNK_BYTES));
    if (isWhole || (await download.open())) return this.#fetchedChunks(stored, download, { isWhole: Boolean(isWhole), wanted, report, release });
    if (stored) await this.#store.change(stored, () => stored.markAbsent(headOf(wanted, download)));
    await stored?.close();
    return undefined;
  }

  /**
   * The stored chunks of a file and the rest from the network, which is stored as it comes.
   * @param {StoredFile | undefined} stored
   * @param {Download} download
   * @param {{ isWhole: boolean, wanted: FileWanted, report: Report, release: () => void }} how `isWhole`:
   *   nothing is missing
   * @returns {AsyncGenerator<Uint8Array>}
   */
  async *#fetchedChunks(stored, download, { isWhole, wanted, report, release }) {
    const sha256 = wanted.pin?.sha256;
    const hash = sha256 ? new (await this.#wasm).Sha256() : undefined;
    let bytes = 0;
    /** @param {'download' | 'cache'} phase @param {Uint8Array} chunk */
    const count = (phase, chunk) => {
      hash?.update(chunk);
      bytes += chunk.length;
      report(phase, bytes, download.total);
      return chunk;
    };
    try {
      if (stored) for await (const chunk of this.#kept(stored, download.size, wanted)) yield count('cache', chunk);
      if (stored && !stored.head) await this.#store.change(stored, () => stored.begin(headOf(wanted, download)));
      if (!isWhole) {
        for await (const { bytes: chunk, sha256 } of download.chunks()) {
          if (stored) await this.#store.change(stored, () => stored.append(chunk, sha256));
          yield count('download', chunk);
        }
      }
      const got = hash?.digest();
      if (got !== sha256) throw notAsStated(wanted, sha256, got);
      if (stored) await this.#store.change(stored, () => stored.finish(download.version));
    } catch (error) {
      await stored?.close();
      throw await this.#explain(error, wanted);
    } finally {
      await stored?.close();
      release();
    }
  }

  /**
   * A file that has changed, or that is too long, is removed. The load of a changed one has to start over.
   * @param {unknown} error
   * @param {FileWanted} wanted
   */
  async #explain(error, wanted) {
    const isBad = error instanceof FiresideError && ['INTEGRITY', 'BAD_FILE'].includes(error.code);
    if (!(error instanceof Changed) && !isBad) return error;
    await this.forget(wanted);
    if (error instanceof FiresideError) return error;
    const { file, url, pin } = wanted;
    const what = pin ? 'is not what its publisher states' : 'changed while it was being loaded';
    const remedy = 'Load again; if it stays so, its server is giving out different files.';
    const details = { file, url, ...error.details, again: true };
    return new FiresideError('INTEGRITY', `${file} ${what}: ${error.message} (${url}). ${remedy}`, details);
  }
}

/** The first line of a stored file. @param {FileWanted} wanted @param {Download} download */
function headOf({ source, pin }, download) {
  return { source, pin: pin?.id, ...download.version, size: download.size };
}

/** @param {FileWanted} wanted @param {string | undefined} expected @param {string | undefined} got */
function notAsStated({ file, url }, expected, got) {
  const message = `${file}: expected the SHA-256 ${expected} that its publisher states, got ${got}.`;
  const remedy = 'Load again; if it stays so, tell its publisher.';
  return new FiresideError('INTEGRITY', `${message} ${remedy}`, { file, url, expected, got, again: true });
}

/**
 * What a promise resolves with within `ms`; undefined: nothing so far.
 * @template T
 * @param {Promise<T>} promise
 * @param {number} ms
 * @returns {Promise<T | undefined>}
 */
async function within(promise, ms) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  /** @type {Promise<undefined>} */
  const late = new Promise((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
  const result = await Promise.race([promise, late]);
  clearTimeout(timer);
  return result;
}
