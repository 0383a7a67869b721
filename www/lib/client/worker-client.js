// The page's end of the worker. A request has exactly one end: its reply, its abort, or the end of the
// worker, whichever is first.

import { abortError, badInput, crashed, FiresideError, fromWire } from '../shared/errors.js';
import { lockName, lockReleased } from '../shared/locks.js';

/** @import { Args, Op, PieceOf, Reply, Request, Result, ThreadCode } from '../shared/protocol.d.ts' */
/** @import { ThreadLike, WorkerLike } from '../shared/protocol.d.ts' */
/** @import { Platform } from './types.d.ts' */

/**
 * A request without its end yet. Its operation is known where it was made, and its reply is of that
 * operation.
 * @typedef {object} Pending
 * @property {(result: Result<Op>) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {((piece: PieceOf<Op>) => void) | undefined} onPiece
 * @property {number | undefined} session
 * @property {() => void} heard
 */

/**
 * How a request is made. `silenceMs`: with neither a piece nor an end for so long, the worker is taken to
 * be stuck; `begun`: called once the request is under way, with what lets the worker post pieces up to a
 * number.
 * @template {Op} O
 * @typedef {{ transfer?: Transferable[], onPiece?: (piece: PieceOf<O>) => void, signal?: AbortSignal,
 *   silenceMs?: number, begun?: (pace: (until: number) => void) => void }} How
 */

/** The detail of an error event that has no message. */
export const SILENT = 'its worker script could not be loaded or threw';

/** What changes the conversation when it has ended. @type {Set<Op>} */
const CHANGES = new Set(['chat', 'regenerate', 'append']);

export class WorkerClient {
  #worker;
  #hold;
  /** Lets the process end, where it is held. @type {(() => void) | undefined} */
  #letGo;
  #nextId = 1;
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  /** Workers that the engine's threads run in. @type {ThreadLike[]} */
  #threads = [];
  /** Why the worker is gone, once it is. @type {unknown} */
  #gone;
  /** Whether the worker has ever said anything. One that has not may never have started. */
  heard = false;

  /** Whether it is watched for its end. */
  #watch = new AbortController();
  /** The name of the worker's lock; none where an event tells of its end. @type {string | undefined} */
  name;

  /**
   * @param {WorkerLike} worker
   * @param {Platform['hold']} [hold] keeps the process alive while a request is open
   */
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
   * @template {Op} O
   * @param {O} op
   * @param {Args<O>} args
   * @param {How<O>} [how]
   * @returns {Promise<Result<O>>}
   */
  request(op, args, { transfer = [], onPiece, signal, silenceMs, begun } = {}) {
    if (this.#gone) return Promise.reject(this.#gone);
    if (signal?.aborted) return Promise.reject(abortError(signal));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      try {
        this.#worker.postMessage(/** @type {Request} */ ({ id, op, args }), transfer);
      } catch (cause) {
        reject(badInput(op, 'plain data that can be sent to a worker', cause instanceof Error ? cause.message : cause));
        return;
      }
      const onAbort = () => {
        // The page does not wait for the worker to notice, and ignores what it says afterwards.
        if (!this.#pending.has(id)) return;
        this.#worker.postMessage({ abort: id });
        // Only the worker knows whether a turn became part of the conversation before the abort arrived.
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
        session: 'session' in args ? args.session : undefined,
      });
      begun?.((until) => this.#pending.has(id) && this.#worker.postMessage({ pace: id, until }));
    });
  }

  /** Why the worker is gone, if it is. */
  get gone() {
    return this.#gone;
  }

  /**
   * No event tells a page that a worker was ended. But the worker holds a lock for as long as it lives
   * (worker/loading.js).
   */
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
   * Starts a thread of the engine, which ends with it. Resolves with whether it has started; never rejects.
   * @param {() => ThreadLike} spawn
   * @param {ThreadCode} code
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
        thread.postMessage(code);
      } catch {
        resolve(false);
      }
    });
  }

  /**
   * Ends the worker, which frees its memory, and every request. Further requests fail with the same error.
   * @param {unknown} error
   */
  close(error) {
    if (this.#gone) {
      // Disposing after a crash still counts.
      if (error instanceof FiresideError && error.code === 'DISPOSED') this.#gone = error;
      return;
    }
    this.#gone = error;
    this.#watch.abort();
    // An engine that ends in its own time may be in the middle of a step that needs its threads.
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

/**
 * The worker of another context, reached by a port.
 * @param {MessagePort} port
 * @param {() => void} release called when the port is closed
 * @returns {WorkerLike}
 */
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
  // Some browsers say when the other end is gone. Elsewhere the engine's lock does.
  port.addEventListener('close', () => worker.onerror?.({ message: 'its port was closed' }));
  // In Node a port with a listener keeps the process alive.
  Reflect.get(port, 'unref')?.call(port);
  return worker;
}
