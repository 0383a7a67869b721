// A session of the Prompt API on top of one of the library. It owns the conversation: every prompt passes
// all of it to the engine, which computes only what is new.
//
//     each call waits for those before it; then it
//       checks and measures the messages; while they do not fit, drops the oldest turn, but no initial prompt
//       lets the engine answer; input and answer become part of the conversation
//
// An aborted call is rolled back, except for the turns that it dropped.

import { Conversation } from './conversation.js';
import { checkActive, creating, invalidState, notSupported, prompting, quotaExceeded } from './exceptions.js';
import { CreateMonitor, Handlers } from './handlers.js';
import { canonical, refuseConstraint, toPrompt, toPromptOptions, toSignalOptions } from './input.js';
import { checkSampling, sampling } from './sampling.js';
import { isRefusedAlone } from './shared.js';
import { iterable } from './streams.js';

/** @import { Message, TypedEventTarget } from '../../shared/types.d.ts' */
/** @import { Session } from '../../client/session.js' */
/** @import { CreateSettings, Longhand } from './input.js' */
/** @import { Mode, Sampling } from './sampling.js' */
/** @import { Shared } from './shared.js' */
/** @import { LanguageModelEventMap } from './types.d.ts' */

/**
 * @typedef {object} State
 * @property {Shared} shared
 * @property {Session} session
 * @property {Sampling} sampling
 * @property {Conversation} conversation
 * @property {Message[]} [engineHas]
 */

/**
 * Frees sessions that a page dropped without `destroy()`, because pages written for a browser rely on that.
 */
const lost = new FinalizationRegistry((/** @type {Pick<State, 'session' | 'shared'> & { listening: AbortController }} */ { session, shared, listening }) => {
  listening.abort();
  session.dispose();
  shared.release();
});

/** Who holds it may construct. */
const KEY = Symbol('LanguageModel');

/**
 * @type {(Class: typeof PromptSession, shared: Shared, settings: CreateSettings) => Promise<PromptSession>}
 */
export let create;

/** The base of every LanguageModel class; `createLanguageModel` adds the static members. */
export class PromptSession extends /** @type {new () => TypedEventTarget<LanguageModelEventMap>} */ (EventTarget) {
  #shared;
  #session;
  #sampling;
  #conversation;
  /**
   * The history that the engine's session has; undefined if that is not known.
   * @type {Message[] | undefined}
   */
  #engineHas;
  /** @type {Promise<unknown>} */
  #tail = Promise.resolve();
  /** Open calls; each entry gives its call up. @type {Set<(reason: unknown) => void>} */
  #calls = new Set();
  /** The reason, once destroyed. @type {{ reason: unknown } | undefined} */
  #gone;
  /** Aborted when the session stops listening to signals. */
  #listening = new AbortController();
  #handlers = new Handlers(this);

  /**
   * Not for pages: `LanguageModel.create()` makes sessions.
   * @internal
   * @param {symbol} key
   * @param {State} state
   */
  constructor(key, state) {
    if (key !== KEY) throw new TypeError('Illegal constructor: use LanguageModel.create().');
    super();
    this.#shared = state.shared;
    this.#session = state.session;
    this.#sampling = state.sampling;
    this.#conversation = state.conversation;
    this.#engineHas = state.engineHas;
    lost.register(this, { session: state.session, shared: state.shared, listening: this.#listening }, this);
  }

  static {
    create = async (Class, shared, { signal, monitor, initialPrompts, unsupported, ...asked }) => {
      checkSampling(asked);
      const initial = canonical(initialPrompts, false);
      signal?.throwIfAborted();
      const meter = new CreateMonitor();
      monitor?.(meter);
      if (unsupported) throw notSupported(`${unsupported} is not supported.`);
      /** @type {PromptSession | undefined} */
      let made;
      try {
        const model = await unlessAborted(signal, shared.hold((share) => signal?.aborted || meter.tell(share)));
        const session = model.session();
        const conversation = new Conversation(shared, session.contextWindow);
        const state = { shared, session, sampling: sampling(asked, model.info()), conversation, engineHas: conversation.history };
        const prompted = (made = new Class(KEY, state));
        if (signal) prompted.#endWith(signal);
        if (initial.length > 0) await prompted.#call([signal], (stop) => prompted.#begin(initial, stop));
        return prompted;
      } catch (error) {
        if (made) made.#destroy(error);
        else shared.release();
        throw creating(error);
      }
    };
  }

  /** Tokens of the conversation so far. */
  get contextUsage() {
    return this.#conversation.usage;
  }

  /** Tokens that the model can hold. */
  get contextWindow() {
    return this.#conversation.window;
  }

  /** The former name of `contextUsage`. */
  get inputUsage() {
    return this.#conversation.usage;
  }

  /** The former name of `contextWindow`. */
  get inputQuota() {
    return this.#conversation.window;
  }

  /** Null where `temperature` and `topK` were given. @returns {Mode | null} */
  get samplingMode() {
    return this.#sampling.samplingMode;
  }

  get temperature() {
    return this.#sampling.temperature;
  }

  get topK() {
    return this.#sampling.topK;
  }

  /** @returns {((event: Event) => void) | null} */
  get oncontextoverflow() {
    return this.#handlers.of('contextoverflow');
  }
  set oncontextoverflow(callback) {
    this.#handlers.set('contextoverflow', callback);
  }

  /** The former name of `oncontextoverflow`. @returns {((event: Event) => void) | null} */
  get onquotaoverflow() {
    return this.#handlers.of('quotaoverflow');
  }
  set onquotaoverflow(callback) {
    this.#handlers.set('quotaoverflow', callback);
  }

  /**
   * Answers. Rejects with NotSupportedError, QuotaExceededError, InvalidStateError once destroyed, the
   * signal's reason, or a TypeError for an invalid prompt.
   * @param {string | Iterable<object>} input
   * @param {{ signal?: AbortSignal, responseConstraint?: object, omitResponseConstraintInput?: boolean }}
   *   [options]
   */
  async prompt(input, options) {
    const messages = toPrompt(input);
    const settings = toPromptOptions(options);
    let text = '';
    await this.#call([settings.signal], (stop) => {
      refuseConstraint(settings);
      return this.#answer(messages, stop, (piece) => (text += piece));
    });
    return text;
  }

