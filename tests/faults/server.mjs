// A server that misbehaves on command: model folders whose answers break off, stall, lie or change, a fake hub, and a count of every byte sent.
//
// It answers at two addresses, `home` (whose page is the test's) and `other` (another origin, which must allow itself to be read). Each folder has an
// address of its own, so that no test finds what another has stored, and these handles:
//
//     folder.on(file, fault, times)   what is wrong with the next answers for a file ('*': for any)
//     folder.breakAt(bytes, after)    after so many bytes of all files together every connection breaks, and what is asked then is answered by `after`
//     folder.holdAt(bytes)            after so many bytes everything stands still; resolves when that is so
//     folder.breakNow(after)          what stands still breaks, and what is asked from now on is answered by `after`
//     folder.release()                what stands still goes on
//     folder.passNew()                what stands still goes on standing still, what is asked from now on is answered
//     folder.mend()                   all is well again; connections that stand still break
//     folder.log                      of every request: file, method, range, ifRange, status, bytes

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { serve } from '../../scripts/serve.mjs';
import { serveTests } from '../browser/harness.js';
import { hubAnswer } from './hub.mjs';
import { readModel } from './models.mjs';

/** Bytes written at once: small beside a chunk of the library's, so that folders' files come side by side. */
const PIECE = 64 << 10;
const LONG_AGO = 'Mon, 05 Jan 2026 00:00:00 GMT';

/**
 * What may be wrong with one answer. `refuse`: no answer at all. `status`, `headers`, `body`: another answer. `redirect`: where the file is said to be.
 * `cut`, `stall`, `end`: after so many bytes of the body the connection breaks, stands still, or ends as if that were all. `length`: false for an
 * answer that does not say how long it is, or a number that it says. `corrupt`: the place in the file of a byte that is wrong. `bytes`: other content.
 * `encoding`: 'gzip' (packed), 'unpacked' (said to be gzip and is not), 'unsaid' (gzip and not said to be). `ranges`: false where Range is ignored.
 * `contentRange`: what it says instead; `part`: the range of bytes sent as a 206 whatever was asked. `etag`: another than the content's, false for none.
 * `wait`: a promise before the answer.
 * @typedef {{ refuse?: boolean, status?: number, headers?: object, body?: string, redirect?: string, cut?: number, stall?: number, end?: number,
 *   length?: number | false, corrupt?: number, bytes?: Buffer, encoding?: string, ranges?: false, contentRange?: string, part?: number[],
 *   etag?: string | false, wait?: Promise<unknown> }} Fault
 */

class Folder {
  /** @type {{ file: string, method: string, origin: string, range?: string, ifRange?: string, status: number, bytes: number }[]} */
  log = [];
  /** @type {{ file: string, fault: Fault | ((request: any) => Fault | undefined), times: number, method?: string }[]} */
  #faults = [];
  #sockets = new Set();
  #left = Infinity;
  /** @type {Fault | undefined} */
  #after;
  #reached = () => {};
  /** What lets each answer that stands still go on. @type {(() => void)[]} */
  #held = [];
  /** Whether other origins may read it: true, false, or 'unexposed' (without the headers that only an explicit list lets through). @type {boolean | string} */
  cors = true;
  /** Where validators are sent: 'all', 'modified' (no ETag), 'none'. */
  validators = 'all';

