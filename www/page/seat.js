// A view's model: which was chosen, and how far it has loaded. One chosen in both views is loaded once. The sessions on it are the views' own.

import { Model } from '../lib/index.js';

/** @typedef {import('../lib/index.js').Progress} Progress */
/**
 * @typedef {object} Choice
 * @property {string} key the same key is the same model
 * @property {() => string} name as shown, in the language in use
 * @property {import('../lib/index.js').Source} source
 * @property {boolean} [bundled] ours, and in English
 * @property {'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4'} [dtype]
 */

/** Loaded models and the number of seats that use each. @type {Map<string, { model: Model, seats: number }>} */
const shelf = new Map();

export class Seat extends EventTarget {
  /** What is in use, or will be by ready(). @type {Choice} */
  choice;
  /** What is being loaded, and how far. @type {Choice | undefined} */
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

  /** The model in use, if one is loaded. */
  get model() {
    return this.#model;
  }

  /** The model, loading it first where need be. The signal ends the wait, not the loading. @param {AbortSignal} [signal] @returns {Promise<Model>} */
  ready(signal) {
    if (this.#model && !this.#loading) return Promise.resolve(this.#model);
    const loading = (this.#loading ??= this.#load(this.choice));
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      loading.then(resolve, reject);
    });
  }

  /** Changes to another model. The one in use stays until the new one is there, and for good if that fails. @param {Choice} choice */
  use(choice) {
    this.cancel();
    this.#loading = this.#load(choice);
    return this.#loading;
  }

  /** Gives up loading. */
  cancel() {
    this.#controller.abort();
    this.#loading = undefined;
  }

  /** Brings back the model, if its engine has stopped, with the conversations on it; where that fails, it is loaded anew, without them. */
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
    revived.catch(() => {}); // whoever asks next is told
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
      if (place) place.seats += 1; // before leaving: it may be the same one
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

  /** @param {Choice} choice @param {AbortSignal} signal @param {() => boolean} current */
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
