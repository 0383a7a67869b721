// A fake of a browser's origin private file system and locks, in memory. It can crash at a write: earlier
// writes stay, this one is written only in part, and nothing works until `revive()`.

export class Disk {
  /** Files by path. @type {Map<string, Uint8Array>} */
  files = new Map();
  /** How many writes succeed before the crash; Infinity: no crash. */
  writes = Infinity;
  /** The capacity in bytes. */
  quota = Infinity;
  /** Paths that are open for writing. @type {Set<string>} */
  #open = new Set();
  /** @type {Map<string, Promise<unknown>>} */
  #locks = new Map();

  /** Starts again after a crash: nothing is open or locked. */
  revive() {
    this.writes = Infinity;
    this.#open.clear();
    this.#locks.clear();
  }

  /** The parts of `navigator` that the library uses. */
  navigator() {
    return {
      storage: { getDirectory: async () => this.#folder('') },
      locks: {
        /**
         * @param {string} name
         * @param {any} options
         * @param {() => Promise<unknown>} [job]
         */
        request: (name, options, job = options) => {
          const turn = (this.#locks.get(name) ?? Promise.resolve()).then(() => job());
          this.#locks.set(name, turn.catch(() => {}));
          return turn;
        },
      },
    };
  }

  /**
   * @param {string} path
   * @param {Uint8Array} bytes
   * @param {number} at
   */
  write(path, bytes, at) {
    if (this.writes-- <= 0) throw new DOMException('gone', 'InvalidStateError');
    const before = this.files.get(path) ?? new Uint8Array();
    const part = this.writes < 0 || this.writes === 0 ? bytes.subarray(0, bytes.length >> 1) : bytes;
    const used = [...this.files.values()].reduce((sum, { length }) => sum + length, 0);
    if (used - before.length + Math.max(before.length, at + part.length) > this.quota) throw new DOMException('full', 'QuotaExceededError');
    const after = new Uint8Array(Math.max(before.length, at + part.length));
    after.set(before);
    after.set(part, at);
    this.files.set(path, after);
    if (this.writes === 0) throw new DOMException('gone', 'InvalidStateError');
    return part.length;
  }

  /** @param {string} path */
  #folder(path) {
    const disk = this;
    const absent = () => new DOMException(path, 'NotFoundError');
    return {
      kind: 'directory',
      /** @param {string} name */
      getDirectoryHandle: async (name) => disk.#folder(`${path}${name}/`),
      /**
       * @param {string} name
       * @param {{ create?: boolean }} [options]
       */
      async getFileHandle(name, { create = false } = {}) {
        const file = path + name;
        if (!disk.files.has(file)) {
          if (!create) throw absent();
          disk.files.set(file, new Uint8Array());
        }
        return {
          kind: 'file',
          getFile: async () => new Blob([/** @type {any} */ (disk.files.get(file))]),
          async createSyncAccessHandle() {
            if (disk.#open.has(file)) throw new DOMException(file, 'NoModificationAllowedError');
            disk.#open.add(file);
            return {
              write: (/** @type {Uint8Array} */ bytes, /** @type {{ at: number }} */ { at }) => disk.write(file, bytes, at),
              truncate: (/** @type {number} */ size) => disk.files.set(file, (disk.files.get(file) ?? new Uint8Array()).slice(0, size)),
              flush() {},
              close: () => disk.#open.delete(file),
            };
          },
        };
      },
      /**
       * @param {string} name
       * @param {{ recursive?: boolean }} [options]
       */
      async removeEntry(name, { recursive = false } = {}) {
        const doomed = [...disk.files.keys()].filter((file) => file === path + name || (recursive && file.startsWith(`${path}${name}/`)));
        if (!doomed.length) throw absent();
        if (doomed.some((file) => disk.#open.has(file))) throw new DOMException(name, 'NoModificationAllowedError');
        for (const file of doomed) disk.files.delete(file);
      },
      async *entries() {
        const names = new Set([...disk.files.keys()].filter((file) => file.startsWith(path)).map((file) => file.slice(path.length)));
        const folders = new Set([...names].filter((name) => name.includes('/')).map((name) => name.split('/')[0]));
        for (const name of folders) yield [name, disk.#folder(`${path}${name}/`)];
        for (const name of names) if (!name.includes('/')) yield [name, await this.getFileHandle(name)];
      },
    };
  }
}
