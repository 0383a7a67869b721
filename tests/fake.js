// A fake of Model and Session, without arithmetic, for tests of code that uses them. A word is a token. An
// answer depends only on the prompt, the seed and the messages, so it is the same for every caller, order
// and cache. The usage says how many tokens were cached. (tests/lib/fake.js fakes the wasm module instead;
// there Model and Session are the library's own.)
//
// The question `crash` stops the engine.

import { Run } from '../www/lib/client/run.js';
import { FiresideError } from '../www/lib/shared/errors.js';

/** @typedef {import('../www/lib/shared/types.d.ts').Message} Message */
/**
 * @typedef {(prompt: string, seed: number, messages?: Message[]) => (text: string) => string | undefined}
 *   Answer
 *   gives the word after a text; undefined ends it
 */

const WORDS = 'once upon a time there was a small fox who kept a fire by the sea and told its cubs of ships that came home late'.split(' ');
const DEFAULTS = { maxTokens: 20, minTokens: 0, temperature: 0.5, topK: 0, topP: 1, minP: 0, typicalP: 1, repetitionPenalty: 1 };
const KV_BYTES = 32;

/** @param {string} text */
function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

const words = (/** @type {string} */ text) => text.split(/(?<= )/).filter(Boolean);
const failure = (/** @type {any} */ code, /** @type {string} */ message, details = {}) => new FiresideError(code, message, details);
const isAlone = (/** @type {Message[]} */ messages) => messages.length > 0 && messages.every(({ role }) => role === 'system');

/** The default template. */
const plain = (/** @type {Message} */ { role, content }) => `<${role}> ${content} `;

/**
 * The default answer: each word is drawn from the text before it and the seed, without an end.
 * @type {Answer}
 */
const drawn = (prompt, seed) => (text) => ` ${WORDS[hash(`${seed} ${prompt}${text}`) % WORDS.length]}`;

/**
 * The first words of a drawn answer.
 * @param {string} prompt
 * @param {number} seed
 * @param {number} count
 */
export function answerTo(prompt, seed, count) {
  let text = '';
  for (let i = 0; i < count; i++) text += drawn(prompt, seed)(text);
  return text;
}

/** A token with its log-probability. @param {string} text */
const likelihood = (text) => ({ id: hash(text) % 1000, text, bytes: [...new TextEncoder().encode(text)], logprob: text.endsWith('5') ? -Infinity : -((hash(text) % 100) + 1) / 100 });

/**
 * @param {object} [settings]
 * @param {number} [settings.context]
 * @param {number} [settings.tokenMs] the time of a token; 0 still lets other events run in between
 * @param {number} [settings.prefillMs]
 * @param {number} [settings.kvBytesMax] of all sessions
 * @param {boolean} [settings.refusesSystem] whether its template refuses a chat of system messages alone
 * @param {(message: Message) => string} [settings.template]
 * @param {Answer} [settings.answer]
 * @param {(line: string) => void} [settings.onLine] hears of runs and lives, each as a line
 */
