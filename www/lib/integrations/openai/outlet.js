// The body of an answer, on its way to a client that may not read it. It holds a bounded number of bytes,
// and the writer waits when it is full. A client that reads nothing for `stallMs` is disconnected.

/** Bytes of one chunk. */
const CHUNK_BYTES = 16_384;

/** Whole answers that wait to be read, all together. Units: bytes. */
const HELD_BYTES_MAX = 64 * 2 ** 20;

/** @typedef {{ bufferBytesMax: number, stallMs: number }} OutletLimits */
/** A full outlet: wait for room, or end it. @typedef {{ room: Promise<void>, cut: () => void }} Full */

export class Outlet {
  /** @type {ReadableStreamDefaultController<Uint8Array>} */
  #controller = /** @type {any} */ (undefined);
  #encoder = new TextEncoder();
  #gone = new AbortController();
  #signal;
  #limits;
  /** Called when something was read, or nobody will read any more. @type {Set<() => void>} */
  #waiting = new Set();

  /**
   * @param {AbortSignal} signal of the request; once it aborts, nothing waits
   * @param {OutletLimits} limits
   */
  constructor(signal, limits) {
    this.#limits = limits;
    const wake = () => {
      for (const wake of this.#waiting) wake();
    };
    this.body = new ReadableStream(
      { start: (controller) => void (this.#controller = controller), pull: wake, cancel: (reason) => this.#gone.abort(reason) },
      { highWaterMark: limits.bufferBytesMax, size: (chunk) => chunk?.byteLength ?? 0 },
    );
    this.#signal = AbortSignal.any([signal, this.#gone.signal]);
    this.#signal.addEventListener('abort', wake, { once: true });
  }

  /** Aborted with the request, and when nobody reads any more. */
  get signal() {
    return this.#signal;
  }

  /** Writes, whether there is room or not. @param {string | Uint8Array} data */
  send(data) {
    if (this.#gone.signal.aborted) return;
    const bytes = typeof data === 'string' ? this.#encoder.encode(data) : data;
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) this.#controller.enqueue(bytes.subarray(at, at + CHUNK_BYTES));
  }

  /** Undefined where there is room. @returns {Full | undefined} */
  full() {
    if (this.#free > 0) return undefined;
    return { room: this.#reach(1), cut: () => this.cut('the room was needed for others') };
  }

  /** Writes what may be long, no faster than it is read. @param {Uint8Array} bytes */
  async pour(bytes) {
    for (let at = 0; at < bytes.length && !this.#signal.aborted; at += CHUNK_BYTES) {
      this.send(bytes.subarray(at, at + CHUNK_BYTES));
      await this.#reach(1);
    }
  }

  /** Closes it when all has been read. */
  async end() {
    await this.#reach(this.#limits.bufferBytesMax);
    if (!this.#gone.signal.aborted) this.#controller.close();
  }

  /** Breaks it off: the connection ends with it. @param {unknown} reason */
  cut(reason) {
    if (this.#gone.signal.aborted) return;
    this.#controller.error(reason);
    this.#gone.abort(reason);
  }

  get #free() {
    return this.#controller.desiredSize ?? 0;
  }

  /** Waits until `bytes` are free. @param {number} bytes */
  async #reach(bytes) {
    let free = this.#free;
    while (free < bytes && !this.#signal.aborted) {
      const isMoving = await this.#move();
      if (!isMoving && this.#free === free) this.cut(`the client read nothing for ${this.#limits.stallMs} ms`);
      free = this.#free;
    }
  }

  /**
   * Resolves with true when the client reads, and with false after `stallMs`.
   * @returns {Promise<boolean>}
   */
  #move() {
    return new Promise((resolve) => {
      const end = (/** @type {boolean} */ isMoving) => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(isMoving);
      };
      const wake = () => end(true);
      const timer = setTimeout(end, this.#limits.stallMs, false);
      /** @type {any} */ (timer).unref?.();
      this.#waiting.add(wake);
    });
  }
}

/**
 * Complete answers that wait to be read. They share one bound; beyond it, the ones that have waited longest
 * are cut.
 */
export class Wholes {
  /** @type {Map<Outlet, number>} */
  #held = new Map();

  /** @param {Outlet} outlet @param {string} text */
  async pour(outlet, text) {
    const bytes = new TextEncoder().encode(text);
    this.#held.set(outlet, bytes.length);
    let total = 0;
    for (const length of this.#held.values()) total += length;
    for (const [other, length] of this.#held) {
      if (total <= HELD_BYTES_MAX || other === outlet) break;
      other.cut('the memory was needed for others');
      total -= length;
    }
    try {
      await outlet.pour(bytes);
      await outlet.end();
    } finally {
      this.#held.delete(outlet);
    }
  }
}
