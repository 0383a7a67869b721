// The stored files of models: in the origin private file system of the browser, in the Cache API where there
// is nothing else, in Node in a folder on disk.
//
// A file is stored as chunks of one size and a journal. The journal has a line with the source of the file,
// then one for each stored chunk with its SHA-256, and at last one that says that the file is whole. A line
// is written after its chunk and never changed. So the journal is true whatever kills the tab: half a line
// at its end does not count, and every chunk is checked against its line when it is read.

export const CHUNK_BYTES = 1 << 20;

const NAME = 'fireside-lm';

/** Whether a file holds weights. @param {string} file */
export const isWeights = (file) => /\.(safetensors|gguf)$/i.test(file);

/** A file that another tab writes to while it is read has to be opened again; so often at most. */
const READ_TRIES = 5;

/**
 * The first line of a journal. `pin`: what the file's publisher says that it is; `etag`, `modified`: what
 * the server called this version of it; `size`: its bytes.
 * @typedef {{ source: string, pin?: string, etag?: string, modified?: string, size?: number }} Head
 */
/**
 * @typedef {{ read(): Promise<string>, chunk(index: number, length: number): Promise<Uint8Array |
 *   undefined>, put(index: number, bytes: Uint8Array): Promise<void>, log(at: number, text: string):
 *   Promise<void>, remove(): Promise<void>, close(): Promise<void> }} Place
 */

/**
 * @typedef {{ file(folder: string, name: string): Promise<Place>, folders(): Promise<{ folder: string,
 *   files: string[] }[]>, remove(folder: string): Promise<void> }} Backend
 */

/** The stored part of one file of a model. */
export class StoredFile {
  #place;
  /** Bytes of the journal that can be relied on. */
  #logged = 0;
  /** @type {Head | undefined} */
  head;
  /**
   * SHA-256 and length of each chunk that is there, in order.
   * @type {{ sha256: string, bytes: number }[]}
   */
  chunks = [];
  /** Whether the last chunk is the file's last. */
  whole = false;
  /** The server has no such file, and said so. */
  absent = false;
  /** The server was found to have another version, or to have it by now. */
  stale = false;

  /** @param {Place} place */
  constructor(place) {
    this.#place = place;
  }

  /** @param {Backend} backend @param {string} source @param {string} name */
  static async open(backend, source, name) {
    return StoredFile.openIn(backend, await folderOf(source), name);
  }

  /** @param {Backend} backend @param {string} folder @param {string} name */
  static async openIn(backend, folder, name) {
    return new StoredFile(await backend.file(folder, name)).refresh();
  }

  /** Reads the journal again, which another tab may be writing. */
  async refresh() {
    this.#read(await this.#place.read());
    return this;
  }

  /** Bytes that are there. */
  get bytes() {
    return this.chunks.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * A chunk that is there and is what the journal says.
   * @param {number} index
   * @returns {Promise<Uint8Array | undefined>}
   */
  async chunk(index) {
    const { sha256, bytes } = this.chunks[index];
    const chunk = await this.#place.chunk(index, bytes).catch(() => undefined);
    return chunk?.length === bytes && (await digest(chunk)) === sha256 ? chunk : undefined;
  }

  /** Empties the file and begins it. @param {Head} head */
  async begin(head) {
    await this.remove();
    await this.#log(head);
  }

  /** @param {Uint8Array} bytes @param {string} sha256 of them */
  async append(bytes, sha256) {
    await this.#place.put(this.chunks.length, bytes);
    await this.#log({ sha256, bytes: bytes.length });
  }

  /** Puts a chunk back that was lost or damaged. @param {number} index @param {Uint8Array} bytes */
  async mend(index, bytes) {
    await this.#place.put(index, bytes);
  }

  /**
   * The last chunk was the file's last. The answer that brought it may have another name for the version
   * than the first one.
   * @param {{ etag?: string, modified?: string }} version
   */
  async finish({ etag, modified }) {
    await this.#log({ whole: true, etag, modified });
  }

  /** @param {Head} head */
  async markAbsent(head) {
    await this.begin(head);
    await this.#log({ absent: true });
  }

  /** It is no longer what its server has. */
  async expire() {
    if (this.whole || this.absent) await this.#log({ stale: true });
  }

  async remove() {
    await this.#place.remove();
    this.#read('');
  }

  /** Lets go of the file, which others may then write. */
  close() {
    return this.#place.close();
  }

  /** @param {object} line */
  async #log(line) {
    const text = `${JSON.stringify(line)}\n`;
    await this.#place.log(this.#logged, text);
    this.#take(text);
  }

  /** @param {string} journal */
  #read(journal) {
    [this.head, this.chunks, this.whole, this.absent, this.stale, this.#logged] = [undefined, [], false, false, false, 0];
    // A line that is not one, or not whole, ends what can be relied on; the next is written in its place.
    for (const line of journal.match(/.*\n/g) ?? []) if (!this.#take(line)) return;
  }

  /** Takes a line. @param {string} text @returns {boolean} whether it is one */
  #take(text) {
    try {
      const line = JSON.parse(text);
      if ('source' in line) this.head = line;
      else if (!this.head) return false;
      else if ('whole' in line) {
        this.whole = true;
        const { etag = this.head.etag, modified = this.head.modified } = line;
        this.head = { ...this.head, etag, modified };
      } else if ('absent' in line) this.absent = true;
      else if ('stale' in line) this.stale = true;
      else if (typeof line.sha256 === 'string' && line.bytes > 0 && line.bytes <= CHUNK_BYTES) this.chunks.push(line);
      else return false;
    } catch {
      return false;
    }
    this.#logged += new TextEncoder().encode(text).length;
    return true;
  }
}

