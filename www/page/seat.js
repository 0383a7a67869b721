// The model of a view: which one was chosen, and how far it has loaded. A model chosen in both views is
// loaded once. Each view has its own sessions.

import { Model } from '../lib/index.js';

/** @typedef {import('../lib/index.js').Progress} Progress */
/**
 * @typedef {object} Choice
 * @property {string} key identifies the model
 * @property {() => string} name as shown, in the current language
 * @property {import('../lib/index.js').Source} source
 * @property {boolean} [bundled] one of our models, which write English
 * @property {'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4'} [dtype]
 */

/**
 * Loaded models and the number of seats that use each.
 * @type {Map<string, { model: Model, seats: number }>}
 */
const shelf = new Map();

export class Seat extends EventTarget {
  /** The model that is in use, or will be after ready(). @type {Choice} */
  choice;
  /** The model that is loading. @type {Choice | undefined} */
  coming;
  /** @type {Progress | 'starting' | undefined} */
  progress;
  #key = '';
  /** @type {Model | undefined} */
  #model;
  /** @type {Promise<Model> | undefined} */
  #loading;
  #controller = new AbortController();

  /** @param {Choice} choice */
  constructor(choice) {
    super();
    this.choice = choice;
  }

  /** The model in use, if it is loaded. */
  get model() {
    return this.#model;
  }

  /**
   * The model, loaded if necessary. The signal ends the wait, not the load.
   * @param {AbortSignal} [signal]
   * @returns {Promise<Model>}
   */
  ready(signal) {
    if (this.#model && !this.#loading) return Promise.resolve(this.#model);
    const loading = (this.#loading ??= this.#load(this.choice));
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      loading.then(resolve, reject);
    });
  }

  /**
   * Changes to another model. The current one stays until the new one has loaded, and also if that fails.
   * @param {Choice} choice
   */
  use(choice) {
    this.cancel();
    this.#loading = this.#load(choice);
    return this.#loading;
  }

  /** Cancels the load. */
  cancel() {
    this.#controller.abort();
    this.#loading = undefined;
  }

  /**
   * Recovers the model with its conversations after its engine has crashed. If that fails, loads it again
   * without them.
   */
  recover() {
    const model = this.#model;
    model?.stats().catch(() => model === this.#model && this.#revive(model));
  }

  /** @param {Model} model */
  #revive(model) {
    const revived = model.reload().then(
      () => model,
      () => {
        shelf.delete(this.#key);
        this.#leave();
        return this.#load(this.choice);
      },
    );
    revived.catch(() => {}); // the next call reports the error
    const loading = revived.finally(() => {
      if (this.#loading === loading) this.#loading = undefined;
      this.#tell();
    });
    loading.catch(() => {});
    this.#loading = loading;
  }

  /** @param {Choice} choice @returns {Promise<Model>} */
  async #load(choice) {
    const controller = (this.#controller = new AbortController());
    const { signal } = controller;
    const current = () => controller === this.#controller && !signal.aborted;
    this.coming = choice;
    this.progress = 'starting';
    this.#tell();
    try {
      const model = shelf.get(choice.key)?.model ?? (await this.#fetch(choice, signal, current));
      if (!shelf.has(choice.key)) shelf.set(choice.key, { model, seats: 0 });
      const place = shelf.get(choice.key);
      if (place) place.seats += 1; // before leaving, because it may be the same place
      this.#leave();
      this.#key = choice.key;
      this.choice = choice;
      this.#model = model;
      return model;
    } finally {
      if (controller === this.#controller) {
        this.progress = this.coming = undefined;
        this.#loading = undefined;
        this.#tell();
      }
    }
  }

  /**
   * @param {Choice} choice
   * @param {AbortSignal} signal
   * @param {() => boolean} current
   */
  #fetch({ source, dtype = 'auto', bundled = false }, signal, current) {
    const onProgress = (/** @type {Progress} */ progress) => {
      if (!current()) return;
      this.progress = progress;
      this.#tell();
    };
    return Model.load(source, { dtype, lock: bundled, onProgress, signal });
  }

  #leave() {
    this.#model = undefined;
    const place = shelf.get(this.#key);
    if (place && --place.seats <= 0) {
      place.model.dispose();
      shelf.delete(this.#key);
    }
    this.#key = '';
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
