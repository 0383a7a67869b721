// A model: weights and tokenizer in a worker of their own, shared by any number of sessions.

import { badInput, disposed } from './errors.js';
import { load } from './load.js';
import { browser } from './platform.js';
import { Session } from './session.js';

export class Model {
  #client;
  #info;
  #disposed = false;

  /**
   * Use `Model.load`.
   * @internal
   * @param {import('./worker-client.js').WorkerClient} client
   * @param {import('./types.d.ts').ModelInfo} info
   */
  constructor(client, info) {
    this.#client = client;
    this.#info = Object.freeze(info);
  }

  /**
   * Loads a model in Hugging Face layout. Rejects with a FiresideError, or with an AbortError where `signal` says stop.
   * @param {import('./types.d.ts').Source} source
   * @param {import('./types.d.ts').LoadOptions} [options]
   */
  static async load(source, options) {
    const { client, info } = await load(source, options, browser);
    return new Model(client, info);
  }

  /** Opens a session; sessions share the weights, not their history. */
  session() {
    if (this.#disposed) throw disposed('this model');
    return new Session(this, this.#client, false);
  }

  /** What the model is, how much memory it takes, and the defaults it was published with. */
  info() {
    return this.#info;
  }

  /** Token ids. `special`: special tokens in the text are recognised, and those that begin a prompt added. @param {string} text @param {{ special?: boolean }} [options] @returns {Promise<Uint32Array>} */
  async tokenize(text, options) {
    if (typeof text !== 'string') throw badInput('text', 'a string', text);
    return this.#request('tokenize', { text, options });
  }

  /** Text of token ids. @param {ArrayLike<number>} ids @param {{ skipSpecial?: boolean }} [options] @returns {Promise<string>} */
  async detokenize(ids, options) {
    const list = Array.from(ids ?? [NaN]);
    if (!list.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 32)) throw badInput('ids', 'a list of token ids', ids);
    return this.#request('detokenize', { ids: Uint32Array.from(list), options });
  }

  /** Ends the worker, which frees weights, caches and all. Sessions on this model reject with DISPOSED. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#client.close(disposed('this model'));
  }

  [Symbol.dispose ?? Symbol.for('Symbol.dispose')]() {
    this.dispose();
  }

  /** @param {string} op @param {Record<string, unknown>} args @returns {Promise<any>} */
  #request(op, args) {
    return this.#client.request(op, args);
  }
}
