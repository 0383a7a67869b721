// The files of a model, from the worker's side: out of the cache as far as they are there and right, else from the network, and then into the cache.
//
//     whole in the cache, and still what the server has?  each chunk from there; one that is lost or damaged is fetched again and put back
//     else, once no other tab is at it:                    what is there of it, then the rest from the network, each chunk into the cache before it is used
//     a write that fails:                                  the cache is given up, the load goes on without it

import { joined } from '../shared/bytes.js';
import { Changed, Download, isCurrent } from './download.js';
import { FiresideError, htmlInstead, looksLikeHtml, noLock } from '../shared/errors.js';
import { CHUNK_BYTES, digest, folderOf, openBackend, StoredFile } from '../shared/store.js';

/** @import { CacheReason, RawModule } from '../shared/types.d.ts' */
/** @import { Wanted } from './download.js' */
/** @import { Backend } from '../shared/store.js' */
/** Where files are kept, and the locks by which loads that keep the same one take turns. @typedef {{ open: () => Promise<Backend | undefined>, locks: () => Pick<LockManager, 'request'> | undefined }} Store */

/** A file to be had. `source`: the folder it belongs to, as the cache knows it. @typedef {Wanted & { source: string }} FileWanted */
/** How much of a file is here, for the caller's progress. @typedef {(phase: 'download' | 'cache', bytes: number, total: number | undefined) => void} Report */

/** @type {Store} */
const browsers = { open: openBackend, locks: () => globalThis.navigator?.locks };

/** How often a file that another tab is downloading is looked at. */
const WATCH_MS = 300;
/** How long a load whose files are all here waits for a network that says nothing. */
const PATIENCE_MS = 1000;

export class Files {
  #wasm;
  #store;
  #stallMs;
  /** @type {Promise<Backend | undefined>} */
  #backend;
  /** Why nothing is kept. @type {CacheReason | undefined} */
  reason;
  /** Whether a file came whole out of the cache, and whether one did not. */
  #reused = false;
  #fetched = false;
  /** @type {FileWanted[]} */
  #small = [];
  /** Whether the network was asked about what is here, and said nothing for PATIENCE_MS: this load waits for it no more. */
  #silent = false;

  /** @param {Promise<RawModule>} wasm @param {{ cache: boolean, stallMs: number }} options @param {Store} [store] */
  constructor(wasm, { cache, stallMs }, store = browsers) {
    this.#wasm = wasm;
    this.#store = store;
    this.#stallMs = stallMs;
    this.#backend = cache ? store.open() : Promise.resolve(undefined);
    if (!cache) this.reason = 'off';
    else this.#backend.then((backend) => backend ?? (this.reason = 'unavailable'));
  }

  /** Where the files of this load were or went. @returns {'stored' | 'reused' | 'none'} */
  get cache() {
    return this.reason ? 'none' : this.#reused && !this.#fetched ? 'reused' : 'stored';
  }