  /**
   * Streams the answer. The stream fails with what `prompt` rejects with. Only wrong arguments, and a
   * session or signal that has ended already, throw here.
   * @param {string | Iterable<object>} input
   * @param {{ signal?: AbortSignal, responseConstraint?: object, omitResponseConstraintInput?: boolean }}
   *   [options]
   * @returns {ReadableStream<string>}
   */
  promptStreaming(input, options) {
    const messages = toPrompt(input);
    const settings = toPromptOptions(options);
    const cancelled = new AbortController();
    this.#check([settings.signal]);
    const stream = new ReadableStream({
      start: (stream) => {
        const answered = this.#call([settings.signal, cancelled.signal], (stop) => {
          refuseConstraint(settings);
          return this.#answer(messages, stop, (piece) => piece && stream.enqueue(piece));
        });
        answered.then(() => stream.close(), (error) => stream.error(error));
      },
      cancel: (reason) => cancelled.abort(reason),
    });
    return iterable(stream);
  }

  /**
   * Adds messages to the conversation and computes them ahead of the next prompt. Rejects as `prompt` does.
   * @param {string | Iterable<object>} input
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<undefined>}
   */
  async append(input, options) {
    const messages = toPrompt(input);
    await this.#call([toSignalOptions(options).signal], (stop) => this.#append(messages, stop));
    return undefined;
  }

  /**
   * How many tokens `append()` would add to the context. The tokens that open an answer count with the
   * answer.
   * @param {string | Iterable<object>} input
   * @param {{ signal?: AbortSignal, responseConstraint?: object, omitResponseConstraintInput?: boolean }}
   *   [options]
   * @returns {Promise<number>}
   */
  async measureContextUsage(input, options) {
    const messages = toPrompt(input);
    const settings = toPromptOptions(options);
    return this.#call([settings.signal], async () => {
      refuseConstraint(settings);
      const asked = canonical(messages, false);
      // A system prompt cannot follow other messages, so it is measured alone.
      const [before, usage] = asked[0].role === 'system' ? [[], 0] : [this.#conversation.messages, this.#conversation.usage];
      return Math.max(0, (await this.#shared.usage([...before, ...asked])) - usage);
    });
  }

  /**
   * The former name of `measureContextUsage`.
   * @param {string | Iterable<object>} input
   * @param {object} [options]
   */
  measureInputUsage(input, options) {
    return this.measureContextUsage(input, options);
  }

  /**
   * A copy of the session, after the calls made before.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<this>}
   */
  async clone(options) {
    return this.#call([toSignalOptions(options).signal], async (stop) => {
      const session = await this.#session.clone();
      if (stop.aborted) return session.dispose();
      this.#shared.hold(() => {});
      const state = { shared: this.#shared, sampling: this.#sampling, conversation: this.#conversation.copy() };
      return new /** @type {any} */ (this.constructor)(KEY, { ...state, session, engineHas: this.#engineHas });
    });
  }

  /** Ends the open calls and frees the session. Its attributes can still be read. @returns {undefined} */
  destroy() {
    this.#destroy(invalidState('The session has been destroyed.'));
    return undefined;
  }

  /**
   * The signal may live as long as the page, so it must not retain the session.
   * @param {AbortSignal} signal
   */
  #endWith(signal) {
    const held = new WeakRef(this);
    const end = () => {
      const session = held.deref();
      if (session) session.#destroy(signal.reason);
    };
    signal.addEventListener('abort', end, { signal: this.#listening.signal });
  }

  /** @param {unknown} reason */
  #destroy(reason) {
    if (this.#gone) return;
    this.#gone = { reason };
    this.#listening.abort();
    lost.unregister(this);
    for (const giveUp of [...this.#calls]) giveUp(reason);
    this.#session.dispose();
    this.#shared.release();
  }

  /** Throws if a call has ended before it begins. @param {(AbortSignal | undefined)[]} signals */
  #check(signals) {
    if (this.#gone) throw this.#gone.reason;
    checkActive();
    for (const signal of signals) signal?.throwIfAborted();
  }

  /**
   * Makes one call, which waits for those before it. It settles with its job or when it is given up. The
   * next call waits until the engine has ended this one.
   * @template T
   * @param {(AbortSignal | undefined)[]} signals
   * @param {(stop: AbortSignal) => Promise<T>} job
   * @returns {Promise<T>}
   */
  #call(signals, job) {
    return new Promise((resolve, reject) => {
      this.#check(signals);
      const stop = new AbortController();
      const giveUp = (/** @type {unknown} */ reason) => {
        reject(reason);
        stop.abort(reason);
      };
      this.#calls.add(giveUp);
      const onAbort = (/** @type {Event} */ { target }) => giveUp(/** @type {AbortSignal} */ (target).reason);
      for (const signal of signals) signal?.addEventListener('abort', onAbort);
      this.#tail = this.#tail.then(async () => {
        try {
          if (!stop.signal.aborted) resolve(await job(stop.signal));
        } catch (error) {
          reject(prompting(error));
          const code = Reflect.get(Object(error), 'code');
          if ((code === 'CRASHED' || code === 'OUT_OF_MEMORY') && !this.#gone) await this.#shared.mend().catch(() => {});
        } finally {
          this.#calls.delete(giveUp);
          // Without the `signal` option of listeners: in Node it leaves a reference that would retain the
          // session.
          for (const signal of signals) signal?.removeEventListener('abort', onAbort);
        }
      });
    });
  }

  /** @param {Longhand[]} given @param {AbortSignal} stop @param {(piece: string) => void} onPiece */
  async #answer(given, stop, onPiece) {
    const messages = await this.#fit(given, true);
    const asked = [...this.#conversation.messages, ...messages];
    if (asked.at(-1)?.role === 'assistant') throw notSupported("The last message is the assistant's: the engine answers those of others only.");
    this.#engineHas = undefined;
    stop.throwIfAborted();
    const run = this.#session.chat(asked, { ...this.#sampling.options, maxTokens: Math.min(this.#shared.maxTokens, this.contextWindow), signal: stop });
    for await (const { text } of run) {
      if (stop.aborted) break;
      onPiece(text);
    }
    const { text } = await run;
    const answer = /** @type {Message} */ ({ role: 'assistant', content: text });
    const usage = await this.#shared.usage([...asked, answer]);
    stop.throwIfAborted(); // in its last moment
    // If the window is full, the tokens that close the answer are missing.
    this.#conversation.add(messages, [answer], Math.min(usage, this.contextWindow));
    this.#engineHas = this.#conversation.history;
  }

  /**
   * Makes room for messages and reports dropped turns.
   * @param {Longhand[]} given
   * @param {boolean} forAnswer
   */
  async #fit(given, forAnswer) {
    const { messages, isDropped } = await this.#conversation.fit(given, forAnswer);
    if (isDropped) for (const type of ['contextoverflow', 'quotaoverflow']) this.dispatchEvent(new Event(type));
    return messages;
  }

  /** Computes the initial prompts. @param {Message[]} messages @param {AbortSignal} stop */
  async #begin(messages, stop) {
    const usage = await this.#shared.usage(messages);
    if (usage >= this.contextWindow) throw quotaExceeded(usage, this.contextWindow);
    const isComputed = await this.#compute(messages, stop);
    this.#conversation.begin(messages, usage);
    this.#engineHas = isComputed ? this.#conversation.history : undefined;
  }

  /** @param {Longhand[]} given @param {AbortSignal} stop */
  async #append(given, stop) {
    const messages = await this.#fit(given, false);
    const before = this.#conversation.messages;
    const isInStep = this.#engineHas === this.#conversation.history;
    this.#engineHas = undefined;
    stop.throwIfAborted();
    if (!isInStep) await this.#session.setMessages(before);
    const isComputed = await this.#compute(messages, stop);
    const usage = await this.#shared.usage([...before, ...messages]);
    stop.throwIfAborted();
    this.#conversation.add(messages, [], usage);
    if (isComputed) this.#engineHas = this.#conversation.history;
  }

  /**
   * @param {Message[]} messages
   * @param {AbortSignal} signal
   * @returns {Promise<boolean>} whether the engine has them now
   */
  #compute(messages, signal) {
    return this.#session.append(messages, { signal }).then(
      () => true,
      (error) => {
        if (!isRefusedAlone(error, messages)) throw error;
        return false; // it is computed with the first question
      },
    );
  }
}

/** @template T @param {AbortSignal | undefined} signal @param {Promise<T>} promise @returns {Promise<T>} */
function unlessAborted(signal, promise) {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    signal.addEventListener('abort', giveUp);
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
    if (signal.aborted) giveUp();
  });
}
