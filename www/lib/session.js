// Model: weights and tokenizer in a worker of their own, shared by any number of sessions. Session: a text or a conversation, with the cache of what
// was computed for it. Both are thin proxies: all state lives in the worker.

import { badInput, badOption, crashed, disposed } from './errors.js';
import { estimate, load } from './load.js';
import { platform } from './platform.js';
import { Run } from './run.js';

/** @import { Estimate, GenerateOptions, LoadOptions, Message, ModelInfo, Piece, SessionStats, Source } from './types.d.ts' */
/** @import { WorkerClient } from './worker-client.js' */

/** For `using`, where a browser has it. @type {typeof Symbol.dispose} */
const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

let nextSession = 1;

export class Model {
  #client;
  #info;
  /** Undefined where the source could be read only once. */
  #load;
  #disposed = false;
  /** Sessions on this model, which come back with it. @type {Set<Session>} */
  #sessions = new Set();
  /** A reload under way. @type {Promise<void> | undefined} */
  #reloading;

  /**
   * Use `Model.load`.
   * @internal
   * @param {{ client: WorkerClient, info: ModelInfo, again: boolean }} loaded
   * @param {() => Promise<{ client: WorkerClient, info: ModelInfo }>} load loads the same once more
   */
  constructor({ client, info, again }, load) {
    this.#client = client;
    this.#info = Object.freeze(info);
    this.#load = again ? load : undefined;
  }

  /**
   * Loads a model in Hugging Face layout. Rejects with a FiresideError, or with an AbortError where `signal` says stop.
   * @param {Source} source
   * @param {LoadOptions} [options]
   */
  static async load(source, options) {
    // A signal and a progress bar belong to the first load.
    const { signal: _, onProgress: __, ...lasting } = options ?? {};
    return new Model(await load(source, options, platform), () => load(source, lasting, platform));
  }

  /**
   * What a model would take, learnt from its config and the headers of its weight files alone: nothing else is fetched. Rejects as `load` does.
   * @param {Source} source
   * @param {LoadOptions} [options]
   * @returns {Promise<Estimate>}
   */
  static estimate(source, options) {
    return estimate(source, options, platform);
  }

  /** Opens a session; sessions share the weights, not their history. */
  session() {
    if (this.#disposed) throw disposed('this model');
    return new Session(this, false);
  }

  /**
   * Loads the model once more, from the cache where it is there, into a new worker: after `CRASHED` or `OUT_OF_MEMORY` everything works again. Its sessions come back
   * with their conversations; calls under way reject with CRASHED. A source that could be read only once, a stream, rejects with BAD_INPUT.
   */
  reload() {
    if (this.#disposed) return Promise.reject(disposed('this model'));
    if (!this.#load) return Promise.reject(badInput('source', 'one that can be read again', 'a stream or a Response'));
    this.#reloading ??= this.#reload(this.#load).finally(() => (this.#reloading = undefined));
    return this.#reloading;
  }

  /** @param {() => Promise<{ client: WorkerClient, info: ModelInfo }>} load */
  async #reload(load) {
    this.#client.close(crashed('the model is being loaded again'));
    const { client, info } = await load();
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

  [dispose]() {
    this.dispose();
  }

  /** @param {string} op @param {Record<string, unknown>} args @returns {Promise<any>} */
  #request(op, args) {
    return this.#client.request(op, args);
  }
}

export class Session {
  #model;
  #id = nextSession++;
  #owns;
  #disposed = false;
  #contextUsage = 0;
  /** The conversation as of the last turn that ended: what a worker that has crashed takes along. @type {Message[]} */
  #messages = [];

  /**
   * Use `Session.load` or `model.session()`.
   * @internal
   * @param {Model} model
   * @param {boolean} owns whether the model goes with the session
   */
  constructor(model, owns) {
    this.#model = model;
    this.#owns = owns;
    model.hold(this, true);
    this.open();
  }

  /** Makes the worker's side of it. @internal */
  open() {
    this.#contextUsage = 0;
    // Later requests are answered after this one; should it fail, they fail by themselves.
    this.#model.client.request('open', { session: this.#id, messages: this.#messages }).catch(() => {});
  }

  /** The model it is on. */
  get model() {
    return this.#model;
  }

  /**
   * Loads a model and opens a session on it; `dispose()` then frees both.
   * @param {Source} source
   * @param {LoadOptions} [options]
   */
  static async load(source, options) {
    return new Session(await Model.load(source, options), true);
  }

  /**
   * Continues a text.
   * @param {string} prompt
   * @param {GenerateOptions} [options]
   */
  generate(prompt, options) {
    return this.#run('generate', prompt, options, () => {
      if (typeof prompt !== 'string') throw badInput('prompt', 'a string', prompt);
    });
  }

