/// <reference lib="esnext.disposable" preserve="true" />
// Model: the page's proxy of a loaded model, which any number of sessions share. Its state is in a worker.

import { badInput, crashed, disposed } from '../shared/errors.js';
import { load } from './load.js';
import { holdLock, lockName } from '../shared/locks.js';
import { plainOptions, sessionOptions } from './options.js';
import { platform } from './platform.js';
import { Session } from './session.js';
import { overPort, WorkerClient } from './worker-client.js';

/** @import { Args, Op, Result } from '../shared/protocol.d.ts' */
/** @import { Estimate, LoadOptions, ModelInfo, ModelStats, SessionOptions } from '../shared/types.d.ts' */
/** @import { Source, TokenPiece } from '../shared/types.d.ts' */

/** For `using`, where a browser has it. @type {typeof Symbol.dispose} */
const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/**
 * How long an engine may take to answer a context that comes in: it is loaded, and computes for a twentieth
 * of a second at a time.
 */
const HELLO_MS = 10_000;

/** @typedef {(signal?: AbortSignal) => Promise<{ client: WorkerClient, info: ModelInfo }>} Load */

export class Model {
  #client;
  #info;
  /** Undefined where the source could be read only once. */
  #load;
  #disposed = false;
  /** Sessions on this model, which come back with it. @type {Set<Session>} */
  #sessions = new Set();
  /** Ends a reload. @type {AbortController | undefined} */
  #stop;
  /** A reload under way. @type {Promise<void> | undefined} */
  #reloading;

  /**
   * Use `Model.load`.
   * @internal
   * @param {{ client: WorkerClient, info: ModelInfo, again: boolean }} loaded
   * @param {Load} [load] loads the same once more
   */
  constructor({ client, info, again }, load) {
    this.#client = client;
    this.#info = Object.freeze(info);
    this.#load = again ? load : undefined;
  }

  /**
   * Loads a model in Hugging Face layout. Rejects with a FiresideError, or with an AbortError where
   * `signal` says stop. Writes one warning to the console where settings of the model's files are not used;
   * `info().ignoredConfig` lists them.
   * @param {Source} source
   * @param {LoadOptions} [options]
   */
  static async load(source, options) {
    // A signal and a progress bar belong to the first load.
    const { signal: _, onProgress: __, ...lasting } = options ?? {};
    const loaded = await load(source, options, platform);
    const { ignoredConfig } = loaded.info;
    if (ignoredConfig.length) console.warn(`fireside: this model's configuration files hold settings that are not used: ${ignoredConfig.join(', ')}.`);
    return new Model(loaded, (signal) => load(source, { ...lasting, signal }, platform));
  }

  /**
   * What a model would take, learnt from its config and the headers of its weight files alone: nothing else
   * is fetched. Rejects as `load` does.
   * @param {Source} source
   * @param {LoadOptions} [options]
   * @returns {Promise<Estimate>}
   */
  static async estimate(source, options) {
    const { estimate } = await import('./estimate.js');
    return estimate(source, options, platform);
  }

  /**
   * A model whose engine is another context's: of a `port()` that came from there, in a service worker say.
   * Its sessions are its own, and `dispose` frees them alone. Rejects with CRASHED where nobody answers.
   * @param {MessagePort} port
   */
  static async attach(port) {
    if (!(port instanceof MessagePort)) throw badInput('port', 'a MessagePort', port);
    const alive = lockName('client');
    const release = await holdLock(alive);
    const client = new WorkerClient(overPort(port, release), platform.hold);
    try {
      const { info, name } = await client.request('hello', { alive }, { silenceMs: HELLO_MS });
      client.name = name;
      client.watch();
      return new Model({ client, info, again: false });
    } catch (error) {
      client.close(error);
      throw error;
    }
  }

