// Downloads one file through cuts, stalls and busy servers. It yields the file chunk by chunk, or fails
// with an error that says why.
//
//     ask for what is missing, from the beginning of a chunk on
//     206: the answer goes on from there
//     200: the answer begins at the start, and chunks that are here already must be the same
//     cut, stalled, 408, 429, 5xx: ask again, after a pause that doubles; give up after five attempts
//     without a further chunk

import { FiresideError, htmlInstead, isHtml, tooLong } from '../shared/errors.js';
import { CHUNK_BYTES } from '../shared/store.js';
import { AS_IT_IS, isOther, isOwn, versionOf } from './versions.js';

/** @import { FileWanted } from '../shared/protocol.d.ts' */
/** @import { Version } from './versions.js' */

/** A file to download. @typedef {Omit<FileWanted, 'source'>} Wanted */

/**
 * How a download asks. One that is given up ends with its worker.
 * @typedef {{ stallMs: number, digest: (bytes: Uint8Array) => Promise<string>, progress?: (bytes: number,
 *   total: number | undefined) => void, retries?: number }} Net
 */

/**
 * An answer whose body is about to be read. `start`: the byte of the file that it begins with.
 * @typedef {{ start: number, response: Response, stop: AbortController }} Answer
 */

/** Attempts in a row without a further chunk. */
const RETRIES = 5;
/** The same for a server that has never answered. */
const FIRST_RETRIES = 2;
/** The pause before the second attempt. */
const BACKOFF_MS = 500;
/** If a server asks for a longer pause, the download fails and says so. */
const RETRY_AFTER_MAX_MS = 60_000;
/** After so many requests for a part that get no answer, the whole is asked for. */
const RANGE_TRIES = 3;
/** Progress is reported no more often: nobody reads faster. */
const PROGRESS_MS = 50;

/** The file is no longer the one whose beginning is here. */
export class Changed extends Error {
  /** @param {string} what @param {{ expected?: unknown, got?: unknown }} [details] */
  constructor(what, details = {}) {
    super(what);
    this.name = 'Changed';
    this.details = details;
  }
}

/** An attempt failed in a way that another may not. */
class Again extends Error {
  /**
   * @param {FiresideError} error thrown if this was the last attempt
   * @param {{ afterMs?: number, retries?: number }} [how] `afterMs`: what the server asked for
   */
  constructor(error, { afterMs, retries = RETRIES } = {}) {
    super(error.message);
    this.error = error;
    this.afterMs = afterMs;
    this.retries = retries;
  }
}

export class Download {
  #wanted;
  #net;
  /** Of each chunk that is here. @type {string[]} */
  #digests;
  /** Of what is here, and of the last answer. @type {Version} */
  #version;
  /** @type {number | undefined} */
  size;
  /**
   * What the server calls the length of its answer: another, where that is compressed.
   * @type {number | undefined}
   */
  #stated;
  #ranges = true;
  /** Requests for a part in a row that got no answer at all. */
  #unanswered = 0;
  /** Whether answers come from the page's own site, after all redirects. */
  #own;
  /** Whether the server has answered at all. */
  #answered = false;
  /** Where what is wanted ends. */
  #until;
  /** An answer whose body has not been read yet. @type {Answer | undefined} */
  #opened;

  /**
   * @param {Wanted} wanted
   * @param {Net} net
   * @param {{ digests?: string[], version?: Version, size?: number }} [there] what is here already
   * @param {number} [until] bytes of the file that are wanted, all of it unless said; a few more may come
   */
  constructor(wanted, net, { digests = [], version = {}, size } = {}, until = Infinity) {
    this.#wanted = wanted;
    this.#net = net;
    this.#digests = [...digests];
    this.#until = until;
    const { etag, modified } = version;
    this.#version = { ...(etag && { etag }), ...(modified && { modified }) };
    this.size = wanted.pin?.size ?? size;
    this.#own = isOwn(wanted.url);
  }

  /** Bytes of the file for a progress bar: its size, or what the server says. */
  get total() {
    return this.size ?? this.#stated;
  }

  /** What the server calls this version of the file. */
  get version() {
    return this.#version;
  }

  /** Asks for the file. Resolves with whether there is one. */
  async open() {
    for (let failures = 0; ; failures++) {
      try {
        this.#opened = await this.#ask();
        return this.#opened !== undefined;
      } catch (error) {
        await this.#pause(error, failures);
      }
    }
  }

  /**
   * The chunks that were not here. All but the last have CHUNK_BYTES.
   * @returns {AsyncGenerator<{ bytes: Uint8Array, sha256: string }>}
   */
  async *chunks() {
    const digests = this.#digests;
    for (let failures = 0; ; ) {
      const before = digests.length;
      try {
        for await (const { index, bytes } of this.#attempt()) {
          const sha256 = await this.#net.digest(bytes);
          if (index < digests.length) {
            if (digests[index] !== sha256) throw new Changed('a chunk came differently the second time');
            continue;
          }
          digests.push(sha256);
          yield { bytes, sha256 };
        }
        return;
      } catch (error) {
        if (digests.length > before) failures = 0;
        await this.#pause(error, failures++);
      }
    }
  }

