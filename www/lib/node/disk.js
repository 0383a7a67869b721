// Folders and files on disk in the shape of a browser's (FileSystemDirectoryHandle, File), as far as the
// library uses these. Models come from such folders (client/source.js) and are stored in one (store.js).
// Files are read piece by piece, never as a whole.

import { closeSync, existsSync, fstatSync, fsyncSync, ftruncateSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isGguf } from '../client/address.js';
import { isPartOf, modelsAmong } from '../client/gguf.js';
import { joined } from '../shared/bytes.js';
import { badInput, hubHint } from '../shared/errors.js';

const PIECE_BYTES = 1 << 20;

/** The addresses of folders and files on disk: `file:` URLs, and strings that are not URLs. */
export const disk = {
  /** A folder, or a GGUF file with its other parts. @param {string | URL} address @returns {any} */
  open(address) {
    const path = pathOf(address);
    if (path === undefined) return undefined;
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) return new Folder(path);
    if (found?.isFile() && isGguf(path)) return partsBeside(path);
    const hint = existsSync(dirname(path)) ? '' : hubHint(address); // where there is a folder `owner`, it is a path
    throw badInput('source', `a URL, or the path of a folder or of a GGUF file that is there${hint && ` (${hint})`}`, String(address));
  },

  /** @param {URL} address @returns {any} */
  file(address) {
    const path = pathOf(address);
    if (path === undefined) return undefined;
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isFile()) throw badInput('source', 'the URL of a file that is there', String(address));
    return new DiskFile(path, 0, found.size);
  },
};

/**
 * The files of a GGUF model: of a split one all parts that are there.
 * @param {string} path of one of them
 */
function partsBeside(path) {
  const [model] = modelsAmong([basename(path)]);
  const names = readdirSync(dirname(path)).filter((name) => (model ? isPartOf(name, model) : name === basename(path)));
  return names.sort().map((name) => disk.file(pathToFileURL(join(dirname(path), name))));
}

/** @param {string | URL} address */
function pathOf(address) {
  const text = String(address).trim();
  if (/^file:/i.test(text)) {
    try {
      return fileURLToPath(text);
    } catch {
      throw badInput('source', 'the URL of a folder or file of this machine', text);
    }
  }
  // One letter and a colon are a drive of Windows.
  return !text || /^[a-z][a-z\d+.-]+:/i.test(text) ? undefined : text;
}

/** The error by which browsers say that a file is missing or a disk is full. @param {any} error */
function named(error) {
  if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return new DOMException(error.message, 'NotFoundError');
  if (['ENOSPC', 'EDQUOT', 'EFBIG'].includes(error.code)) return new DOMException(error.message, 'QuotaExceededError');
  return error;
}

/** @param {any} error @returns {never} */
const fail = (error) => {
  throw named(error);
};

export class Folder {
  kind = 'directory';
  #path;

  /** @param {string} path */
  constructor(path) {
    this.#path = path;
  }

  /** @param {string} name @param {{ create?: boolean }} [options] */
  async getDirectoryHandle(name, { create = false } = {}) {
    const path = join(this.#path, name);
    if (create) await mkdir(path, { recursive: true }).catch(fail);
    return new Folder(path);
  }

  /** @param {string} name @param {{ create?: boolean }} [options] */
  async getFileHandle(name, { create = false } = {}) {
    const path = join(this.#path, name);
    if (create) await (await open(path, 'a').catch(fail)).close();
    else await stat(path).catch(fail);
    return new FileOnDisk(path);
  }

  /** @param {string} name @param {{ recursive?: boolean }} [options] */
  async removeEntry(name, { recursive = false } = {}) {
    await rm(join(this.#path, name), { recursive }).catch(fail);
  }

  /** The entries, links as what they lead to. @returns {AsyncGenerator<[string, Folder | FileOnDisk]>} */
  async *entries() {
    for (const name of (await readdir(this.#path).catch(fail)).sort()) {
      const path = join(this.#path, name);
      const found = await stat(path).catch(() => undefined); // a link that leads nowhere, or removed just now
      if (found) yield [name, found.isDirectory() ? new Folder(path) : new FileOnDisk(path)];
    }
  }

  async *values() {
    for await (const [, entry] of this.entries()) yield entry;
  }
}

class FileOnDisk {
  kind = 'file';
  #path;

  /** @param {string} path */
  constructor(path) {
    this.#path = path;
  }

  async getFile() {
    return new DiskFile(this.#path, 0, (await stat(this.#path).catch(fail)).size);
  }

  /** For writing in place. */
  async createSyncAccessHandle() {
    const file = call(() => openSync(this.#path, 'r+'));
    return {
      write(/** @type {Uint8Array} */ bytes, /** @type {{ at: number }} */ { at }) {
        // The folder was removed, so the written bytes are lost.
        if (fstatSync(file).nlink === 0) throw new DOMException('The file has been removed.', 'InvalidStateError');
        return call(() => writeSync(file, bytes, 0, bytes.length, at));
      },
      truncate: (/** @type {number} */ size) => call(() => ftruncateSync(file, size)),
      flush: () => call(() => fsyncSync(file)),
      close: () => closeSync(file),
    };
  }
}

/** @template T @param {() => T} job @returns {T} */
function call(job) {
  try {
    return job();
  } catch (error) {
    throw named(error);
  }
}

/** A file, or a part of one, whose bytes stay on disk until they are read. */
class DiskFile extends Blob {
  /** @type {string} */
  #path;
  /** @type {number} */
  #from;
  /** @type {number} */
  #to;

  /** @param {string} path @param {number} from @param {number} to */
  constructor(path, from, to) {
    super();
    [this.#path, this.#from, this.#to] = [path, from, to];
  }

  get name() {
    return basename(this.#path);
  }

  /** @override */
  get size() {
    return this.#to - this.#from;
  }

  /** @override @param {number} [from] @param {number} [to] neither below 0 */
  slice(from = 0, to = this.size) {
    const at = (/** @type {number} */ position) => Math.min(this.#from + position, this.#to);
    return new DiskFile(this.#path, at(from), at(Math.max(from, to)));
  }

  /** @override @returns {any} */
  stream() {
    let at = this.#from;
    /** @type {import('node:fs/promises').FileHandle | undefined} */
    let file;
    return new ReadableStream({
      pull: async (controller) => {
        try {
          file ??= await open(this.#path);
          const piece = new Uint8Array(Math.min(PIECE_BYTES, this.#to - at));
          const { bytesRead } = await file.read(piece, 0, piece.length, at);
          at += bytesRead;
          if (bytesRead) controller.enqueue(bytesRead === piece.length ? piece : piece.slice(0, bytesRead));
          if (bytesRead && at < this.#to) return;
          await file.close();
          controller.close();
        } catch (error) {
          await file?.close();
          throw error;
        }
      },
      cancel: () => file?.close(),
    });
  }

  /** @override */
  async arrayBuffer() {
    const pieces = [];
    for await (const piece of this.stream()) pieces.push(piece);
    return joined(pieces).buffer;
  }

  /** @override */
  async text() {
    return new TextDecoder().decode(await this.arrayBuffer());
  }
}