  /** @param {string} id @param {Map<string, Buffer>} files @param {{ home: string, other: string }} bases */
  constructor(id, files, bases) {
    this.files = new Map(files);
    this.path = `/faulty/${id}/`;
    this.url = new URL(this.path, bases.home).href;
    this.other = new URL(this.path, bases.other).href;
    this.bytes = [...files.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** @param {string} file @param {Fault | ((request: any) => Fault | undefined)} fault @param {number} [times] @param {string} [method] */
  on(file, fault, times = Infinity, method = undefined) {
    this.#faults.push({ file, fault, times, method });
    return this;
  }

  /** @param {number} bytes @param {Fault} [after] */
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

  /** What stands still breaks, and what is asked from now on is answered by `after`. @param {Fault} after */
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

  /** The ETag of a file's present content. @param {string} file */
  etag(file) {
    return `"${createHash('sha1').update(this.files.get(file) ?? '').digest('hex').slice(0, 16)}"`;
  }

  /** A fireside.lock.json for what is there now. */
  lock() {
    const entry = (/** @type {Buffer} */ bytes) => ({ size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });
    const files = Object.fromEntries([...this.files].filter(([name]) => name !== 'fireside.lock.json').map(([name, bytes]) => [name, entry(bytes)]));
    this.files.set('fireside.lock.json', Buffer.from(JSON.stringify({ files })));
    return files;
  }

  /** Body bytes of files sent so far, of all or of those whose name fits. @param {RegExp} [name] */
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

  /** Answers one request. @param {string} file @param {any} request @param {any} response @param {string} origin 'home' or 'other' @param {object} [extra] further headers */
  async answer(file, request, response, origin, extra = {}) {
    const { socket, method, headers } = request;
    const entry = { file, method, origin, range: headers.range, ifRange: headers['if-range'], status: 0, bytes: 0 };
    this.log.push(entry);
    // Only while it answers: the browser may use the connection for something else afterwards.
    this.#sockets.add(socket);
    response.once('close', () => this.#sockets.delete(socket));
    const fault = this.#faultFor(entry);
    await fault.wait;
    if (fault.refuse) return socket.destroy();
    if (origin === 'other') this.#allow(response);
    for (const [name, value] of Object.entries({ ...extra, ...fault.headers })) response.setHeader(name, value);
    /** @param {number} status @param {string} [text] */
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

  /** @param {Buffer} whole @param {Fault} fault */
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
    // A browser that asks for a part wants it unpacked.
    const packs = fault.encoding === 'unsaid' || (fault.encoding === 'gzip' && /gzip/.test(headers['accept-encoding'] ?? ''));
    if (packs) body = gzipSync(body, { level: 1 });
    if (fault.encoding === 'unpacked' || (packs && fault.encoding === 'gzip')) response.setHeader('Content-Encoding', 'gzip');
    const length = fault.length ?? (fault.end === undefined && body.length);
    if (length !== false) response.setHeader('Content-Length', length);
    entry.status = partial ? 206 : 200;
    response.writeHead(entry.status);
    if (request.method === 'HEAD') return response.end();
    return this.#pour(body, fault, entry, request.socket, response);
  }

  /** Writes a body piece by piece, each handed to the system before the next, so that what is counted as sent has left. */
  async #pour(body, { cut = Infinity, stall = Infinity, end = Infinity }, entry, socket, response) {
    const most = Math.min(body.length, cut, stall, end);
    // Headers leave even where no byte follows.
    response.flushHeaders();
    while (entry.bytes < most) {
      if (this.#left <= 0) {
        this.#reached();
        // Broken off for all, or standing still.
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

  /** What a server sends that other sites may read. */
  #allow(response) {
    if (!this.cors) return;
    response.setHeader('Access-Control-Allow-Origin', '*');
    if (this.cors === true) response.setHeader('Access-Control-Expose-Headers', 'ETag, Content-Range, Content-Length, Accept-Ranges, X-Linked-Etag');
  }
}

/** Starts it. Resolves with the addresses, `folder`, `hub` and `close`. */
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
    /** One more of its kind, to be switched off. */
    another: serveFaults,
    /** @param {string} [model] of those that models.mjs knows */
    folder(model = 'chat') {
      const folder = new Folder(String(++count), readModel(model), bases);
      folders.set(String(count), folder);
      return folder;
    },
    /** A hub whose one repository is `owner/name`. @param {Folder} folder its files @param {object} [settings] see hub.mjs */
    hub(folder, settings = {}) {
      const id = String(++count);
      const hub = { folder, api: [], ...settings };
      hubs.set(id, hub);
      return Object.assign(hub, { path: `/hub/${id}/`, url: new URL(`/hub/${id}`, other.url).href });
    },
    close: () => Promise.all([home.close(), other.close()]),
  };
}