/**
 * SHA-256 in hexadecimal. Only pages from https and localhost have it, and only they have files.
 * @param {Uint8Array} bytes
 */
export async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', /** @type {Uint8Array<ArrayBuffer>} */ (bytes)));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** The name of a source's folder: addresses hold characters that names must not. @param {string} source */
export async function folderOf(source) {
  return (await digest(new TextEncoder().encode(source))).slice(0, 32);
}

/** Where files can be kept here; undefined: nowhere. @returns {Promise<Backend | undefined>} */
export async function openBackend() {
  if (!globalThis.crypto?.subtle) return undefined;
  try {
    // Only workers may write in place; a page, which does not, asks by the same method whether its workers
    // could.
    const root = await navigator.storage.getDirectory();
    return privateFiles(await root.getDirectoryHandle(NAME, { create: true }));
  } catch {
    // private windows, and sites with storage switched off
  }
  try {
    const { responses } = await import('./cache-api-store.js');
    return responses(await caches.open(NAME), NAME);
  } catch {
    return undefined;
  }
}

/**
 * In the origin private file system, or what has its shape: a folder for each source; in it the files, and
 * beside each its journal.
 * @param {FileSystemDirectoryHandle} root
 * @returns {Backend}
 */
export function privateFiles(root) {
  return {
    async file(folder, name) {
      /** Open while it is being written: then nobody else can write it. @type {Map<string, Promise<any>>} */
      const writing = new Map();
      const directory = await root.getDirectoryHandle(folder, { create: true });
      /** @param {string} name @returns {Promise<any>} a FileSystemSyncAccessHandle */
      const writer = (name) => {
        if (!writing.has(name)) {
          const handle = directory.getFileHandle(name, { create: true });
          writing.set(name, handle.then((handle) => Reflect.get(handle, 'createSyncAccessHandle').call(handle)));
        }
        return /** @type {Promise<any>} */ (writing.get(name));
      };
      const close = async () => {
        const handles = [...writing];
        writing.clear();
        for (const [name, handle] of handles) {
          // In Chromium 156 closing a file that was cleared away meanwhile never returns.
          const isThere = await directory.getFileHandle(name).then(() => true, () => false);
          if (isThere) await handle.then((open) => open.close()).catch(() => {});
        }
      };
      /**
       * Bytes of a file as it is now; none where there is no file.
       * @param {string} name
       * @param {number} [from]
       * @param {number} [to]
       */
      const read = async (name, from, to) => {
        for (let tries = 1; ; tries++) {
          try {
            const blob = await (await directory.getFileHandle(name)).getFile();
            return new Uint8Array(await blob.slice(from, to).arrayBuffer());
          } catch (error) {
            absent(error, ...(tries < READ_TRIES ? ['NotReadableError', 'AbortError'] : []));
            if (Reflect.get(error ?? {}, 'name') === 'NotFoundError') return new Uint8Array();
          }
        }
      };
      return {
        read: async () => new TextDecoder().decode(await read(`${name}.journal`)),
        chunk: (index, length) => read(name, index * CHUNK_BYTES, index * CHUNK_BYTES + length),
        async put(index, bytes) {
          write(await writer(name), bytes, index * CHUNK_BYTES);
        },
        async log(at, text) {
          const journal = await writer(`${name}.journal`);
          journal.truncate(at);
          write(journal, new TextEncoder().encode(text), at);
          if (text.includes('"whole"')) for (const handle of writing.values()) (await handle).flush();
        },
        async remove() {
          await close();
          for (const entry of [`${name}.journal`, name]) await directory.removeEntry(entry).catch((error) => absent(error));
        },
        close,
      };
    },
    async folders() {
      for (let tries = 1; ; tries++) {
        try {
          return await list(root);
        } catch (error) {
          if (tries === READ_TRIES) throw error; // until then: another tab was just removing a folder
        }
      }
    },
    remove: (folder) => root.removeEntry(folder, { recursive: true }).catch((error) => absent(error)),
  };
}

/**
 * The folders of models and the files that they have a journal of.
 * @param {FileSystemDirectoryHandle} root
 */
async function list(root) {
  const folders = [];
  for await (const [folder, handle] of entries(root)) {
    if (handle.kind !== 'directory') continue;
    const files = [];
    for await (const [name] of entries(handle)) if (name.endsWith('.journal')) files.push(name.slice(0, -'.journal'.length));
    folders.push({ folder, files });
  }
  return folders;
}

/** @param {any} handle a FileSystemSyncAccessHandle @param {Uint8Array} bytes @param {number} at */
function write(handle, bytes, at) {
  // A full disk may take a part and not complain.
  if (handle.write(bytes, { at }) !== bytes.length) throw new DOMException('The disk is full.', 'QuotaExceededError');
}

/** @param {FileSystemDirectoryHandle} directory @returns {AsyncIterable<[string, any]>} */
function entries(directory) {
  return Reflect.get(directory, 'entries').call(directory);
}

/**
 * Errors: all but what says that there is no such file, and some others.
 * @param {unknown} error
 * @param {string[]} others
 */
function absent(error, ...others) {
  if (!(error instanceof DOMException && ['NotFoundError', ...others].includes(error.name))) throw error;
}
