// The worker's side: holds the engine and answers requests, of the page that made the worker and of every
// context that the page lets in by a further port.

import { outOfMemory, toWire } from '../shared/errors.js';
import { Loading } from './loading.js';
import { answer } from './requests.js';
import { Sessions } from './sessions.js';

/** @import { Driver } from './drive.js' */
/** @import { Model } from '../shared/engine.d.ts' */
/** @import { Op, PortLike } from '../shared/protocol.d.ts' */
/** @import { ModelInfo } from '../shared/types.d.ts' */
/** @import { Store } from './model-store.js' */
/** @import { Engine, Handlers, StartEngine } from './types.d.ts' */

/** A memory that cannot grow by these 16 MB is full. Units: pages of 64 KiB. */
const OOM_PAGES = 256;

/** What the worker holds: one engine, one model, and the sessions of each port. */
export class Worker {
  /** @type {Engine | undefined} */
  engine;
  /** @type {Model | undefined} */
  model;
  /** @type {ModelInfo | undefined} */
  info;
  /** The name of the lock that this worker holds. */
  lock = '';
  /** Drives the runs of all ports. @type {Driver | undefined} */
  driver;
  /** @type {Map<PortLike, Sessions>} */
  ports = new Map();

  /**
   * Answers the requests of a port; `loading`: those that load a model too.
   * @param {PortLike} port
   * @param {Loading} [loading]
   */
  listen(port, loading) {
    const sessions = new Sessions(this, port);
    this.ports.set(port, sessions);
    /** @type {Partial<Handlers<Op>>} */
    const handlers = { ...sessions.handlers, ...loading?.handlers };
    const { wake } = answer(port, handlers, (error) => this.#end(error));
    sessions.wake = wake;
    return sessions;
  }

  /** Tells every page that the engine has stopped. @param {unknown} error */
  #end(error) {
    const fatal = toWire(this.#isFull(error) ? outOfMemory() : error);
    for (const port of this.ports.keys()) port.postMessage({ fatal });
  }

  /** Whether a trap is for want of memory. @param {unknown} error */
  #isFull(error) {
    try {
      this.engine?.memory?.grow(OOM_PAGES);
    } catch {
      return true;
    }
    return error instanceof RangeError && /memory/i.test(error.message);
  }
}

/**
 * @param {PortLike} port
 * @param {StartEngine} start
 * @param {Store} [store] where files are stored, if not where browsers store them
 */
export function serve(port, start, store) {
  const worker = new Worker();
  worker.listen(port, new Loading(worker, start, store));
}
