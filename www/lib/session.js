// Model: weights and tokenizer in a worker of their own, shared by any number of sessions. Session: a text or a conversation, with the cache of what
// was computed for it. Both are thin proxies: all state lives in the worker.

import { badInput, crashed, disposed } from './errors.js';
import { estimate, load } from './load.js';
import { holdLock, lockName } from './locks.js';
import { attempt, checkInput, splitOptions } from './options.js';
import { platform } from './platform.js';
import { Run } from './run.js';
import { overPort, WorkerClient } from './worker-client.js';

/** @import { ContextOverflow, Estimate, GenerateOptions, LoadOptions, Message, ModelInfo, ModelStats, Piece, SessionStats, Source, TokenPiece } from './types.d.ts' */

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
   * @param {() => Promise<{ client: WorkerClient, info: ModelInfo }>} [load] loads the same once more
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

  /**
   * A model whose engine is another context's: of a `port()` that came from there, in a service worker say. Its sessions are its own, and `dispose` frees them alone.
   * Rejects with CRASHED where nobody answers.
   * @param {MessagePort} port
   */
  static async attach(port) {
    const alive = lockName('client');
    const release = await holdLock(alive);
    const client = new WorkerClient(overPort(port, release));
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

  /** Opens a session; sessions share the weights, not their history. */
  session() {
    if (this.#disposed) throw disposed('this model');
    return new Session(this);
  }

  /** What the sessions of this model hold together, those of all its contexts. @returns {Promise<ModelStats>} */
  stats() {
    return this.#request('modelStats', {});
  }

  /** A port by which another context can use this model: transfer it there, and `Model.attach` it. @returns {Promise<MessagePort>} */
  async port() {
    const { port1, port2 } = new MessageChannel();
    await this.#client.request('connect', { port: port2 }, { transfer: [port2] });
    return port1;
  }

  /**
   * Loads the model once more, from the cache where it is there, into a new worker: after `CRASHED` or `OUT_OF_MEMORY` everything works again. Its sessions come back
   * with their conversations; calls under way reject with CRASHED. A source that could be read only once, a stream, rejects with BAD_INPUT.
   */
  reload() {
    if (this.#disposed) return Promise.reject(disposed('this model'));
    if (!this.#load) return Promise.reject(badInput('source', 'one that can be read again', 'a stream, a Response, or a port'));
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

  /** The tokens of a text, each with what of it they stand for; options as `tokenize`. @param {string} text @param {{ special?: boolean }} [options] @returns {Promise<TokenPiece[]>} */
  async pieces(text, options) {
    if (typeof text !== 'string') throw badInput('text', 'a string', text);
    return this.#request('pieces', { text, options });
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

export class Session extends EventTarget {
  #model;
  #id = nextSession++;
  /** Who uses a model that goes with its last session. @type {Set<Session> | undefined} */
  #owners;
  #disposed = false;
  #contextUsage = 0;
  /** The conversation as of the last turn that ended: what a worker that has crashed takes along. @type {Message[]} */
  #messages = [];
  /** @type {((event: CustomEvent<ContextOverflow>) => void) | null} */
  #oncontextoverflow = null;

  /**
   * Use `Session.load` or `model.session()`.
   * @internal
   * @param {Model} model
   * @param {{ owners?: Set<Session>, made?: { id: number, messages: Message[], stats: SessionStats } }} [how] `made`: what the worker has made already
   */
  constructor(model, { owners, made } = {}) {
    super();
    this.#model = model;
    this.#owners = owners?.add(this);
    model.hold(this, true);
    if (!made) return this.open();
    this.#id = made.id;
    this.#messages = made.messages;
    this.#seen(made.stats);
  }

  /** Makes the worker's side of it. @internal */
  open() {
    this.#contextUsage = 0;
    // Later requests are answered after this one; should it fail, they fail by themselves.
    this.#model.client.request('open', { session: this.#id, messages: this.#messages }).catch(() => {});
    return this;
  }

  /** The model it is on. */
  get model() {
    return this.#model;
  }

  /**
   * Loads a model and opens a session on it; the model is freed with it and with its clones.
   * @param {Source} source
   * @param {LoadOptions} [options]
   */
  static async load(source, options) {
    return new Session(await Model.load(source, options), { owners: new Set() });
  }

  /**
   * The session of which `save()` made these bytes, on the same model in the same format. Others, and damaged ones, are refused with BAD_INPUT.
   * @param {Model} model
   * @param {Uint8Array | ArrayBuffer} bytes
   */
  static async restore(model, bytes) {
    if (!(model instanceof Model)) throw badInput('model', 'a Model', model);
    if (!(bytes instanceof Uint8Array || bytes instanceof ArrayBuffer)) throw badInput('state', 'a Uint8Array', bytes);
    const id = nextSession++;
    const made = await model.client.request('restore', { as: id, bytes: new Uint8Array(bytes) });
    return new Session(model, { made: { id, ...made } });
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

  /** Answers the conversation's last question once more; the new answer takes the place of the old one when it is there. @param {GenerateOptions} [options] */
  regenerate(options) {
    return this.#run('regenerate', undefined, options, () => {});
  }

  /**
   * Adds messages to the conversation and reads them ahead of need, so that what is asked next waits for less. The last may be a question: `regenerate` answers it.
   * @param {Message[]} messages
   * @param {{ overflow?: GenerateOptions['overflow'], signal?: AbortSignal }} [options]
   */
  async append(messages, options) {
    await this.#run('append', messages, options, () => {
      if (!Array.isArray(messages)) throw badInput('messages', 'a list of messages', messages);
    });
  }

  /** The conversation so far. @returns {Promise<Message[]>} */
  messages() {
    return this.#request('messages');
  }

  /** Replaces the conversation; what was computed for the old one serves as far as the new one begins with it. @param {Message[]} messages */
  async setMessages(messages) {
    if (!Array.isArray(messages)) throw badInput('messages', 'a list of messages', messages);
    this.#messages = await this.#request('setMessages', { messages });
  }

  /**
   * A session that goes its own way from here, with the same conversation. What was computed is shared until one of both goes on, so a clone takes a
   * moment and next to no memory.
   * @returns {Promise<Session>}
   */
  async clone() {
    const id = nextSession++;
    const made = await this.#request('clone', { as: id });
    return new Session(this.#model, { owners: this.#owners, made: { id, ...made } });
  }

  /**
   * The session as bytes, for `Session.restore`. With what was computed, unless `cache` is false: then they are small, and a restored session reads its conversation anew.
   * @param {{ cache?: boolean }} [options]
   * @returns {Promise<Uint8Array>}
   */
  save(options) {
    return this.#request('save', { options });
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

  /** Told when something was forgotten for want of room, as `overflow` asked: the event `contextoverflow`. */
  get oncontextoverflow() {
    return this.#oncontextoverflow;
  }

  set oncontextoverflow(listener) {
    const present = /** @type {any} */ (this.#oncontextoverflow);
    if (present) this.removeEventListener('contextoverflow', present);
    this.#oncontextoverflow = typeof listener === 'function' ? listener : null;
    if (this.#oncontextoverflow) this.addEventListener('contextoverflow', /** @type {any} */ (this.#oncontextoverflow));
  }

  /** What is known of the model. */
  info() {
    return this.#model.info();
  }

  /** @param {string} text @param {{ special?: boolean }} [options] */
  tokenize(text, options) {
    return this.#disposed ? Promise.reject(disposed('this session')) : this.#model.tokenize(text, options);
  }

  /** @param {string} text @param {{ special?: boolean }} [options] */
  pieces(text, options) {
    return this.#disposed ? Promise.reject(disposed('this session')) : this.#model.pieces(text, options);
  }

  /** @param {ArrayLike<number>} ids @param {{ skipSpecial?: boolean }} [options] */
  detokenize(ids, options) {
    return this.#disposed ? Promise.reject(disposed('this session')) : this.#model.detokenize(ids, options);
  }

  /** Frees the session, and the model that `Session.load` made with the last of its sessions. Runs under way reject with DISPOSED. */
  dispose() {
    if (this.#disposed) return;
    this.#disposed = true;
    const { client } = this.#model;
    client.closeSession(this.#id, disposed('this session'));
    this.#model.hold(this, false);
    this.#owners?.delete(this);
    if (this.#owners?.size === 0) this.#model.dispose();
    else client.request('close', { session: this.#id }).catch(() => {});
  }

  [dispose]() {
    this.dispose();
  }

  /**
   * @param {'generate' | 'chat' | 'regenerate' | 'append'} op
   * @param {string | Message[] | undefined} input
   * @param {GenerateOptions | undefined} options
   * @param {() => void} check
   */
  #run(op, input, options, check) {
    const { signal, rest, error } = attempt(() => (check(), splitOptions(options)));
    return new Run(async (onPiece, stop) => {
      if (error) throw error;
      const tell = (/** @type {Piece | { overflow: ContextOverflow }} */ piece) => {
        if (!('overflow' in piece)) return onPiece(piece);
        this.dispatchEvent(new CustomEvent('contextoverflow', { detail: piece.overflow }));
      };
      const { result, stats, messages } = await this.#request(op, { input, options: rest }, { onPiece: tell, signal: stop });
      this.#seen(stats);
      if (messages) this.#messages = messages;
      return result;
    }, signal);
  }

  /**
   * @param {string} op
   * @param {Record<string, unknown>} [args]
   * @param {{ onPiece?: (piece: any) => void, signal?: AbortSignal }} [how]
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

/** How long an engine may take to answer a context that comes in: it is loaded, and computes for a twentieth of a second at a time. */
const HELLO_MS = 10_000;