export function fakeModel({ context = 512, tokenMs = 0, prefillMs = 0, kvBytesMax = Infinity, refusesSystem = false, template = plain, answer = drawn, onLine = () => {} } = {}) {
  const log = /** @type {{ what: string, prompt: string, at: number, options?: any, messages?: any[], prefilled?: number }[]} */ ([]);
  const state = { log, computing: 0, computingMax: 0, sessions: new Set(), crashed: false, isStuck: false, clones: 0 };
  const note = (/** @type {string} */ what, /** @type {string} */ prompt, more = {}) => log.push({ what, prompt, at: performance.now(), ...more });
  const pause = (/** @type {number} */ ms) => new Promise((resolve) => (ms ? setTimeout(resolve, ms) : setImmediate(resolve)));
  const rendered = (/** @type {Message[]} */ messages, opening = '<assistant> ') => messages.map(template).join('') + opening;
  const tokens = (/** @type {Message[]} */ messages, /** @type {string} */ opening) => words(rendered(messages, opening)).length;
  const check = () => {
    if (state.crashed) throw failure('CRASHED', 'the engine stopped: unreachable.', { detail: 'unreachable' });
  };
  const checkFits = (/** @type {number} */ count, /** @type {number} */ most) => {
    if (count > most) throw failure('CONTEXT_OVERFLOW', 'too long', { requested: count, contextWindow: context });
  };
  const checkAlone = (/** @type {Message[]} */ messages) => {
    if (refusesSystem && isAlone(messages)) throw failure('BAD_TEMPLATE', 'chat template: it refuses these messages: no user query.');
  };
  const checkAnswerable = (/** @type {Message[]} */ messages) => {
    checkAlone(messages);
    if (messages.at(-1)?.role === 'assistant') throw failure('BAD_INPUT', 'messages: expected a last message to answer, got one of the assistant.');
  };

  class Session {
    contextWindow = context;
    /** @type {Message[]} */
    history = [];
    /** Whether the history was set and has not been computed since. */
    isSet = false;
    cached = /** @type {string[]} */ ([]);
    tail = /** @type {Promise<unknown>} */ (Promise.resolve());
    isOver = false;
    constructor() {
      state.sessions.add(this);
    }
    /** @template T @param {() => Promise<T> | T} job @returns {Promise<T>} */
    queue(job) {
      const turn = this.tail.then(() => {
        if (this.isOver) throw failure('DISPOSED', 'this session has been disposed of.');
        check();
        return job();
      });
      this.tail = turn.catch(() => {});
      return turn;
    }
    /**
     * @param {string} prompt
     * @param {any} [options]
     */
    generate(prompt, options) {
      return this.run(() => prompt, options);
    }
    /**
     * @param {Message[]} messages
     * @param {any} [options]
     */
    chat(messages, options) {
      return this.run(() => (checkAnswerable(messages), rendered(messages)), options, messages);
    }
    /**
     * @param {() => string} begin
     * @param {any} options
     * @param {Message[]} [messages]
     */
    run(begin, { signal, ...options } = /** @type {any} */ ({}), messages) {
      // A piece is a token. It waits until the reader wants it, as in the engine.
      const wanted = { until: Infinity, wake() {} };
      return new Run((onPiece, stop, begun) => {
        begun((until) => {
          wanted.until = until;
          wanted.wake();
        });
        stop.addEventListener('abort', () => wanted.wake());
        return this.queue(() => this.compute(begin(), options, onPiece, stop, wanted, messages));
      }, signal);
    }
    /**
     * @param {string} prompt
     * @param {any} options
     * @param {(piece: any) => void} onPiece
     * @param {AbortSignal} stop
     * @param {{ until: number, wake(): void }} wanted
     * @param {Message[]} [messages]
     */
    async compute(prompt, options, onPiece, stop, wanted, messages) {
      const { seed = 0, maxTokens = 8, n = 1, logprobs, stop: stops = [], logitBias } = options;
      if (logitBias?.[99999]) throw failure('BAD_OPTION', 'option `logitBias`: expected ids below 1000, got 99999.', { option: 'logitBias' });
      const asked = words(prompt);
      if (asked.length === 0) throw failure('BAD_INPUT', 'prompt: expected text, got nothing.');
      checkFits(asked.length, context - 1);
      const abort = () => {
        check();
        if (!stop.aborted) return;
        note('abort', prompt);
        throw new DOMException('The operation was aborted.', 'AbortError');
      };
      abort();
      let cachedTokens = 0;
      while (cachedTokens < asked.length - 1 && this.cached[cachedTokens] === asked[cachedTokens]) cachedTokens++;
      note('start', prompt, { options, messages, prefilled: asked.length - cachedTokens });
      onLine(`chat ${messages?.length} ${JSON.stringify(options)}`);
      state.computingMax = Math.max(state.computingMax, ++state.computing);
      try {
        this.cached = asked;
        const all = [...state.sessions].reduce((total, { cached }) => total + cached.length, 0);
        if (all * KV_BYTES > kvBytesMax) throw failure('OUT_OF_MEMORY', 'no room in the cache');
        for (let waited = 0; waited < prefillMs; waited += 10) {
          await pause(10);
          abort();
        }
        const choices = [];
        let completionTokens = 0;
        for (let choice = 0; choice < n; choice++) {
          let [text, finishReason] = ['', 'length'];
          const next = answer(prompt, seed + choice, messages);
          const likelihoods = [];
          for (let i = 0; i < maxTokens && asked.length + i < context; i++) {
            const word = next(text);
            await pause(tokenMs);
            abort();
            while (completionTokens >= wanted.until && !stop.aborted) await new Promise((resolve) => (wanted.wake = () => resolve(undefined)));
            abort();
            if (messages?.at(-1)?.content === 'crash') state.crashed = true;
            check();
            if (word !== undefined) {
              note('token', prompt);
              completionTokens++;
            }
            if (word === undefined || stops.some((/** @type {string} */ end) => word.includes(end))) {
              finishReason = 'stop';
              break;
            }
            const found = logprobs === undefined ? undefined : [{ ...likelihood(word), top: [...Array(logprobs).keys()].map((i) => (i ? likelihood(`${word}${i}`) : likelihood(word))) }];
            text += word;
            if (found) likelihoods.push(...found);
            onPiece({ text: word, completionTokens, tokensPerSecond: 1, choice, ...(found && { logprobs: found }) });
          }
          choices.push({ text, finishReason, ...(logprobs !== undefined && { logprobs: likelihoods }) });
        }
        this.cached = [...asked, ...words(choices[0].text)];
        if (messages) this.history = [...messages, { role: 'assistant', content: choices[0].text }];
        note('end', prompt);
        return /** @type {any} */ ({ ...choices[0], choices, usage: { promptTokens: asked.length, completionTokens, cachedTokens }, timings: {} });
      } finally {
        state.computing--;
      }
    }
    /**
     * @param {Message[]} messages
     * @param {{ signal?: AbortSignal }} [options]
     */
    append(messages, { signal } = {}) {
      return this.queue(async () => {
        note('append', rendered(messages));
        const history = [...this.history, ...messages];
        checkAlone(history);
        checkFits(tokens(history, ''), context);
        await pause(tokenMs);
        signal?.throwIfAborted();
        if (this.isSet) onLine(`compute ${this.history.length}`);
        onLine(`append ${messages.length}`);
        [this.history, this.isSet, this.cached] = [history, false, words(rendered(history, ''))];
      });
    }
    /** @param {Message[]} messages */
    measureContextUsage(messages) {
      return this.queue(() => {
        checkAnswerable(messages);
        checkAlone(this.history);
        return Math.max(0, tokens(messages, '<assistant> ') - tokens(this.history, ''));
      });
    }
    /** @param {Message[]} messages */
    setMessages(messages) {
      return this.queue(() => void ([this.history, this.isSet] = [messages, true]));
    }
    clone() {
      return this.queue(() => {
        state.clones++;
        onLine('clone');
        return Object.assign(new Session(), { cached: [...this.cached], history: this.history });
      });
    }
    async stats() {
      check();
      return { kvBytes: this.cached.length * KV_BYTES, sharedBytes: 0, contextUsage: this.cached.length, contextWindow: context, wasmBytes: 0 };
    }
    dispose() {
      this.isOver = true;
      state.sessions.delete(this);
      onLine('dispose session');
    }
  }

  const model = {
    session: () => new Session(),
    info: () => ({ build: 'simd128', dtype: 'f16', parameters: 1000, kernels: 'fake', vocab: 50, context, kvBytesPerToken: KV_BYTES, defaults: DEFAULTS }),
    async stats() {
      check();
      if (state.isStuck) await new Promise(() => {});
      return { sessions: state.sessions.size, kvBytes: 0, wasmBytes: 0 };
    },
    async tokenize() {
      check();
      return new Uint32Array();
    },
    async reload() {
      onLine('reload');
      state.crashed = false;
    },
    dispose: () => onLine('dispose model'),
  };
  return { model: /** @type {import('../www/lib/client/session.js').Model} */ (/** @type {unknown} */ (model)), state, rendered };
}

