// A stand-in for Model and Session: the same surface, a word for a token, an answer that tells which words it was asked, and no arithmetic. What it is asked to do
// wrong it does: `crash` as a question stops the engine, a source with `missing`, `offline` or `huge` in its name is that.

import { FiresideError } from '../../www/lib/shared/errors.js';
import { Run } from '../../www/lib/client/run.js';

/** @typedef {import('../../www/lib/shared/types.d.ts').Message} Message */

export const WINDOW = 96;

/** Tokens of each message beside its words, and of what opens an answer. */
const [MESSAGE, OPENING] = [2, 1];

const words = (/** @type {string} */ text) => text.split(/\s+/).filter(Boolean);
const tokens = (/** @type {Message[]} */ messages) => messages.reduce((sum, { content }) => sum + MESSAGE + words(content).length, 0);
const tick = () => new Promise((resolve) => setTimeout(resolve, 1));
const DEFAULTS = { maxTokens: 20, minTokens: 0, temperature: 0.5, topK: 0, topP: 1, minP: 0, typicalP: 1, repetitionPenalty: 1 };

/** @param {Message[]} messages */
function answerTo(messages) {
  const heard = messages.flatMap(({ content }) => words(content));
  return `${messages.length} messages of ${heard.length} words, the last of them ${heard.at(-1) ?? 'none'}`;
}

/** An engine with a log of its own. @param {{ strict?: boolean }} [settings] `strict`: its template refuses a system prompt by itself */
export function fakeEngine({ strict = false } = {}) {
  /** @type {string[]} */
  const log = [];

  class Session {
    /** @type {Message[]} */
    history = [];
    contextUsage = 0;
    contextWindow = WINDOW;
    /** @type {Promise<unknown>} */
    tail = Promise.resolve();
    over = false;
    /** Messages were set that have not been computed. */
    isSet = false;
    /** @param {Model} model */
    constructor(model) {
      this.model = model;
    }
    /** @template T @param {() => Promise<T> | T} job @returns {Promise<T>} */
    queue(job) {
      const turn = this.tail.then(() => {
        if (this.over) throw new FiresideError('DISPOSED', 'this session has been disposed of.');
        if (this.model.stopped) throw new FiresideError('CRASHED', 'the engine stopped.');
        return job();
      });
      this.tail = turn.catch(() => {});
      return turn;
    }
    /** @param {Message[]} messages */
    check(messages) {
      if (strict && messages.every(({ role }) => role === 'system')) throw new FiresideError('BAD_TEMPLATE', 'a system message alone');
      if (messages.at(-1)?.role === 'assistant') throw new FiresideError('BAD_INPUT', 'messages: expected a last message to answer');
    }
    /** @param {Message[]} messages @param {{ signal?: AbortSignal, temperature?: number, topK?: number, maxTokens?: number }} options */
    chat(messages, { signal, ...options }) {
      return new Run(
        (onPiece, stop) =>
          this.queue(async () => {
            this.check(messages);
            const prompt = tokens(messages) + OPENING;
            if (prompt >= WINDOW) throw new FiresideError('CONTEXT_OVERFLOW', 'too long', { requested: prompt + 1, contextWindow: WINDOW });
            log.push(`chat ${messages.length} ${JSON.stringify(options)}`);
            let [said, count] = ['', 0];
            for (const word of words(answerTo(messages))) {
              await tick();
              stop.throwIfAborted();
              if (messages.at(-1)?.content === 'crash') this.model.stopped = true;
              if (this.model.stopped) throw new FiresideError('CRASHED', 'the engine stopped.');
              if (prompt + count === WINDOW || count === options.maxTokens) break;
              const text = said ? ` ${word}` : word;
              said += text;
              onPiece({ text, completionTokens: ++count, tokensPerSecond: 1, choice: 0 });
            }
            await tick(); // too late for an abort
            this.history = [...messages, { role: 'assistant', content: said }];
            this.contextUsage = prompt + count;
            return /** @type {any} */ ({ text: said, finishReason: 'stop' });
          }),
        signal,
      );
    }
    /** @param {Message[]} messages @param {{ signal?: AbortSignal }} [options] */
    append(messages, { signal } = {}) {
      return this.queue(async () => {
        if (strict && [...this.history, ...messages].every(({ role }) => role === 'system')) throw new FiresideError('BAD_TEMPLATE', 'a system message alone');
        if (tokens([...this.history, ...messages]) > WINDOW) throw new FiresideError('CONTEXT_OVERFLOW', 'too long', { requested: WINDOW + 1, contextWindow: WINDOW });
        await tick();
        signal?.throwIfAborted();
        if (this.isSet) log.push(`compute ${this.history.length}`);
        this.isSet = false;
        log.push(`append ${messages.length}`);
        this.history = [...this.history, ...messages];
        this.contextUsage = tokens(this.history);
      });
    }
    /** @param {Message[]} messages */
    measureContextUsage(messages) {
      return this.queue(() => {
        this.check(messages);
        if (strict && this.history.length > 0 && this.history.every(({ role }) => role === 'system')) throw new FiresideError('BAD_TEMPLATE', 'a system message alone');
        return Math.max(0, tokens(messages) + OPENING - tokens(this.history));
      });
    }
    clone() {
      return this.queue(() => {
        log.push('clone');
        const copy = this.model.session();
        [copy.history, copy.contextUsage] = [this.history, this.contextUsage];
        return copy;
      });
    }
    /** @param {Message[]} messages */
    setMessages(messages) {
      return this.queue(() => {
        this.history = messages;
        this.isSet = true;
      });
    }
    dispose() {
      this.over = true;
      log.push('dispose session');
    }
  }

  class Model {
    stopped = false;
    /** @param {string} source @param {any} options */
    static async load(source, { signal, memoryBytesMax = Infinity, onProgress = () => {} }) {
      log.push(`load ${source}`);
      if (memoryBytesMax <= 1000) throw new FiresideError('OUT_OF_MEMORY', 'too large');
      for (let loaded = 0; loaded <= 10; loaded++) {
        await tick();
        if (signal?.aborted) log.push(`given up ${source}`);
        onProgress({ phase: 'download', file: 'model.safetensors', loaded, total: 10 });
        signal?.throwIfAborted();
        if (/missing|offline/.test(source)) throw new FiresideError('NETWORK', 'model.safetensors is missing.', { status: 404 });
      }
      onProgress({ phase: 'build', file: '', loaded: 10, total: 10 });
      return new Model();
    }
    /** @param {string} source @param {any} options */
    static async estimate(source, { memoryBytesMax = Infinity }) {
      if (/missing/.test(source)) throw new FiresideError('NETWORK', 'config.json: 404', { status: 404 });
      if (/offline/.test(source)) throw new FiresideError('NETWORK', 'config.json: no answer');
      return { fits: memoryBytesMax > 1000, fileBytes: 1000 };
    }
    session() {
      return new Session(this);
    }
    info() {
      return { defaults: DEFAULTS, vocab: 50, context: WINDOW };
    }
    async tokenize() {
      if (this.stopped) throw new FiresideError('CRASHED', 'the engine stopped.');
      return new Uint32Array();
    }
    async reload() {
      log.push('reload');
      this.stopped = false;
    }
    dispose() {
      log.push('dispose model');
    }
  }

  return { Model: /** @type {any} */ (Model), log, answerTo };
}
