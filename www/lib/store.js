// Files of models, kept by the browser: in the origin private file system, or in the Cache API where that is all there is.
//
// A file is a row of chunks of one size, and a journal: a line with where the file is from, then one for each chunk that is there, with its SHA-256, and
// at the end one that says that it is whole. A line is written after what it speaks of, and never changed: whatever kills a tab, the journal tells the
// truth about what is there, half a line at its end counts for nothing, and every chunk is checked against its line when it is read.

export const CHUNK_BYTES = 1 << 20;

const NAME = 'fireside-lm';

/**
 * The first line of a journal. `pin`: what the file's publisher says that it is; `etag`: what the server called this version of it; `total`: its size.
 * @typedef {{ source: string, pin?: string, etag?: string, total?: number }} Head
 */
/** @typedef {{ read(): Promise<string>, chunk(index: number, length: number): Promise<Uint8Array | undefined>, put(index: number, bytes: Uint8Array): Promise<void>, log(text: string): Promise<void>, remove(): Promise<void>, close(): void }} Place */

/** @typedef {{ file(folder: string, name: string): Promise<Place>, folders(): Promise<{ folder: string, files: string[] }[]>, remove(folder: string): Promise<void> }} Backend */

/** One file of a model, as far as it is stored. */
export class StoredFile {
  #place;
  /** @type {Head | undefined} */
  head;
  /** SHA-256 and length of each chunk that is there, in order. @type {{ sha256: string, bytes: number }[]} */
  chunks = [];
  /** Whether the last chunk is the file's last. */
  whole = false;
  /** The server has no such file, and said so. */
  absent = false;

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

  /** A chunk that is there and is what the journal says. @param {number} index @returns {Promise<Uint8Array | undefined>} */
  async chunk(index) {
    const { sha256, bytes } = this.chunks[index];
    const chunk = await this.#place.chunk(index, bytes).catch(() => undefined);
    return chunk?.length === bytes && (await digest(chunk)) === sha256 ? chunk : undefined;
  }

  /** Begins the file anew. @param {Head} head */
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

  /** The last chunk was the file's last. */
  async finish() {
    await this.#log({ whole: true });
  }

  /** @param {Head} head */
  async markAbsent(head) {
    await this.begin(head);
    await this.#log({ absent: true });
  }

  async remove() {
    await this.#place.remove();
    this.#read('');
  }

  /** Lets go of the file, which others may then write. */
  close() {
    this.#place.close();
  }

  /** @param {object} line */
  async #log(line) {
    await this.#place.log(`${JSON.stringify(line)}\n`);
    this.#take(line);
  }

  /** @param {string} journal */
  #read(journal) {
    [this.head, this.chunks, this.whole, this.absent] = [undefined, [], false, false];
    const lines = journal.split('\n');
    lines.pop(); // what follows the last line feed is half a line, or nothing
    try {
      for (const line of lines) this.#take(JSON.parse(line));
    } catch {
      // A line that is not one ends what can be relied on.
      if (!this.head) this.chunks = [];
    }
  }

  /** @param {any} line */
  #take(line) {
    if ('source' in line) this.head = line;
    else if ('whole' in line) this.whole = true;
    else if ('absent' in line) this.absent = true;
    else if (typeof line.sha256 === 'string' && line.bytes > 0 && line.bytes <= CHUNK_BYTES) this.chunks.push(line);
    else throw new TypeError('not a line of a journal');
  }
}

/** SHA-256 in hexadecimal. Only pages from https and localhost have it, and only they have files. @param {Uint8Array} bytes */
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
    // Only workers may write in place; a page, which does not, asks by the same method whether its workers could.
    const root = await navigator.storage.getDirectory();
    return privateFiles(await root.getDirectoryHandle(NAME, { create: true }));
  } catch {
    // private windows, and sites with storage switched off
  }
  try {
    return responses(await caches.open(NAME));
  } catch {
    return undefined;
  }
}

/**
 * In the origin private file system: a folder for each source; in it the files, and beside each its journal.
 * @param {FileSystemDirectoryHandle} root
 * @returns {Backend}
 */
function privateFiles(root) {
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
      const close = () => {
        for (const handle of writing.values()) handle.then((open) => open.close()).catch(() => {});
        writing.clear();
      };
      /** @param {string} name @returns {Promise<Blob | undefined>} */
      const reader = (name) =>
        directory.getFileHandle(name).then(
          (handle) => handle.getFile(),
          () => undefined,
        );
      return {
        read: async () => (await reader(`${name}.journal`))?.text() ?? '',
        async chunk(index, length) {
          const at = index * CHUNK_BYTES;
          const blob = (await reader(name))?.slice(at, at + length);
          return blob && new Uint8Array(await blob.arrayBuffer());
        },
        async put(index, bytes) {
          write(await writer(name), bytes, index * CHUNK_BYTES);
        },
        async log(text) {
          const journal = await writer(`${name}.journal`);
          write(journal, new TextEncoder().encode(text), journal.getSize());
          if (text.includes('"whole"')) for (const handle of writing.values()) (await handle).flush();
        },
        async remove() {
          close();
          for (const entry of [`${name}.journal`, name]) await directory.removeEntry(entry).catch(absent);
        },
        close,
      };
    },
    async folders() {
      const folders = [];
      for await (const [folder, handle] of entries(root)) {
        if (handle.kind !== 'directory') continue;
        const files = [];
        for await (const [name] of entries(handle)) if (name.endsWith('.journal')) files.push(name.slice(0, -'.journal'.length));
        folders.push({ folder, files });
      }
      return folders;
    },
    remove: (folder) => root.removeEntry(folder, { recursive: true }).catch(absent),
  };
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

/** @param {unknown} error */
function absent(error) {
  if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error;
}

/**
 * In the Cache API: an entry for each journal, which is written anew with every line, and one for each chunk.
 * @param {Cache} cache
 * @returns {Backend}
 */
function responses(cache) {
  const base = `https://${NAME}.invalid/`;
  const remove = async (/** @type {string} */ prefix) => {
    for (const { url } of await cache.keys()) if (url.startsWith(base + prefix)) await cache.delete(url);
  };
  return {
    async file(folder, name) {
      const journal = `${base}${folder}/${name}.journal`;
      const chunk = (/** @type {number} */ index) => `${base}${folder}/${name}.chunks/${index}`;
      const read = async () => (await cache.match(journal))?.text() ?? '';
      return {
        read,
        async chunk(index) {
          const response = await cache.match(chunk(index));
          return response && new Uint8Array(await response.arrayBuffer());
        },
        put: (index, bytes) => cache.put(chunk(index), new Response(/** @type {any} */ (bytes))),
        log: async (text) => cache.put(journal, new Response((await read()) + text)),
        async remove() {
          await cache.delete(journal);
          await remove(`${folder}/${name}.chunks/`);
        },
        close() {},
      };
    },
    async folders() {
      /** @type {Map<string, string[]>} */
      const folders = new Map();
      for (const { url } of await cache.keys()) {
        const [, folder, name] = /^https:\/\/[^/]+\/(\w+)\/(.+)\.journal$/.exec(url) ?? [];
        if (folder) folders.set(folder, [...(folders.get(folder) ?? []), name]);
      }
      return Array.from(folders, ([folder, files]) => ({ folder, files }));
    },
    remove: (folder) => remove(`${folder}/`),
  };
}
