/// <reference lib="esnext.disposable" preserve="true" />
// Session: a text or a conversation, with the cache of what was computed for it. A thin proxy: all state
// lives in the model's worker.

import { badInput, badMessage, disposed } from '../shared/errors.js';
import { Model } from './model.js';
import { attempt, plainInput, plainMessages, plainOptions, splitOptions, splitSession } from './options.js';
import { Run } from './run.js';

/** @import { Args, Op, Result, RunEnd, RunPiece, SessionState, TurnEnd } from '../shared/protocol.d.ts' */
/** @import { How } from './worker-client.js' */
/** @import { AppendOptions, ContextOverflow, GenerateAliases } from '../shared/types.d.ts' */
/** @import { GenerateOptions } from '../shared/types.d.ts' */
/** @import { LoadOptions, Message, MessageInput, SessionEventMap } from '../shared/types.d.ts' */
/** @import { SessionOptions, SessionStats, Source, TokenPiece } from '../shared/types.d.ts' */
/** @import { TypedEventTarget } from '../shared/types.d.ts' */

/** For `using`, where a browser has it. @type {typeof Symbol.dispose} */
const dispose = Symbol.dispose ?? Symbol.for('Symbol.dispose');

/**
 * The operations whose text comes piece by piece.
 * @typedef {'generate' | 'chat' | 'regenerate' | 'append'} RunOp
 */

let nextSession = 1;

/** The first bytes of every saved session. Other bytes are not sent to the engine. */
const MAGIC = new TextEncoder().encode('FIRESIDE');

/** More than any history takes beside the cache. Units: bytes. */
const HISTORY_BYTES_MAX = 1 << 26;

export class Session extends /** @type {new () => TypedEventTarget<SessionEventMap>} */ (EventTarget) {
  #model;
  #id = nextSession++;
  /** Who uses a model that goes with its last session. @type {Set<Session> | undefined} */
  #owners;
  #disposed = false;
  #contextUsage = 0;
  /**
   * The conversation as of the last turn that ended: what a worker that has crashed takes along.
   * @type {Message[]}
   */
  #messages = [];
  /** The system prompt and the switches of the template, as of that turn. @type {SessionOptions} */
  #options = {};
  /** @type {((event: CustomEvent<ContextOverflow>) => void) | null} */
  #oncontextoverflow = null;

  /**
   * Use `Session.load` or `model.session()`.
   * @internal
   * @param {Model} model
   * @param {{ owners?: Set<Session>, options?: SessionOptions, made?: SessionState & { id: number } }}
   *   [how] `made`: what the worker has made already
   */
  constructor(model, { owners, options = {}, made } = {}) {
    super();
    this.#model = model;
    this.#owners = owners?.add(this);
    model.hold(this, true);
    this.#options = options;
    if (!made) return this.open();
    this.#id = made.id;
    this.#changed(made);
    this.#seen(made.stats);
  }

  /** Makes the worker's side of it. @internal */
  open() {
    this.#contextUsage = 0;
    // Later requests are answered after this one; should it fail, they fail for the same reason.
    this.#model.client.request('open', { session: this.#id, messages: this.#messages, options: this.#options }).catch(() => {});
    return this;
  }

  /** The model it is on. */
  get model() {
    return this.#model;
  }

  /**
   * Loads a model and opens a session on it; the model is freed with it and with its clones.
   * @param {Source} source
   * @param {LoadOptions & SessionOptions} [options]
   */
  static async load(source, options) {
    const { session: asked, rest } = splitSession(/** @type {any} */ (options));
    const session = new Session(await Model.load(source, rest), { owners: new Set(), options: asked });
    if (asked.chatTemplateKwargs === undefined && asked.chat_template_kwargs === undefined) return session;
    // Whether the template reads these, the model's engine knows.
    try {
      await session.stats();
      return session;
    } catch (error) {
      session.dispose();
      throw error;
    }
  }

  /**
   * The session of which `save()` made these bytes, on the same model in the same format. Others, and
   * damaged ones, are refused with BAD_INPUT.
   * @param {Model} model
   * @param {Uint8Array | ArrayBuffer} bytes
   */
  static async restore(model, bytes) {
    if (!(model instanceof Model)) throw badInput('model', 'a Model', model);
    if (!(bytes instanceof Uint8Array || bytes instanceof ArrayBuffer)) throw badInput('state', 'a Uint8Array', bytes);
    const state = new Uint8Array(bytes).slice();
    const { kvBytesPerToken, context } = model.info();
    const isOurs = MAGIC.every((byte, index) => state[index] === byte);
    if (!isOurs || state.length > kvBytesPerToken * context + HISTORY_BYTES_MAX) {
      throw badMessage('These bytes', 'are not a saved session', 'Pass what `session.save()` returned');
    }
    const id = nextSession++;
    const made = await model.client.request('restore', { as: id, bytes: state }, { transfer: [state.buffer] });
    return new Session(model, { made: { id, ...made } });
  }

