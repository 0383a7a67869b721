// The page's end of the worker. One request has exactly one end: its reply, its abort, or the end of the worker, whichever comes first.

import { abortError, badInput, crashed, FiresideError, fromWire } from '../shared/errors.js';
import { lockName, lockReleased } from '../shared/locks.js';

/** @import { Platform, Reply, WorkerLike } from '../shared/types.d.ts' */
/**
 * @typedef {object} Pending
 * @property {(result: any) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {((piece: any) => void) | undefined} onPiece
 * @property {number | undefined} session
 * @property {() => void} heard
 */

/** What an error event without a message says: the script threw, or could not be loaded. */
export const SILENT = 'its worker script could not be loaded or threw';

/** What changes the conversation when it has ended. */
const CHANGES = new Set(['chat', 'regenerate', 'append']);

export class WorkerClient {
  #worker;
  #hold;
  /** Lets the process end, where it is held. @type {(() => void) | undefined} */
  #letGo;
  #nextId = 1;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** Workers that the engine's threads run in. @type {WorkerLike[]} */
  #threads = [];
  /** Why the worker is gone, once it is. @type {unknown} */
  #gone;
  /** Whether the worker has ever said anything; one that has not may never have been there. */
  heard = false;

  /** Whether it is watched for its end. */
  #watch = new AbortController();
  /** What the worker's own lock is called; none where an event tells of its end. @type {string | undefined} */
  name;

