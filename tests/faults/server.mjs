// A server that misbehaves on command: model folders whose responses break off, stall, lie or change, a fake
// hub, and a count of every byte sent.
//
// It listens on two origins, `home` (that of the test's page) and `other` (which must allow access). Each
// folder has its own URL, so that no test finds what another one stored, and these methods:
//
//     folder.on(file, fault, times)   the fault of the next responses for a file ('*': for any file)
//     folder.breakAt(bytes, after)    after this many bytes of all files together, breaks every connection
//                                     and answers later requests with `after`
//     folder.holdAt(bytes)            after this many bytes, stalls everything; resolves when it does
//     folder.breakNow(after)          breaks stalled responses, and answers later requests with `after`
//     folder.release()                lets stalled responses continue
//     folder.passNew()                keeps stalled responses stalled, and answers later requests
//     folder.mend()                   removes all faults; stalled connections break
//     folder.log                      of every request: file, method, range, ifRange, status, bytes

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { serve } from '../../scripts/serve.mjs';
import { serveTests } from '../browser/harness.js';
import { hubAnswer } from './hub.mjs';
import { readModel } from './models.mjs';

/**
 * How many bytes are written at once: few compared with a chunk of the library, so that files of a folder
 * arrive side by side.
 */
const PIECE = 64 << 10;
const LONG_AGO = 'Mon, 05 Jan 2026 00:00:00 GMT';

/**
 * The faults of one response. `refuse`: no response at all. `status`, `headers`, `body`: another response.
 * `redirect`: where the file is said to be. `cut`, `stall`, `end`: after this many bytes of the body the
 * connection breaks, stalls, or ends normally. `length`: false for a response without a length, or the stated
 * length. `corrupt`: the position of a wrong byte in the file. `bytes`: other content. `encoding`: 'gzip'
 * (compressed), 'unpacked' (labelled as gzip but not compressed), 'unsaid' (gzip without a label). `ranges`:
 * false if Range is ignored. `contentRange`: the stated one; `part`: the range of bytes sent as a 206,
 * whatever was requested. `etag`: another than the content's, or false for none. `wait`: a promise before the
 * response.
 * @typedef {{ refuse?: boolean, status?: number, headers?: object, body?: string, redirect?: string,
 *   cut?: number, stall?: number, end?: number, length?: number | false, corrupt?: number, bytes?: Buffer,
 *   encoding?: string, ranges?: false, contentRange?: string, part?: number[], etag?: string | false,
 *   wait?: Promise<unknown> }} Fault
 */

class Folder {
  /**
   * @type {{ file: string, method: string, origin: string, range?: string, ifRange?: string, status:
   *   number, bytes: number }[]}
   */
  log = [];
  /**
   * @type {{ file: string, fault: Fault | ((request: any) => Fault | undefined), times: number, method?:
   *   string }[]}
   */
  #faults = [];
  #sockets = new Set();
  #left = Infinity;
  /** @type {Fault | undefined} */
  #after;
  #reached = () => {};
  /** Functions that let stalled responses continue. @type {(() => void)[]} */
  #held = [];
  /**
   * Whether other origins may read it: true, false, or 'unexposed' (without the headers that need an
   * explicit list).
   * @type {boolean | string}
   */
  cors = true;
  /** Which validators are sent: 'all', 'modified' (no ETag), 'none'. */
  validators = 'all';