/** The words of a message, without white space. @param {Message} message */
const wordsOf = ({ content }) => content.split(/\s+/).filter(Boolean);

/**
 * The answer of a model of `fakeEngine`: the number of words that it was given.
 * @param {Message[]} messages
 */
function echo(messages) {
  const heard = messages.flatMap(wordsOf);
  return `${messages.length} messages of ${heard.length} words, the last of them ${heard.at(-1) ?? 'none'}`;
}

/**
 * The class Model with a small model. Its context is 96 tokens; a message takes two besides its words. The
 * answer repeats the question, and the log is a list of lines. A source whose name contains `missing` or
 * `offline` behaves so.
 * @param {{ strict?: boolean }} [settings] `strict`: its template refuses a system prompt alone
 */
export function fakeEngine({ strict = false } = {}) {
  const answer = (/** @type {string} */ _prompt, /** @type {number} */ _seed, /** @type {Message[]} */ messages = []) => {
    const said = echo(messages).split(/(?= )/);
    return () => said.shift();
  };
  /** @type {string[]} */
  const log = [];
  const template = (/** @type {Message} */ message) => [`<${message.role}>`, ...wordsOf(message), '<end> '].join(' ');
  const { model } = fakeModel({ context: 96, tokenMs: 1, refusesSystem: strict, template, answer, onLine: (line) => log.push(line) });
  const tick = () => new Promise((resolve) => setTimeout(resolve, 1));

  const Model = {
    /**
     * @param {string} source
     * @param {any} options
     */
    async load(source, { signal, memoryBytesMax = Infinity, onProgress = () => {} }) {
      log.push(`load ${source}`);
      if (memoryBytesMax <= 1000) throw failure('OUT_OF_MEMORY', 'too large');
      for (let loaded = 0; loaded <= 10; loaded++) {
        await tick();
        if (signal?.aborted) log.push(`given up ${source}`);
        onProgress({ phase: 'download', file: 'model.safetensors', loaded, total: 10 });
        signal?.throwIfAborted();
        if (/missing|offline/.test(source)) throw failure('NETWORK', 'model.safetensors is missing.', { status: 404 });
      }
      onProgress({ phase: 'build', file: '', loaded: 10, total: 10 });
      return model;
    },
    /**
     * @param {string} source
     * @param {any} options
     */
    async estimate(source, { memoryBytesMax = Infinity }) {
      if (/missing/.test(source)) throw failure('NETWORK', 'config.json: 404', { status: 404 });
      if (/offline/.test(source)) throw failure('NETWORK', 'config.json: no answer');
      return { fits: memoryBytesMax > 1000, fileBytes: 1000 };
    },
  };
  return { Model: /** @type {any} */ (Model), log, answerTo: echo };
}