  /** @param {WorkerLike} worker @param {Platform['hold']} [hold] keeps the process alive while a request is open */
  constructor(worker, hold) {
    this.#worker = worker;
    this.#hold = hold;
    if (!worker.tellsItsEnd) this.name = lockName('worker');
    worker.onmessage = ({ data }) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault?.();
      this.close(crashed(event.message || SILENT));
    };
    // As a listener: Chromium knows no `onmessageerror` of workers.
    worker.addEventListener?.('messageerror', () => this.close(crashed('a message from the worker could not be read')));
  }

  /**
   * @param {string} op
   * @param {Record<string, unknown>} [args] `args.session`, where present, ties the request to that session
   * @param {{ transfer?: Transferable[], onPiece?: (piece: any) => void, signal?: AbortSignal, silenceMs?: number, begun?: (pace: (until: number) => void) => void }} [how] `silenceMs`: with neither a piece nor an end for so
   *   long, the worker is taken to be stuck; `begun`: called, once it is under way, with what lets it give pieces up to a number
   * @returns {Promise<any>}
   */
  request(op, args = {}, { transfer = [], onPiece, signal, silenceMs, begun } = {}) {
    if (this.#gone) return Promise.reject(this.#gone);
    if (signal?.aborted) return Promise.reject(abortError(signal));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      try {
        this.#worker.postMessage({ id, op, args }, transfer);
      } catch (cause) {
        reject(badInput(op, 'plain data that can be sent to a worker', cause instanceof Error ? cause.message : cause));
        return;
      }
      const onAbort = () => {
        // The page need not wait for the worker to notice; what the worker says about it afterwards is nobody's.
        if (!this.#pending.has(id)) return;
        this.#worker.postMessage({ abort: id });
        // But whether a turn became part of the conversation before the abort arrived, only the worker knows.
        if (!CHANGES.has(op)) this.#settle(id, (pending) => pending.reject(abortError(signal)));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let silence;
      const heard = () => {
        clearTimeout(silence);
        if (silenceMs) silence = setTimeout(() => this.close(crashed(`its worker was silent for ${silenceMs / 1000} seconds`)), silenceMs);
      };
      heard();
      this.#letGo ??= this.#hold?.();
      const unlisten = () => {
        clearTimeout(silence);
        signal?.removeEventListener('abort', onAbort);
      };
      this.#pending.set(id, {
        resolve: (result) => (unlisten(), resolve(result)),
        reject: (error) => (unlisten(), reject(signal?.aborted && !this.#gone ? abortError(signal) : error)),
        onPiece,
        heard,
        session: /** @type {number | undefined} */ (args.session),
      });
      begun?.((until) => this.#pending.has(id) && this.#worker.postMessage({ pace: id, until }));
    });
  }

  /** Why the worker is gone, if it is. */
  get gone() {
    return this.#gone;
  }

  /** No event tells a page that a worker has been ended. But the worker holds a lock for as long as it lives (worker/engine.js). */
  watch() {
    const ended = () => this.close(crashed('its worker was ended by the browser or by the page'));
    if (this.name) lockReleased(this.name, this.#watch.signal).then(ended, () => {});
  }

  /** Ends every request of one session. @param {number} session @param {unknown} error */
  closeSession(session, error) {
    for (const [id, pending] of this.#pending) {
      if (pending.session !== session) continue;
      this.#worker.postMessage({ abort: id });
      this.#settle(id, () => pending.reject(error));
    }
  }

  /**
   * Starts a thread of the engine's, which ends with it. Resolves with whether it is there; never rejects.
   * @param {() => WorkerLike} spawn
   * @param {object} code what the thread runs
   * @returns {Promise<boolean>}
   */
  startThread(spawn, code) {
    return new Promise((resolve) => {
      if (this.#gone) return resolve(false);
      try {
        const thread = spawn();
        this.#threads.push(thread);
        let isThere = false;
        thread.onmessage = () => resolve((isThere = true));
        thread.onerror = (event) => {
          event.preventDefault?.();
          if (isThere) this.close(crashed(event.message || 'a thread of it ended'));
          resolve(false);
        };
        thread.onmessageerror = () => resolve(false);
        thread.postMessage(/** @type {any} */ (code));
      } catch {
        resolve(false);
      }
    });
  }

  /** Ends the worker, which frees all that it held, and every request. Further requests fail with the same error. @param {unknown} error */
  close(error) {
    if (this.#gone) {
      // What was disposed of after a crash has been disposed of.
      if (error instanceof FiresideError && error.code === 'DISPOSED') this.#gone = error;
      return;
    }
    this.#gone = error;
    this.#watch.abort();
    // An engine that ends in its own time may be in the middle of a step, which waits for its threads.
    const ending = this.#worker.terminate();
    const endThreads = () => this.#threads.forEach((thread) => thread.terminate());
    if (ending instanceof Promise) void ending.then(endThreads, endThreads);
    else endThreads();
    for (const id of [...this.#pending.keys()]) this.#settle(id, (pending) => pending.reject(error));
  }

  /** @param {Reply} reply */
  #receive(reply) {
    this.heard = true;
    if ('fatal' in reply) this.close(fromWire(reply.fatal));
    else if ('piece' in reply) {
      const pending = this.#pending.get(reply.id);
      pending?.heard();
      pending?.onPiece?.(reply.piece);
    }
    else if ('error' in reply) this.#settle(reply.id, (pending) => pending.reject(fromWire(reply.error)));
    else this.#settle(reply.id, (pending) => pending.resolve(reply.result));
  }

  /** @param {number} id @param {(pending: Pending) => void} end */
  #settle(id, end) {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    if (this.#pending.size === 0) {
      this.#letGo?.();
      this.#letGo = undefined;
    }
    end(pending);
  }
}

/** The worker of another context, as a port leads to it. @param {MessagePort} port @param {() => void} release called when it is left @returns {WorkerLike} */
export function overPort(port, release) {
  /** @type {WorkerLike} */
  const worker = {
    onmessage: null,
    postMessage: (message, transfer) => port.postMessage(message, transfer ?? []),
    terminate() {
      port.postMessage({ id: 0, op: 'bye', args: {} });
      port.close();
      release();
    },
  };
  port.onmessage = (event) => worker.onmessage?.(event);
  // Where ports tell that nobody is at the other end any more; elsewhere the engine's lock does.
  port.addEventListener('close', () => worker.onerror?.({ message: 'its port was closed' }));
  // In Node, where a port with a listener keeps the process alive.
  Reflect.get(port, 'unref')?.call(port);
  return worker;
}