  /**
   * @param {string} id
   * @param {Map<string, Buffer>} files
   * @param {{ home: string, other: string }} bases
   */
  constructor(id, files, bases) {
    this.files = new Map(files);
    this.path = `/faulty/${id}/`;
    this.url = new URL(this.path, bases.home).href;
    this.other = new URL(this.path, bases.other).href;
    this.bytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * @param {string} file
   * @param {Fault | ((request: any) => Fault | undefined)} fault
   * @param {number} [times]
   * @param {string} [method]
   */
  on(file, fault, times = Infinity, method = undefined) {
    this.#faults.push({ file, fault, times, method });
    return this;
  }

  /**
   * @param {number} bytes
   * @param {Fault} [after]
   */
  breakAt(bytes, after = { refuse: true }) {
    this.#left = bytes;
    this.#after = after;
    return this;
  }

  /** @param {number} bytes @returns {Promise<void>} */
  holdAt(bytes) {
    this.#left = bytes;
    this.#after = undefined;
    return new Promise((resolve) => (this.#reached = resolve));
  }

  /** Breaks stalled responses, and answers later requests with `after`. @param {Fault} after */
  breakNow(after) {
    this.#after = after;
    for (const socket of this.#sockets) socket.destroy();
  }

  release() {
    this.passNew();
    for (const goOn of this.#held.splice(0)) goOn();
  }

  passNew() {
    this.#left = Infinity;
    this.#after = undefined;
  }

  mend() {
    this.#faults = [];
    this.passNew();
    for (const socket of this.#sockets) socket.destroy();
    this.release();
    return this;
  }

  /** The ETag of a file's current content. @param {string} file */
  etag(file) {
    return `"${createHash('sha1').update(this.files.get(file) ?? '').digest('hex').slice(0, 16)}"`;
  }

  /** Writes a fireside.lock.json for the current files. */
  lock() {
    const entry = (/** @type {Buffer} */ bytes) => ({ size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    const files = Object.fromEntries([...this.files].filter(([name]) => name !== 'fireside.lock.json').map(([name, bytes]) => [name, entry(bytes)]));
    this.files.set('fireside.lock.json', Buffer.from(JSON.stringify({ files })));
    return files;
  }

  /**
   * How many body bytes of files were sent so far, of all files or of those with a matching name.
   * @param {RegExp} [name]
   */
  sent(name = /./) {
    return this.log.filter(({ file, status }) => name.test(file) && (status === 200 || status === 206)).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  #faultFor(entry) {
    if (this.#left <= 0 && this.#after) return this.#after;
    for (const rule of this.#faults) {
      if (rule.times <= 0 || (rule.file !== '*' && rule.file !== entry.file) || (rule.method && rule.method !== entry.method)) continue;
      const fault = typeof rule.fault === 'function' ? rule.fault(entry) : rule.fault;
      if (!fault) continue;
      rule.times--;
      return fault;
    }
    return {};
  }

  /**
   * Answers one request.
   * @param {string} file
   * @param {any} request
   * @param {any} response
   * @param {string} origin 'home' or 'other'
   * @param {object} [extra] additional headers
   */
  async answer(file, request, response, origin, extra = {}) {
    const { socket, method, headers } = request;
    const entry = { file, method, origin, range: headers.range, ifRange: headers['if-range'], status: 0, bytes: 0 };
    this.log.push(entry);
    // Only while it responds, because the browser may use the connection for something else afterwards.
    this.#sockets.add(socket);
    response.once('close', () => this.#sockets.delete(socket));
    const fault = this.#faultFor(entry);
    await fault.wait;
    if (fault.refuse) return socket.destroy();
    if (origin === 'other') this.#allow(response);
    for (const [name, value] of Object.entries({ ...extra, ...fault.headers })) response.setHeader(name, value);
    /**
     * @param {number} status
     * @param {string} [text]
     */
    const end = (status, text = '') => {
      entry.status = status;
      response.writeHead(status, { 'Content-Type': 'text/plain', ...fault.headers }).end(method === 'HEAD' ? undefined : text);
    };
    if (method !== 'GET' && method !== 'HEAD') return end(405);
    if (fault.redirect) return end(302, response.setHeader('Location', fault.redirect) && '');
    if (fault.status) return end(fault.status, fault.body ?? `${fault.status}\n`);
    if (fault.body !== undefined) return end(200, fault.body);
    const whole = fault.bytes ?? this.files.get(file);
    if (!whole) return end(404, `${file} is not here\n`);
    return this.#send(whole, fault, entry, request, response, headers);
  }

  /**
   * @param {Buffer} whole
   * @param {Fault} fault
   */
  async #send(whole, fault, entry, request, response, headers) {
    const validator = fault.etag ?? this.etag(entry.file);
    if (validator && this.validators === 'all') response.setHeader('ETag', validator);
    if (this.validators !== 'none') response.setHeader('Last-Modified', LONG_AGO);
    response.setHeader('Content-Type', entry.file.endsWith('.json') ? 'application/json' : 'application/octet-stream');
    if (fault.ranges !== false) response.setHeader('Accept-Ranges', 'bytes');

    let [start, end] = [0, whole.length];
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
    const unchanged = !headers['if-range'] || headers['if-range'] === validator || headers['if-range'] === LONG_AGO;
    if (fault.part) [start, end] = fault.part;
    else if (from && fault.ranges !== false && unchanged) [start, end] = [Number(from), Math.min(to ? Number(to) + 1 : Infinity, whole.length)];
    const partial = start > 0 || end < whole.length || Boolean(from && fault.ranges !== false && unchanged);
    if (start >= whole.length) {
      entry.status = 416;
      return response.writeHead(416, { 'Content-Range': `bytes */${whole.length}` }).end();
    }
    if (partial) response.setHeader('Content-Range', fault.contentRange ?? `bytes ${start}-${end - 1}/${whole.length}`);
    let body = whole.subarray(start, end);
    if (fault.corrupt !== undefined && fault.corrupt >= start && fault.corrupt < end) {
      body = Buffer.from(body);
      body[fault.corrupt - start] ^= 0xff;
    }
    // A browser that requests a part wants it uncompressed.
    const packs = fault.encoding === 'unsaid' || (fault.encoding === 'gzip' && /gzip/.test(headers['accept-encoding'] ?? ''));
    if (packs) body = gzipSync(body, { level: 1 });
    if (fault.encoding === 'unpacked' || (packs && fault.encoding === 'gzip')) response.setHeader('Content-Encoding', 'gzip');
    const length = fault.length ?? (fault.end === undefined && body.length);
    if (length !== false) response.setHeader('Content-Length', length);
    entry.status = partial ? 206 : 200;
    response.writeHead(entry.status);
    if (request.method === 'HEAD') return response.end();
    return this.#write(body, fault, entry, request.socket, response);
  }

  /**
   * Writes a body piece by piece. Each piece is handed to the system before the next, so that the counted
   * bytes have been sent.
   */
  async #write(body, { cut = Infinity, stall = Infinity, end = Infinity }, entry, socket, response) {
    const most = Math.min(body.length, cut, stall, end);
    // Sends the headers even if no byte follows.
    response.flushHeaders();
    while (entry.bytes < most) {
      if (this.#left <= 0) {
        this.#reached();
        // Broken off for all, or stalled.
        if (this.#after) for (const one of this.#sockets) one.destroy();
        else await new Promise((resolve) => this.#held.push(() => resolve(undefined)));
        if (socket.destroyed) return;
        continue;
      }
      const piece = body.subarray(entry.bytes, entry.bytes + Math.min(PIECE, most - entry.bytes, this.#left));
      this.#left -= piece.length;
      await new Promise((resolve) => {
        socket.once('close', resolve);
        response.write(piece, () => (socket.off('close', resolve), resolve(undefined)));
      });
      if (socket.destroyed) return;
      entry.bytes += piece.length;
    }
    if (this.#left <= 0) this.#reached();
    if (entry.bytes === body.length || entry.bytes === end) response.end();
    else if (entry.bytes === cut) socket.destroy();
  }

  /** The headers with which other sites may read a response. */
  #allow(response) {
    if (!this.cors) return;
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (this.cors === true) response.setHeader('Access-Control-Expose-Headers', 'ETag, Content-Range, Content-Length, Accept-Ranges, X-Linked-Etag');
  }
}

/** Starts it. Resolves with the URLs, `folder`, `hub` and `close`. */
export async function serveFaults() {
  const folders = new Map();
  const hubs = new Map();
  const bases = { home: '', other: '' };
  let count = 0;
  const at = (/** @type {string} */ origin) => (request, response) => {
    const { pathname, searchParams } = new URL(request.url, bases.home);
    const [, kind, id, rest] = /^\/(faulty|hub)\/([^/]+)\/(.*)$/.exec(pathname) ?? [];
    if (pathname === '/clear-storage') response.writeHead(200, { 'Clear-Site-Data': '"storage"' }).end();
    else if (kind === 'hub') void hubAnswer(hubs.get(id), decodeURIComponent(rest), searchParams, request, response, origin);
    else if (kind) void folders.get(id).answer(decodeURIComponent(rest), request, response, origin);
    return Boolean(kind) || pathname === '/clear-storage';
  };
  const home = await serveTests({ mounts: { '/faults/': import.meta.dirname ?? new URL('.', import.meta.url).pathname }, first: at('home') });
  const other = await serve({ mounts: {}, isolation: false, first: at('other') });
  Object.assign(bases, { home: home.url, other: other.url });
  return {
    url: home.url,
    otherUrl: other.url,
    /** Starts another such server, to be switched off. */
    another: serveFaults,
    /** @param {string} [model] of models.mjs */
    folder(model = 'chat') {
      const folder = new Folder(String(++count), readModel(model), bases);
      folders.set(String(count), folder);
      return folder;
    },
    /**
     * A hub with one repository, `owner/name`.
     * @param {Folder} folder its files
     * @param {object} [settings] see hub.mjs
     */
    hub(folder, settings = {}) {
      const id = String(++count);
      const hub = { folder, api: [], ...settings };
      hubs.set(id, hub);
      return Object.assign(hub, { path: `/hub/${id}/`, url: new URL(`/hub/${id}`, other.url).href });
    },
    close: () => Promise.all([home.close(), other.close()]),
  };
}