  /** Whether anything is kept at all. */
  async keeps() {
    return (await this.#backend) !== undefined && !this.reason;
  }

  /**
   * A small file as a whole. @param {FileWanted} wanted @param {Report} report @returns {Promise<Uint8Array | undefined>} undefined: there is none
   */
  async read(wanted, report) {
    const opened = await this.open(wanted, report);
    if (!opened) return undefined;
    const chunks = [];
    for await (const chunk of opened.chunks) chunks.push(chunk);
    const bytes = joined(chunks);
    if (looksLikeHtml(bytes)) {
      await this.forget(wanted);
      if (wanted.optional) return undefined;
      throw htmlInstead(wanted.file, wanted.url);
    }
    this.#small.push(wanted);
    return bytes;
  }

  /**
   * What a publisher says of its files. A network that cannot be reached changes nothing about a model that is here.
   * @param {FileWanted} wanted @param {boolean} needed whether a list that cannot be had is an error @param {Report} report
   * @returns {Promise<Uint8Array | undefined>} undefined: it cannot be had
   */
  async list(wanted, needed, report) {
    const answer = this.#listed(wanted, needed, report);
    answer.catch(() => {}); // awaited below, or of no use any more
    const isHere = async () => (this.#silent = await this.#isHere(wanted.source));
    if ((await within(answer.then(() => true, () => true), PATIENCE_MS)) === undefined && (await isHere())) return undefined;
    return answer.catch(async (error) => {
      if (error.details?.status === undefined && error.code === 'NETWORK' && (await isHere())) return undefined;
      throw error;
    });
  }

  /** @param {FileWanted} wanted @param {boolean} needed @param {Report} report */
  async #listed(wanted, needed, report) {
    const download = new Download(wanted, { ...this.#net(report), ...(!needed && { retries: 0 }) });
    try {
      if (await download.open()) return await whole(download);
      if (!needed) return undefined;
      throw noLock(wanted.file, wanted.url);
    } catch (/** @type {any} */ error) {
      if (!needed && error.code !== 'BAD_FILE') return undefined;
      throw await this.#explain(error, wanted);
    }
  }

  /** Whether all that is known of a model is here, weights among it. @param {string} source */
  async #isHere(source) {
    const backend = await this.#backend;
    if (!backend || this.reason) return false;
    try {
      const folder = await folderOf(source);
      const { files = [] } = (await backend.folders()).find((each) => each.folder === folder) ?? {};
      const all = await Promise.all(files.map((name) => StoredFile.openIn(backend, folder, name)));
      return all.every(({ whole, absent }) => whole || absent) && files.some((name, index) => name.endsWith('.safetensors') && all[index].whole);
    } catch {
      return false;
    }
  }

  /** Remembers that there is no such file, which its publisher's list says: a later load may be without the list. @param {FileWanted} wanted */
  async absent({ source, file }) {
    const stored = await this.#stored(source, file);
    if (!stored || stored.absent) return;
    await this.#try(stored, () => stored.markAbsent({ source }));
    await stored.close();
  }

  /** The beginning of a file, of at least so many bytes where it has as many. @param {FileWanted} wanted @param {number} bytes @returns {Promise<Uint8Array | undefined>} undefined: there is no such file */
  async head(wanted, bytes) {
    const download = new Download(wanted, this.#net(), {}, bytes);
    return (await download.open()) ? whole(download) : undefined;
  }

  /** Forgets the small files that were read: what is in them is of no use. */
  async forgetSmall() {
    for (const wanted of this.#small) await this.forget(wanted);
  }

  /** Forgets a file. @param {FileWanted} wanted */
  async forget({ source, file }) {
    const stored = await this.#stored(source, file);
    await stored?.remove().catch(() => {});
  }

  /**
   * @param {FileWanted} wanted
   * @param {Report} report
   * @returns {Promise<{ total?: number, chunks: AsyncGenerator<Uint8Array> } | undefined>} undefined: there is no such file
   */
  async open(wanted, report) {
    const { source, file, pin } = wanted;
    let stored = await this.#stored(source, file);
    if (stored && (stored.whole || stored.absent) && !(await this.#holds(stored, wanted))) stored = await this.#emptied(stored);
    if (stored?.absent && wanted.optional) return undefined;
    /** @type {() => void} */
    let release = () => {};
    if (stored && !stored.whole) {
      const turn = await this.#turn(stored, `${source}${file}`, report);
      if (turn) release = turn;
      else stored = undefined; // whoever is writing it stands still
    }
    if (stored?.whole) {
      release();
      this.#reused = true;
      return { total: stored.bytes, chunks: this.#fromStore(stored, wanted, report) };
    }
    // Without a list, its server tells whether the file that was begun is still the same.
    if (pin && stored?.head && stored.head.pin !== pin.id) stored = await this.#emptied(stored);
    for (;;) {
      try {
        const opened = await this.#fromNetwork(stored, wanted, report, release);
        if (!opened) release();
        return opened;
      } catch (error) {
        await stored?.close();
        // The beginning that is here is of an older version, and nobody has used it yet.
        if (error instanceof Changed && stored?.chunks.length) {
          stored = await this.#emptied(stored);
          continue;
        }
        release();
        throw await this.#explain(error, wanted);
      }
    }
  }

  /** A stored file without its content, or none. @param {StoredFile} stored */
  async #emptied(stored) {
    await this.#try(stored, () => stored.remove());
    return this.reason ? undefined : stored;
  }

  /** @param {string} source @param {string} file */
  async #stored(source, file) {
    const backend = await this.#backend;
    // What is on the machine anyway (an extension's own files, a blob:) is not kept twice.
    if (!backend || this.reason || !/^https?:/.test(source)) return undefined;
    return StoredFile.open(backend, source, file).catch(() => this.#lose('lost'));
  }

  /** Whether a stored file is still what its publisher or its server has. @param {StoredFile} stored @param {FileWanted} wanted */
  async #holds(stored, { source, file, url, pin, max = Infinity }) {
    if (stored.bytes > max) return false;
    if (pin) return stored.head?.pin === pin.id;
    if (stored.stale) return false;
    const answer = isCurrent(url, { version: stored.head, size: stored.bytes, absent: stored.absent }, this.#net());
    // Beside files that have come anew, old ones are not taken unasked.
    const current = await within(answer, this.#fetched ? this.#stallMs : this.#silent ? 0 : PATIENCE_MS);
    if (current !== undefined) return current;
    this.#silent = true;
    void answer.then(async (isCurrent) => {
      if (isCurrent) return;
      // Too late for this load: the next one fetches it.
      const late = await this.#stored(source, file);
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
    // Pages from plain http addresses have no digests of the browser's.
    const { subtle } = globalThis.crypto ?? {};
    if (subtle) return digest(bytes);
    const hash = new (await this.#wasm).Sha256();
    hash.update(bytes);
    return hash.digest();
  }

  /**
   * Waits until no other tab or load is writing the file. Resolves with what ends the turn; undefined: who has it stands still.
   * @param {StoredFile} stored
   * @param {string} name
   * @param {Report} report
   */
  async #turn(stored, name, report) {
    const locks = this.#store.locks();
    if (!locks) return () => {};
    const waiting = new AbortController();
    /** @type {(() => void) | undefined} */
    let release;
    const turn = new Promise((resolve) => {
      const hold = () => new Promise((end) => resolve((release = () => end(undefined))));
      locks.request(`fireside-lm ${name}`, { signal: waiting.signal }, hold).catch(() => resolve((release = () => {}))); // no lock to be had: without one
    });
    let [bytes, since] = [stored.bytes, performance.now()];
    for (;;) {
      await Promise.race([turn, new Promise((resolve) => setTimeout(resolve, WATCH_MS))]);
      await stored.refresh().catch(() => {});
      if (release) return release;
      if (stored.bytes !== bytes) {
        [bytes, since] = [stored.bytes, performance.now()];
        report('download', bytes, stored.head?.size);
      } else if (performance.now() - since > this.#stallMs) {
        waiting.abort();
        return undefined;
      }
    }
  }

  /** @param {StoredFile} stored @param {FileWanted} wanted @param {Report} report @returns {AsyncGenerator<Uint8Array>} */
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

  /** The chunks that are there, each as it should be. @param {StoredFile} stored @param {number | undefined} size @param {FileWanted} wanted @returns {AsyncGenerator<Uint8Array>} */
  async *#kept(stored, size, wanted) {
    const { length } = stored.chunks;
    let ahead = length ? stored.chunk(0) : undefined;
    for (let index = 0; index < length; index++) {
      const chunk = await ahead;
      // The next is read and checked while the engine works on this one.
      if (index + 1 < length) ahead = stored.chunk(index + 1);
      yield chunk ?? (await this.#mended(stored, index, size, wanted));
    }
  }

  /** A chunk that the cache has lost, from the network. @param {StoredFile} stored @param {number} index @param {number | undefined} size @param {FileWanted} wanted */
  async #mended(stored, index, size, wanted) {
    this.#fetched = true;
    const { chunks, head } = stored;
    const digests = chunks.slice(0, index).map(({ sha256 }) => sha256);
    const download = new Download(wanted, this.#net(), { digests, version: head, size }, (index + 1) * CHUNK_BYTES);
    for await (const { bytes, sha256 } of download.chunks()) {
      if (sha256 !== chunks[index].sha256) throw new Changed('a chunk that was lost came differently');
      await this.#try(stored, () => stored.mend(index, bytes));
      return bytes;
    }
    throw new Changed('it is shorter than it was');
  }

  /**
   * @param {StoredFile | undefined} stored
   * @param {FileWanted} wanted
   * @param {Report} report
   * @param {() => void} release
   */
  async #fromNetwork(stored, wanted, report, release) {
    this.#fetched = true;
    const there = { digests: stored?.chunks.map(({ sha256 }) => sha256) ?? [], version: stored?.head, size: stored?.head?.size };
    const download = new Download(wanted, this.#net(report), there);
    const head = () => ({ source: wanted.source, pin: wanted.pin?.id, ...download.version, size: download.size });
    // All of it may be there but for the line that says so: only a file's last chunk is a short one.
    const last = stored?.chunks.at(-1);
    const complete = stored && last && (stored.bytes === download.size || (download.size === undefined && last.bytes < CHUNK_BYTES));
    if (!complete && !(await download.open())) {
      if (stored) await this.#try(stored, () => stored.markAbsent(head()));
      await stored?.close();
      return undefined;
    }
    const files = this;
    /** @returns {AsyncGenerator<Uint8Array>} */
    async function* chunks() {
      const expected = wanted.pin?.sha256;
      const hash = expected ? new (await files.#wasm).Sha256() : undefined;
      let bytes = 0;
      /** @param {'download' | 'cache'} phase @param {Uint8Array} chunk */
      const count = (phase, chunk) => {
        hash?.update(chunk);
        bytes += chunk.length;
        report(phase, bytes, download.total);
        return chunk;
      };
      try {
        if (stored) for await (const chunk of files.#kept(stored, download.size, wanted)) yield count('cache', chunk);
        if (stored && !stored.head) await files.#try(stored, () => stored.begin(head()));
        if (!complete) {
          for await (const { bytes: chunk, sha256 } of download.chunks()) {
            if (stored) await files.#try(stored, () => stored.append(chunk, sha256));
            yield count('download', chunk);
          }
        }
        const got = hash?.digest();
        if (got !== expected) {
          throw new FiresideError(
            'INTEGRITY',
            `${wanted.file}: expected the SHA-256 ${expected} that its publisher states, got ${got}. Load again; if it stays so, tell whoever serves it.`,
            { file: wanted.file, url: wanted.url, expected, got, again: true },
          );
        }
        if (stored) await files.#try(stored, () => stored.finish(download.version));
      } catch (error) {
        await stored?.close();
        throw await files.#explain(error, wanted);
      } finally {
        await stored?.close();
        release();
      }
    }
    return { total: download.total, chunks: chunks() };
  }

  /** A file that has changed is forgotten, and the load has to begin anew; one that is too long is forgotten. @param {unknown} error @param {FileWanted} wanted */
  async #explain(error, wanted) {
    if (!(error instanceof Changed) && !(error instanceof FiresideError && ['INTEGRITY', 'BAD_FILE'].includes(error.code))) return error;
    await this.forget(wanted);
    if (error instanceof FiresideError) return error;
    const { file, url, pin } = wanted;
    const what = pin ? 'is not what its publisher states' : 'changed while it was being loaded';
    const remedy = 'Load again; if it stays so, its server is giving out different files.';
    const details = { file, url, ...error.details, again: true };
    return new FiresideError('INTEGRITY', `${file} ${what}: ${error.message} (${url}). ${remedy}`, details);
  }

  /** Does something to the cache. Should it fail, the load goes on without. @param {StoredFile} stored @param {() => Promise<void> | undefined} change */
  async #try(stored, change) {
    if (this.reason) return;
    try {
      await change();
    } catch (error) {
      const full = error instanceof DOMException && error.name === 'QuotaExceededError';
      this.#lose(full ? 'quota' : 'lost');
      // A part that cannot be completed only takes room.
      if (full) await stored.remove().catch(() => {});
      await stored.close();
    }
  }

  /** @param {CacheReason} reason @returns {undefined} */
  #lose(reason) {
    this.reason ??= reason;
    return undefined;
  }
}

/** All that a download brings. @param {Download} download */
async function whole(download) {
  const chunks = [];
  for await (const { bytes } of download.chunks()) chunks.push(bytes);
  return joined(chunks);
}

/** What a promise resolves with in so many milliseconds; undefined: nothing so far. @template T @param {Promise<T>} promise @param {number} ms @returns {Promise<T | undefined>} */
async function within(promise, ms) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ms)));
  const result = await Promise.race([promise, late]);
  clearTimeout(timer);
  return /** @type {T | undefined} */ (result);
}
