// A stand-in for a model, with the surface of www/lib/client/session.js and no arithmetic: a word is a token, and each word of an answer is drawn from what stands before it and
// the seed. The answer to a text is thus the same whoever asks, in whatever order, with whatever is cached; and it says what it reused.

import { FiresideError } from '../../www/lib/shared/errors.js';
import { Run } from '../../www/lib/client/run.js';

const WORDS = 'once upon a time there was a small fox who kept a fire by the sea and told its cubs of ships that came home late'.split(' ');
const CONTEXT = 512;

/** @param {string} text */
function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

const words = (/** @type {string} */ text) => text.split(/(?<= )/).filter(Boolean);
const rendered = (/** @type {{ role: string, content: string }[]} */ messages) => messages.map(({ role, content }) => `<${role}> ${content} `).join('') + '<assistant> ';
const failure = (/** @type {any} */ code, /** @type {string} */ message, details = {}) => new FiresideError(code, message, details);

/** What stands for one token, with its probability. @param {string} text */
const likelihood = (text) => ({ id: hash(text) % 1000, text, bytes: [...new TextEncoder().encode(text)], logprob: text.endsWith('5') ? -Infinity : -((hash(text) % 100) + 1) / 100 });

/** The text of an answer. @param {string} prompt @param {number} seed @param {number} count */
export function answerTo(prompt, seed, count) {
  let text = '';
  for (let i = 0; i < count; i++) text += ` ${WORDS[hash(`${seed} ${prompt}${text}`) % WORDS.length]}`;
  return text;
}

/**
 * @param {{ tokenMs?: number, prefillMs?: number, kvBytesMax?: number, refusesSystem?: boolean }} [settings] `tokenMs`: that a token takes; 0 lets other events in between
 *   all the same; `refusesSystem`: its template refuses a chat of one system message
 */
