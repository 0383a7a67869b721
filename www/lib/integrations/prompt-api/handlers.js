// Event handlers as attributes (`oncontextoverflow = ...`), as every EventTarget of the platform has them.

/** @import { TypedEventTarget } from '../../shared/types.d.ts' */
/** @import { MonitorEventMap } from './types.d.ts' */

export class Handlers {
  #target;
  /** @type {Map<string, { callback: Function, listener: (event: Event) => void }>} */
  #handlers = new Map();

  /** @param {EventTarget} target */
  constructor(target) {
    this.#target = target;
  }

  /** @param {string} type @returns {any} */
  of(type) {
    return this.#handlers.get(type)?.callback ?? null;
  }

  /** @param {string} type @param {unknown} callback anything but a function takes the handler away */
  set(type, callback) {
    const present = this.#handlers.get(type);
    if (present) this.#target.removeEventListener(type, present.listener);
    this.#handlers.delete(type);
    if (typeof callback !== 'function') return;
    const listener = (/** @type {Event} */ event) => callback.call(this.#target, event);
    this.#handlers.set(type, { callback, listener });
    this.#target.addEventListener(type, listener);
  }
}

/** What `create()` hands to its `monitor`: a target of `downloadprogress`. */
export class CreateMonitor extends /** @type {new () => TypedEventTarget<MonitorEventMap>} */ (EventTarget) {
  #handlers = new Handlers(this);
  #loaded = -1;

  /** @returns {((event: ProgressEvent) => void) | null} */
  get ondownloadprogress() {
    return this.#handlers.of('downloadprogress');
  }
  set ondownloadprogress(callback) {
    this.#handlers.set('downloadprogress', callback);
  }

  /**
   * Reports a share of 1, rounded to 1/2^16 as the specification demands, and never less than before.
   * @internal
   * @param {number} share
   */
  tell(share) {
    const loaded = Math.floor(Math.min(share, 1) * 65_536) / 65_536;
    if (loaded <= this.#loaded) return;
    this.#loaded = loaded;
    this.dispatchEvent(progressEvent({ lengthComputable: true, loaded, total: 1 }));
  }
}

/** Node has no ProgressEvent. @param {{ lengthComputable: boolean, loaded: number, total: number }} init */
function progressEvent(init) {
  if (typeof ProgressEvent === 'function') return new ProgressEvent('downloadprogress', init);
  return Object.assign(new Event('downloadprogress'), init);
}