  /**
   * Opens a session; sessions share the weights, not their history. Throws BAD_OPTION.
   * @param {SessionOptions} [options]
   */
  session(options) {
    if (this.#disposed) throw disposed('this model');
    return new Session(this, { options: sessionOptions(options) });
  }

  /**
   * What the sessions of this model hold together, those of all its contexts.
   * @returns {Promise<ModelStats>}
   */
  stats() {
    return this.#request('modelStats', {});
  }

  /**
   * A port by which another context can use this model: transfer it there, and `Model.attach` it.
   * @returns {Promise<MessagePort>}
   */
  async port() {
    const { port1, port2 } = new MessageChannel();
    await this.#client.request('connect', { port: port2 }, { transfer: [port2] });
    return port1;
  }

  /**
   * Loads the model once more, from the cache where it is there, into a new worker: after `CRASHED` or
   * `OUT_OF_MEMORY` everything works again. Its sessions come back with their conversations; calls under
   * way reject with CRASHED. A source that could be read only once, a stream, rejects with BAD_INPUT.
   */
  reload() {
    if (this.#disposed) return Promise.reject(disposed('this model'));
    if (!this.#load) return Promise.reject(badInput('source', 'one that can be read again', 'a stream, a Response, or a port'));
    this.#reloading ??= this.#reload(this.#load).finally(() => (this.#reloading = undefined));
    return this.#reloading;
  }

  /** @param {Load} load */
  async #reload(load) {
    this.#client.close(crashed('the model is being loaded again'));
    this.#stop = new AbortController();
    const { client, info } = await load(this.#stop.signal).catch((error) => {
      throw this.#disposed ? disposed('this model') : error;
    });
    if (this.#disposed) {
      client.close(disposed('this model'));
      throw disposed('this model');
    }
    this.#client = client;
    this.#info = Object.freeze(info);
    for (const session of this.#sessions) session.open();
  }

  /** Of its sessions alone. @internal @param {Session} session @param {boolean} isOpen */
  hold(session, isOpen) {
    if (isOpen) this.#sessions.add(session);
    else this.#sessions.delete(session);
  }

  /** The worker's other end, for sessions alone. @internal */
  get client() {
    return this.#client;
  }

  /** What the model is, how much memory it takes, and the defaults it was published with. */
  info() {
    return this.#info;
  }

  /**
   * Token ids. `special`: special tokens in the text are recognised, and those that begin a prompt added.
   * @param {string} text
   * @param {{ special?: boolean }} [options]
   * @returns {Promise<Uint32Array>}
   */
  async tokenize(text, options) {
    if (typeof text !== 'string') throw badInput('text', 'a string', text);
    return this.#request('tokenize', { text, options: plainOptions(options) });
  }

  /**
   * The tokens of a text, each with what of it they stand for; options as `tokenize`.
   * @param {string} text
   * @param {{ special?: boolean }} [options]
   * @returns {Promise<TokenPiece[]>}
   */
  async pieces(text, options) {
    if (typeof text !== 'string') throw badInput('text', 'a string', text);
    return this.#request('pieces', { text, options: plainOptions(options) });
  }

  /**
   * Text of token ids.
   * @param {ArrayLike<number>} ids
   * @param {{ skipSpecial?: boolean }} [options]
   * @returns {Promise<string>}
   */
  async detokenize(ids, options) {
    const list = Array.from(ids ?? [NaN]);
    if (!list.every((id) => Number.isInteger(id) && id >= 0 && id < 2 ** 32)) throw badInput('ids', 'a list of token ids', ids);
    return this.#request('detokenize', { ids: Uint32Array.from(list), options: plainOptions(options) });
  }

  /** Ends the worker, which frees weights, caches and all. Sessions on this model reject with DISPOSED. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#stop?.abort();
    this.#client.close(disposed('this model'));
  }

  [dispose]() {
    this.dispose();
  }

  /** @template {Op} O @param {O} op @param {Args<O>} args @returns {Promise<Result<O>>} */
  #request(op, args) {
    return this.#client.request(op, args);
  }
}