  /**
   * Continues a text.
   * @param {string} prompt
   * @param {GenerateOptions & GenerateAliases} [options]
   */
  generate(prompt, options) {
    return this.#run('generate', options, () => {
      if (typeof prompt !== 'string') throw badInput('prompt', 'a string', prompt);
      return { input: prompt };
    });
  }

  /**
   * Answers. A string is one user turn onto the history; a list of messages replaces the history and ends
   * in a user turn. An aborted or failed turn leaves the history as it was.
   * @param {string | MessageInput[]} input
   * @param {GenerateOptions & GenerateAliases} [options]
   */
  chat(input, options) {
    return this.#run('chat', options, () => ({ input: plainInput(input) }));
  }

  /**
   * Answers the conversation's last question once more; the new answer takes the place of the old one when
   * it is there.
   * @param {GenerateOptions & GenerateAliases} [options]
   */
  regenerate(options) {
    return this.#run('regenerate', options, () => ({}));
  }

  /**
   * Adds messages to the conversation and reads them ahead of need, so that what is asked next waits for
   * less. The last may be a question: `regenerate` answers it.
   * @param {MessageInput[]} messages
   * @param {AppendOptions & Pick<GenerateOptions, 'signal'>} [options]
   */
  async append(messages, options) {
    await this.#run('append', options, () => ({ input: plainMessages(messages) }));
  }

  /** The conversation so far. @returns {Promise<Message[]>} */
  messages() {
    return this.#request('messages', { session: this.#id });
  }

  /**
   * Replaces the conversation; what was computed for the old one serves as far as the new one begins with
   * it.
   * @param {MessageInput[]} messages
   */
  async setMessages(messages) {
    this.#messages = await this.#request('setMessages', { session: this.#id, messages: plainMessages(messages) });
  }

  /**
   * Copies this session with its conversation. Both share their KV cache until one of them goes on, so a
   * clone takes a moment and almost no memory.
   * @returns {Promise<Session>}
   */
  async clone() {
    const id = nextSession++;
    const made = await this.#request('clone', { session: this.#id, as: id }).catch((error) => {
      // The worker may have made it all the same.
      this.#model.client.request('close', { session: id }).catch(() => {});
      throw error;
    });
    return new Session(this.#model, { owners: this.#owners, made: { id, ...made } });
  }

  /**
   * The session as bytes, for `Session.restore`. They hold the KV cache, unless `cache` is false: then they
   * are few, and a restored session reads its conversation again.
   * @param {{ cache?: boolean }} [options]
   * @returns {Promise<Uint8Array>}
   */
  async save(options) {
    return this.#request('save', { session: this.#id, options: plainOptions(options) });
  }

  /**
   * Forgets the conversation and its cache. The system prompt stays, and so do the switches of the
   * template.
   */
  async reset() {
    const { stats, ...made } = await this.#request('reset', { session: this.#id });
    this.#seen(stats);
    this.#changed(made);
  }

  /** @returns {Promise<SessionStats>} */
  async stats() {
    return this.#seen(await this.#request('stats', { session: this.#id }));
  }

  /**
   * Tokens by which this input would lengthen the context.
   * @param {string | MessageInput[]} input
   * @param {Pick<GenerateOptions, 'chatTemplateKwargs'>} [options]
   * @returns {Promise<number>}
   */
  async measureContextUsage(input, options) {
    return this.#request('measure', { session: this.#id, input: plainInput(input), options: plainOptions(options) });
  }

  /** Tokens in the context, as of the last run that ended. */
  get contextUsage() {
    return this.#contextUsage;
  }

  /** Tokens the context can hold. */
  get contextWindow() {
    return this.info().context;
  }

  /**
   * Told when something was forgotten for want of room, as `overflow` asked: the event `contextoverflow`.
   */
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
  async tokenize(text, options) {
    return this.#usable().tokenize(text, options);
  }

  /** @param {string} text @param {{ special?: boolean }} [options] @returns {Promise<TokenPiece[]>} */
  async pieces(text, options) {
    return this.#usable().pieces(text, options);
  }

  /** @param {ArrayLike<number>} ids @param {{ skipSpecial?: boolean }} [options] */
  async detokenize(ids, options) {
    return this.#usable().detokenize(ids, options);
  }

  /**
   * Frees the session, and the model that `Session.load` made with the last of its clones. Runs under way
   * reject with DISPOSED.
   */
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
   * A run of an operation. `read`: its arguments but the options, or throws: wrong ones fail the run, not
   * the call.
   * @template {RunOp} O
   * @param {O} op
   * @param {(GenerateOptions & GenerateAliases) | undefined} options
   * @param {() => Omit<Args<O>, 'session' | 'options'>} read
   */
  #run(op, options, read) {
    const asked = attempt(() => ({ args: read(), ...splitOptions(options) }));
    return new Run(async (onPiece, signal, begun) => {
      if ('error' in asked) throw asked.error;
      const tell = (/** @type {RunPiece} */ piece) => {
        if (!('overflow' in piece)) return onPiece(piece);
        this.dispatchEvent(new CustomEvent('contextoverflow', { detail: piece.overflow }));
      };
      const args = /** @type {Args<O>} */ (/** @type {unknown} */ ({ session: this.#id, options: asked.rest, ...asked.args }));
      /** @type {Promise<RunEnd | TurnEnd>} */
      const request = this.#request(op, args, { onPiece: tell, signal, begun });
      request.catch(() => this.stats().catch(() => {})); // the context holds what a failed run has read
      const { stats, ...end } = await request;
      this.#seen(stats);
      const { choices, usage, timings } = end;
      const result = { ...choices[0], choices, usage, timings };
      if (!('messages' in end)) return result;
      this.#changed(end);
      return { ...result, message: end.messages.at(-1) };
    }, asked.signal);
  }

  /**
   * @template {Op} O
   * @param {O} op
   * @param {Args<O>} args
   * @param {How<O>} [how]
   * @returns {Promise<Result<O>>}
   */
  async #request(op, args, how) {
    return this.#usable().client.request(op, args, how);
  }

  /** The model, as long as this session has not been disposed of. */
  #usable() {
    if (this.#disposed) throw disposed('this session');
    return this.#model;
  }

  /** @param {Pick<SessionState, 'messages' | 'options'>} made */
  #changed({ messages, options }) {
    this.#messages = messages;
    this.#options = options;
  }

  /** @param {SessionStats} stats */
  #seen(stats) {
    this.#contextUsage = stats.contextUsage;
    return stats;
  }
}