  /** The content of these chunks. @returns {AsyncGenerator<Uint8Array>} */
  async *bytes() {
    for await (const { bytes } of this.chunks()) yield bytes;
  }

  /** One answer, cut into chunks. @returns {AsyncGenerator<{ index: number, bytes: Uint8Array }>} */
  async *#attempt() {
    const opened = this.#opened ?? (await this.#ask());
    this.#opened = undefined;
    if (!opened) throw new Changed('the file is gone');
    const { response, stop } = opened;
    let at = opened.start;
    let buffer = new Uint8Array(CHUNK_BYTES);
    let filled = 0;
    let told = performance.now();
    let came = at;
    for await (const piece of this.#pieces(response, stop)) {
      came += piece.length;
      this.#bound(came);
      for (let taken = 0; taken < piece.length; ) {
        const part = piece.subarray(taken, taken + CHUNK_BYTES - filled);
        buffer.set(part, filled);
        filled += part.length;
        taken += part.length;
        if (filled < CHUNK_BYTES) break;
        yield { index: at / CHUNK_BYTES, bytes: buffer };
        at += filled;
        filled = 0;
        if (at >= this.#until) return;
        buffer = new Uint8Array(CHUNK_BYTES);
      }
      if (performance.now() - told > PROGRESS_MS) {
        told = performance.now();
        this.#net.progress?.(at + filled, this.total);
      }
      if (at + filled >= this.#until) break;
    }
    const end = at + filled;
    const total = this.size ?? end;
    if (end < Math.min(total, this.#until)) throw new Again(this.#network(`broke off after ${end} of ${total} bytes`, { bytes: end }));
    if (filled) yield { index: at / CHUNK_BYTES, bytes: buffer.slice(0, filled) };
  }

  /** Errors: a file has more bytes than it may have, or than it is said to have. @param {number} bytes */
  #bound(bytes) {
    const { max = Infinity, file, url } = this.#wanted;
    if (bytes > max) throw tooLong(file, max, url);
    if (bytes > (this.size ?? Infinity)) throw new Changed(`it has more than ${this.size} bytes`, { expected: this.size, got: bytes });
  }

  /**
   * The body as it comes.
   * @param {Response} response
   * @param {AbortController} stop
   * @returns {AsyncGenerator<Uint8Array>}
   */
  async *#pieces({ body }, stop) {
    const reader = /** @type {ReadableStream<Uint8Array>} */ (body).getReader();
    let bytes = 0;
    try {
      for (;;) {
        const { done, value } = await this.#within(stop, reader.read());
        if (done) return;
        bytes += value.length;
        yield value;
      }
    } catch (cause) {
      const what = stop.signal.aborted ? `stood still for ${this.#net.stallMs} ms after` : 'broke off after';
      throw new Again(this.#network(`${what} ${bytes} bytes`, { bytes }, cause));
    } finally {
      stop.abort();
    }
  }

  /**
   * Asks once, for what is missing. Undefined: there is no such file.
   * @returns {Promise<Answer | undefined>}
   */
  async #ask() {
    const there = this.#digests.length * CHUNK_BYTES;
    // A part has to be of the same version. Without a name for the version, the whole is asked for and
    // compared.
    const isNamed = this.#version.etag || this.#version.modified || this.#wanted.pin;
    const from = this.#ranges && isNamed ? there : 0;
    const headers = this.#headers(from);
    const stop = new AbortController();
    const response = await this.#fetch(headers, stop);
    if (!response) return undefined;
    this.#answered = true;
    this.#unanswered = 0;
    this.#own = isOwn(response.url || this.#wanted.url);
    const { status } = response;
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
    const isPart = status === 206 && headers.has('Range');
    try {
      if (this.#isAbsent(response)) {
        stop.abort();
        return undefined;
      }
      if (isPart && (Number(range?.[1] ?? NaN) !== from || response.headers.get('content-encoding'))) {
        // Not the part that was asked for, or a part of something else, or one cannot tell.
        this.#ranges = false;
        stop.abort();
        return await this.#ask();
      }
      if (status !== 200 && !isPart) throw this.#refusal(response);
      if (!response.body) throw this.#network('came without content', { status });
    } catch (error) {
      stop.abort();
      throw error;
    }
    this.#compare(response, range ? Number(range[2]) : undefined);
    return { start: status === 206 ? from : 0, response, stop };
  }

  /** The headers of a request that begins at a byte of the file. @param {number} from */
  #headers(from) {
    const isPart = this.#ranges && this.#until < (this.size ?? Infinity);
    const headers = new Headers(AS_IT_IS);
    if (from || isPart) headers.set('Range', `bytes=${from}-${isPart ? this.#until - 1 : ''}`);
    // To another site this header would cost a further request, which few answer. Their answer is compared
    // instead.
    if (from && this.#own && this.#version.etag?.startsWith('"')) headers.set('If-Range', this.#version.etag);
    return headers;
  }

  /**
   * The answer to a request; undefined: there is no such file.
   * @param {Headers} headers
   * @param {AbortController} stop
   */
  async #fetch(headers, stop) {
    const { url, file, optional } = this.#wanted;
    try {
      return await this.#within(stop, fetch(url, { headers, signal: stop.signal, cache: 'no-store' }));
    } catch (cause) {
      // A file of an extension or an app has no status: one that is not there fails like one that cannot be
      // read.
      if (optional && !/^https?:/i.test(url)) return undefined;
      // Chromium refuses the answer to such a request where a server compresses it.
      if (headers.has('Range') && ++this.#unanswered >= RANGE_TRIES) this.#ranges = false;
      const cross = this.#own ? '' : ', and that the server allows other sites to read it (CORS)';
      const remedy = `Check the address and the connection${cross}.`;
      const error = new FiresideError('NETWORK', `${file} could not be fetched from ${url}. ${remedy}`, { url, file }, { cause });
      throw new Again(error, { retries: this.#answered ? RETRIES : FIRST_RETRIES });
    }
  }

  /**
   * Whether an answer says that there is no such file. Errors: it is a page of HTML in the place of the
   * file.
   * @param {Response} response
   */
  #isAbsent(response) {
    const { url, file, optional, weights } = this.#wanted;
    const { status } = response;
    const isPage = status === 200 && isHtml(response);
    // Hosts of single-page apps answer every unknown path with their start page.
    if (optional && (status === 404 || (isPage && !weights))) return true;
    if (isPage && (optional || weights)) throw htmlInstead(file, url);
    if (status === 416) throw new Changed('it is shorter than what is here of it');
    return false;
  }

  /**
   * Errors: `Changed` where an answer is about another version than what is here.
   * @param {Response} response
   * @param {number} [rangeTotal]
   */
  #compare({ status, headers }, rangeTotal) {
    const version = versionOf(headers);
    const goesOn = this.#digests.length > 0;
    if (goesOn && isOther(version, this.#version)) throw new Changed('the server has a new version');
    // An answer that says less than one before it does not make that untrue, as long as it goes on with the
    // same bytes.
    this.#version = goesOn ? { ...this.#version, ...version } : version;
    const length = status === 200 ? Number(headers.get('content-length') ?? NaN) : NaN;
    this.#stated = Number.isSafeInteger(length) ? length : undefined;
    // With a content encoding, Content-Length counts the compressed bytes; of another site's answer one
    // cannot see whether it has one.
    const size = rangeTotal ?? (this.#own && !headers.get('content-encoding') ? this.#stated : undefined);
    if (size === undefined) return;
    const { max = Infinity, file, url } = this.#wanted;
    if (size > max) throw tooLong(file, max, url);
    if (this.size !== undefined && size !== this.size && (this.#digests.length || this.#wanted.pin?.size !== undefined)) {
      throw new Changed(`it has ${size} bytes instead of ${this.size}`, { expected: this.size, got: size });
    }
    this.size = size;
  }

  /** @param {Response} response */
  #refusal({ status, headers }) {
    const { url, file } = this.#wanted;
    const error = new FiresideError('NETWORK', `${file} could not be fetched: ${url} answered HTTP ${status}. ${remedyFor(status)}`, { url, status, file });
    if (status < 500 && status !== 429 && status !== 408) return error;
    const after = headers.get('retry-after');
    const afterMs = after === null ? undefined : Math.max(0, /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now());
    return afterMs !== undefined && !(afterMs <= RETRY_AFTER_MAX_MS) ? error : new Again(error, { afterMs });
  }

  /**
   * Lets time pass before another attempt. Errors: those that no further attempt can help.
   * @param {unknown} error
   * @param {number} failures before this one
   */
  async #pause(error, failures) {
    if (!(error instanceof Again)) throw error;
    if (failures >= (this.#net.retries ?? error.retries)) throw error.error;
    // A sign of life for the page: several attempts that stand still take longer than a request may be
    // silent.
    this.#net.progress?.(this.#digests.length * CHUNK_BYTES, this.total);
    await new Promise((resolve) => setTimeout(resolve, error.afterMs ?? BACKOFF_MS * 2 ** failures));
  }

  /**
   * Ends the attempt of `stop` where an answer is not there in time.
   * @template T
   * @param {AbortController} stop
   * @param {Promise<T>} answer
   * @returns {Promise<T>}
   */
  async #within(stop, answer) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => (stop.abort(), reject(new Error('nothing came'))), this.#net.stallMs);
    });
    try {
      return await Promise.race([answer, /** @type {Promise<never>} */ (late)]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param {string} what @param {object} details @param {unknown} [cause] */
  #network(what, details, cause) {
    const { url, file } = this.#wanted;
    return new FiresideError('NETWORK', `${file} ${what}. Check the connection and load again.`, { url, file, ...details }, { cause });
  }
}

/** @param {number} status */
function remedyFor(status) {
  if (status === 404) return 'Check the address: it must be a GGUF file, or a folder that holds config.json, tokenizer.json and model.safetensors.';
  if (status === 401 || status === 403) return 'The model may need an account: download its files and open them from disk.';
  if (status === 429) return 'The server asks for fewer requests: try again later.';
  return 'Try again later.';
}