export function fakeModel({ tokenMs = 0, prefillMs = 0, kvBytesMax = Infinity, refusesSystem = false } = {}) {
  const log = /** @type {{ what: 'start' | 'token' | 'end' | 'abort' | 'append', prompt: string, at: number, options?: any, messages?: any[], prefilled?: number }[]} */ ([]);
  const state = { log, computing: 0, computingMax: 0, sessions: new Set(), crashed: false, isStuck: false, clones: 0 };
  const pause = (/** @type {number} */ ms) => new Promise((resolve) => (ms ? setTimeout(resolve, ms) : setImmediate(resolve)));
  const check = () => {
    if (state.crashed) throw failure('CRASHED', 'the engine stopped: unreachable.', { detail: 'unreachable' });
  };

  class Session {
    cached = /** @type {string[]} */ ([]);
    tail = /** @type {Promise<unknown>} */ (Promise.resolve());
    constructor() {
      state.sessions.add(this);
    }
    /** @param {string} prompt @param {any} [options] */
    generate(prompt, options) {
      return this.run(prompt, options);
    }
    /** @param {any[]} messages @param {any} [options] */
    chat(messages, options) {
      if (messages.at(-1).role === 'assistant') return new Run(async () => Promise.reject(failure('BAD_INPUT', 'messages: expected a last message to answer, got one of the assistant.')));
      return this.run(rendered(messages), options, messages);
    }
    /** @param {string} prompt @param {any} options */
    run(prompt, { signal, ...options } = /** @type {any} */ ({}), messages) {
      // A piece is a token; it waits until the reader wants it, as the engine does.
      const wanted = { until: Infinity, wake() {} };
      return new Run((onPiece, stop, begun) => {
        begun((until) => {
          wanted.until = until;
          wanted.wake();
        });
        stop.addEventListener('abort', () => wanted.wake());
        const turn = this.tail.then(() => this.compute(prompt, options, onPiece, stop, wanted, messages));
        this.tail = turn.catch(() => {});
        return turn;
      }, signal);
    }
    /** @param {string} prompt @param {any} options @param {(piece: any) => void} onPiece @param {AbortSignal} stop @param {{ until: number, wake(): void }} wanted */
    async compute(prompt, options, onPiece, stop, wanted, messages) {
      const { seed = 0, maxTokens = 8, n = 1, logprobs, stop: stops = [], logitBias } = options;
      check();
      if (logitBias?.[99999]) throw failure('BAD_OPTION', 'option `logitBias`: expected ids below 1000, got 99999.', { option: 'logitBias' });
      const asked = words(prompt);
      if (asked.length === 0) throw failure('BAD_INPUT', 'prompt: expected text, got nothing.');
      if (asked.length >= CONTEXT) throw failure('CONTEXT_OVERFLOW', 'too long', { requested: asked.length, contextWindow: CONTEXT });
      const abort = () => {
        check();
        if (!stop.aborted) return;
        log.push({ what: 'abort', prompt, at: performance.now() });
        throw new DOMException('The operation was aborted.', 'AbortError');
      };
      abort();
      let cachedTokens = 0;
      while (cachedTokens < asked.length - 1 && this.cached[cachedTokens] === asked[cachedTokens]) cachedTokens++;
      log.push({ what: 'start', prompt, at: performance.now(), options, messages, prefilled: asked.length - cachedTokens });
      state.computingMax = Math.max(state.computingMax, ++state.computing);
      try {
        this.cached = asked;
        const others = [...state.sessions].reduce((total, { cached }) => total + cached.length, 0);
        if (others * 32 > kvBytesMax) throw failure('OUT_OF_MEMORY', 'no room in the cache');
        for (let waited = 0; waited < prefillMs; waited += 10) {
          await pause(10);
          abort();
        }
        const choices = [];
        let completionTokens = 0;
        for (let choice = 0; choice < n; choice++) {
          let [text, finishReason] = ['', 'length'];
          const all = [];
          for (let i = 0; i < maxTokens; i++) {
            await pause(tokenMs);
            abort();
            while (completionTokens >= wanted.until && !stop.aborted) await new Promise((resolve) => (wanted.wake = () => resolve(undefined)));
            abort();
            log.push({ what: 'token', prompt, at: performance.now() });
            const word = answerTo(prompt, seed + choice, i + 1).slice(text.length);
            completionTokens++;
            if (stops.some((/** @type {string} */ end) => word.includes(end))) {
              finishReason = 'stop';
              break;
            }
            const tokens = logprobs === undefined ? undefined : [{ ...likelihood(word), top: [...Array(logprobs).keys()].map((i) => (i ? likelihood(`${word}${i}`) : likelihood(word))) }];
            text += word;
            if (tokens) all.push(...tokens);
            onPiece({ text: word, completionTokens, tokensPerSecond: 1, choice, ...(tokens && { logprobs: tokens }) });
          }
          choices.push({ text, finishReason, ...(logprobs !== undefined && { logprobs: all }) });
        }
        this.cached = [...asked, ...words(choices[0].text)];
        log.push({ what: 'end', prompt, at: performance.now() });
        return /** @type {any} */ ({ ...choices[0], choices, usage: { promptTokens: asked.length, completionTokens, cachedTokens }, timings: {} });
      } finally {
        state.computing--;
      }
    }
    /** @param {any[]} messages */
    async append(messages) {
      check();
      log.push({ what: 'append', prompt: rendered(messages), at: performance.now() });
      if (refusesSystem) throw failure('BAD_TEMPLATE', 'chat template: it refuses these messages: no user query.');
      this.cached = words(rendered(messages).replace(/<assistant> $/, ''));
    }
    async clone() {
      check();
      state.clones++;
      const session = new Session();
      session.cached = [...this.cached];
      return session;
    }
    async stats() {
      check();
      return { kvBytes: this.cached.length * 32, sharedBytes: 0, contextUsage: this.cached.length, contextWindow: CONTEXT, wasmBytes: 0 };
    }
    dispose() {
      state.sessions.delete(this);
    }
  }

  const model = {
    session: () => new Session(),
    info: () => ({ build: 'simd128', dtype: 'f16', parameters: 1000, kernels: 'fake', context: CONTEXT, kvBytesPerToken: 32 }),
    async stats() {
      check();
      if (state.isStuck) await new Promise(() => {});
      return { sessions: state.sessions.size, kvBytes: 0, wasmBytes: 0 };
    },
  };
  return { model: /** @type {import('../../www/lib/client/session.js').Model} */ (/** @type {unknown} */ (model)), state, rendered };
}