  /**
   * Answers. A string is one user turn onto the history; a list of messages replaces the history and ends in a user turn.
   * An aborted or failed turn leaves the history as it was.
   * @param {string | Message[]} input
   * @param {GenerateOptions} [options]
   */
  chat(input, options) {
    return this.#run('chat', input, options, () => checkInput(input));
  }

  /** The conversation so far. @returns {Promise<Message[]>} */
  messages() {
    return this.#request('messages');
  }

  /** Forgets the conversation and its cache. */
  async reset() {
    this.#seen(await this.#request('reset'));
    this.#messages = [];
  }

  /** @returns {Promise<SessionStats>} */
  async stats() {
    return this.#seen(await this.#request('stats'));
  }

  /** Tokens by which this input would lengthen the context. @param {string | Message[]} input @returns {Promise<number>} */
  async measureContextUsage(input) {
    checkInput(input);
    return this.#request('measure', { input });
  }

  /** Tokens in the context, as of the last run that ended. */
  get contextUsage() {
    return this.#contextUsage;
  }

  /** Tokens the context can hold. */
  get contextWindow() {
    return this.info().context;
  }

  /** What is known of the model. */
  info() {
    return this.#model.info();
  }

  /** @param {string} text @param {{ special?: boolean }} [options] */
  tokenize(text, options) {
    return this.#disposed ? Promise.reject(disposed('this session')) : this.#model.tokenize(text, options);
  }

  /** @param {ArrayLike<number>} ids @param {{ skipSpecial?: boolean }} [options] */
  detokenize(ids, options) {
    return this.#disposed ? Promise.reject(disposed('this session')) : this.#model.detokenize(ids, options);
  }

  /** Frees the session, and its model if `Session.load` made it. Runs under way reject with DISPOSED. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const { client } = this.#model;
    client.closeSession(this.#id, disposed('this session'));
    this.#model.hold(this, false);
    if (this.#owns) this.#model.dispose();
    else client.request('close', { session: this.#id }).catch(() => {});
  }

  [dispose]() {
    this.dispose();
  }

  /**
   * @param {'generate' | 'chat'} op
   * @param {string | Message[]} input
   * @param {GenerateOptions | undefined} options
   * @param {() => void} check
   */
  #run(op, input, options, check) {
    const { signal, rest, error } = attempt(() => (check(), splitOptions(options)));
    return new Run(async (onPiece, stop) => {
      if (error) throw error;
      const { result, stats, messages } = await this.#request(op, { input, options: rest }, { onPiece, signal: stop });
      this.#seen(stats);
      if (messages) this.#messages = messages;
      return result;
    }, signal);
  }

  /**
   * @param {string} op
   * @param {Record<string, unknown>} [args]
   * @param {{ onPiece?: (piece: Piece) => void, signal?: AbortSignal }} [how]
   * @returns {Promise<any>}
   */
  #request(op, args, how) {
    if (this.#disposed) return Promise.reject(disposed('this session'));
    return this.#model.client.request(op, { session: this.#id, ...args }, how);
  }

  /** @param {SessionStats} stats */
  #seen(stats) {
    this.#contextUsage = stats.contextUsage;
    return stats;
  }
}

/**
 * Splits off the signal. No option is an object, a function or the like: such a value goes as an empty object, which the engine refuses by its name.
 * @param {GenerateOptions} [options]
 * @returns {{ signal?: AbortSignal, rest: Record<string, unknown> }}
 */
function splitOptions(options = {}) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  const { signal, ...rest } = options;
  if (signal && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
  for (const key in rest) {
    if (rest[key] === undefined) delete rest[key];
    else rest[key] = plain(rest[key]);
  }
  return { signal, rest };
}

/** @param {unknown} value @returns {unknown} */
function plain(value) {
  if (Array.isArray(value)) return value.map((part) => (Array.isArray(part) ? {} : plain(part)));
  return value === null || ['string', 'number', 'boolean'].includes(typeof value) ? value : {};
}

/** @param {unknown} input */
function checkInput(input) {
  if (typeof input !== 'string' && !Array.isArray(input)) throw badInput('input', 'a string or a list of messages', input);
}

/**
 * Wrong arguments fail the run, not the call that makes it: one place to catch them.
 * @param {() => ReturnType<typeof splitOptions>} check
 * @returns {Partial<ReturnType<typeof splitOptions>> & { error?: unknown }}
 */
function attempt(check) {
  try {
    return check();
  } catch (error) {
    return { error };
  }
}
