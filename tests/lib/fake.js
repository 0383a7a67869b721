// A fake of the wasm module and of the browser around it: the same interface, a word for a token, no
// arithmetic. A prompt is read word by word and answered with WORDS. The prompt `trap` ends like a wasm
// trap.

import { createHash } from 'node:crypto';

import { serve } from '../../www/lib/worker/engine.js';

/** @typedef {import('../../www/lib/shared/protocol.d.ts').Choice} Choice */
/** @typedef {import('../../www/lib/shared/types.d.ts').Message} Message */

const WORDS = 'Once upon a time there was a fox who kept a small fire by the sea.'.split(' ');
const INFO = {
  family: 'llama',
  parameters: 1000,
  vocab: 16,
  layers: 1,
  hidden: 8,
  context: 64,
  dtype: 'f16',
  weightBytes: 2000,
  kvBytesPerToken: 32,
  chatTemplate: /** @type {const} */ ('model'),
  kernels: 'fake',
  ignoredConfig: [],
  ignoredTensors: [],
  defaults: { maxTokens: 200, minTokens: 0, temperature: 0.8, topK: 0, topP: 0.9, minP: 0, typicalP: 1, repetitionPenalty: 1 },
};

/**
 * @param {string} code
 * @param {string} message
 * @param {object} [details]
 */
function failure(code, message, details = {}) {
  return Object.assign(new Error(message), { name: 'FiresideError', code, details });
}

/**
 * @param {object} [settings]
 * @param {number} [settings.stepMs]
 * @param {number} [settings.workMs] of prefill, whose steps are then as long as allowed
 * @param {object} [settings.overflow] what every run reports first
 * @param {string[]} [settings.log]
 * @param {{ over: boolean }} [settings.life] `over`: the worker was terminated
 * @param {(chunk: Uint8Array) => void} [settings.onPush]
 */
function fakeWasm({ stepMs = 0, workMs = 0, overflow, log = [], life = { over: false }, onPush = () => {} } = {}) {
  const wait = (ms = stepMs) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  };

  /** Runs that wait for the model's step. @type {Set<any>} */
  const waiting = new Set();

  class Run {
    /**
     * @param {Session} session
     * @param {string} prompt
     * @param {any} options
     * @param {Message[]} [turn]
     */
    constructor(session, prompt, options, turn) {
      if (session.busy) throw failure('BAD_INPUT', 'the session is busy');
      for (const key of Object.keys(options ?? {}))
        if (!['maxTokens', 'temperature', 'seed'].includes(key))
          throw failure('BAD_OPTION', `option \`${key}\`: expected one of maxTokens, temperature, seed, got ${options[key]}.`, {
            option: key,
          });
      if (typeof options?.seed === 'object')
        throw failure('BAD_OPTION', `option \`seed\`: expected a number, got ${Array.isArray(options.seed) ? 'a list' : JSON.stringify(options.seed)}.`);
      if (options?.temperature < 0)
        throw failure('BAD_OPTION', 'option `temperature`: expected 0 or more, got -1.', { option: 'temperature' });
      if (!prompt) throw failure('BAD_INPUT', 'prompt: expected text, got nothing.');
      session.busy = true;
      Object.assign(this, { session, prompt, turn, max: options?.maxTokens ?? 20, at: -1, said: '' });
      log.push(`start ${prompt}`);
    }
    /** What it has come to; nothing while it waits for the model's step. */
    poll() {
      const self = /** @type {any} */ (this);
      if (life.over || self.prompt === 'trap') throw new WebAssembly.RuntimeError('unreachable');
      if (overflow && !self.told) {
        self.told = true;
        return { kind: 'overflow', ...overflow };
      }
      const { ready } = self;
      self.ready = undefined;
      if (!ready && self.at < self.max) waiting.add(this);
      return ready ?? (self.at < self.max ? undefined : this.end());
    }
    /** Computes its next step. @param {number} prefillWork */
    compute(prefillWork) {
      const self = /** @type {any} */ (this);
      wait();
      if (life.over) throw new WebAssembly.RuntimeError('unreachable');
      if (self.at < 0) {
        const total = self.prompt.split(' ').length;
        const read = workMs ? Math.min(prefillWork, total - (self.read ?? 0)) : 1;
        wait(workMs * read);
        log.push(`prefill ${read}`);
        self.read = (self.read ?? 0) + read;
        if (self.read === total) self.at = 0;
        return { kind: 'prefill', done: self.read, total, work: read };
      }
      if (self.at < self.max) {
        const text = ` ${WORDS[self.at % WORDS.length]}`;
        self.said += text;
        self.at += 1;
        return { kind: 'token', text, completionTokens: self.at, choice: 0 };
      }
      throw new Error('the run has ended');
    }
    end() {
      const self = /** @type {any} */ (this);
      self.session.busy = false;
      if (self.turn) self.session.history = self.max ? [...self.turn, { role: 'assistant', content: self.said }] : self.turn;
      self.session.used += 3 + self.at;
      log.push(`end ${self.prompt}`);
      const usage = { promptTokens: 3, completionTokens: self.at, cachedTokens: 0 };
      return { kind: 'end', text: '', choice: 0, choices: [{ text: self.said, finishReason: 'length' }], usage };
    }
    abort() {
      log.push(`abort ${/** @type {any} */ (this).prompt}`);
      waiting.delete(this);
      /** @type {any} */ (this).session.busy = false;
    }
    free() {
      log.push('free run');
      /** @type {any} */ (this).session.busy = false;
    }
  }

  class Session {
    busy = false;
    used = 0;
    /** @type {Message[]} */
    history = [];
    /** @type {object} */
    opening = {};
    /**
     * @param {string} prompt
     * @param {object} [options]
     */
    generate(prompt, options) {
      return new Run(this, prompt, options);
    }
    /**
     * @param {string | Message[]} input
     * @param {object} [options]
     */
    chat(input, options) {
      const turn = typeof input === 'string' ? [...this.history, { role: 'user', content: input }] : input;
      return new Run(this, turn.at(-1)?.content ?? '', options, turn);
    }
    /** @param {object} [options] */
    regenerate(options) {
      return this.chat(this.history.slice(0, this.history.findLastIndex(({ role }) => role !== 'assistant') + 1), options);
    }
    /** @param {Message[]} messages */
    append(messages) {
      const turn = [...this.history, ...messages];
      return new Run(this, turn.at(-1)?.content ?? '', { maxTokens: 0 }, turn);
    }
    clone() {
      return Object.assign(new Session(), { history: this.history, used: this.used, opening: this.opening });
    }
    save() {
      return new TextEncoder().encode(`FIRESIDE${JSON.stringify({ history: this.history, opening: this.opening })}`);
    }
    messages() {
      return this.history;
    }
    /** @param {Message[]} messages */
    setMessages(messages) {
      this.history = messages;
      log.push(`restore ${messages.length}`);
    }
    options() {
      return this.opening;
    }
    reset() {
      this.history = [];
      this.used = 0;
    }
    stats() {
      return { contextUsage: this.used, contextWindow: 64, kvBytes: this.used * 32, sharedBytes: 0, wasmBytes: 1 << 20 };
    }
    /** @param {string | Message[]} input */
    measureContextUsage(input) {
      return this.used + input.length;
    }
    info() {
      return INFO;
    }
    free() {
      log.push('free session');
    }
  }

  class Model {
    info() {
      return INFO;
    }
    /** @param {number} prefillWork */
    step(prefillWork) {
      if (waiting.size === 0) return undefined;
      let work = 0;
      for (const run of waiting) {
        run.ready = run.compute(prefillWork);
        work += run.ready.work ?? 0;
      }
      waiting.clear();
      return work;
    }
    /** @param {any} [options] */
    session(options) {
      if (options?.chatTemplateKwargs?.unread) throw failure('BAD_OPTION', 'option `chatTemplateKwargs.unread`: the template does not read it.');
      return Object.assign(new Session(), { opening: options ?? {} });
    }
    /** @param {Uint8Array} bytes */
    restore(bytes) {
      try {
        return Object.assign(new Session(), JSON.parse(new TextDecoder().decode(bytes.subarray(8))));
      } catch {
        throw failure('BAD_INPUT', 'These bytes are not a saved session. Pass what `session.save()` returned.');
      }
    }
    stats() {
      return { kvBytes: 0, kvBytesMax: 1 << 30, wasmBytes: 1 << 20 };
    }
    /** @param {string} text */
    tokenize(text) {
      return Uint32Array.from(text.split(' ').keys());
    }
    /** @param {Uint32Array} ids */
    detokenize(ids) {
      return Array.from(ids, (id) => WORDS[id]).join(' ');
    }
    free() {}
  }

  /** What the engine got. @param {any} files */
  const namesOf = (files) =>
    Object.keys(files)
      .filter((key) => files[key])
      .join(' ');

  /** The files of a GGUF model, by the name of the first. @param {string} name */
  const partsOf = (name) => {
    const [, begin, count] = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(name) ?? [];
    return begin ? Array.from({ length: Number(count) }, (_, at) => `${begin}-${String(at + 1).padStart(5, '0')}-of-${count}.gguf`) : [name];
  };

  class Loader {
    bytes = 0;
    /** @param {string} name @param {any} files */
    static gguf(name, files) {
      log.push(`load ${name} ${namesOf(files)}`.trim());
      return Object.assign(Object.create(Loader.prototype), { bytes: 0, names: partsOf(name), isGguf: true });
    }
    /** @param {any} files */
    constructor(files) {
      const config = JSON.parse(new TextDecoder().decode(files.config));
      if (config.broken) throw failure('UNSUPPORTED_MODEL', 'config.json: model_type is broken, which Fireside does not support.');
      this.names = files.index ? Object.keys(JSON.parse(new TextDecoder().decode(files.index)).files) : ['model.safetensors'];
      log.push(`load ${namesOf(files)}`);
    }
    files() {
      return this.names;
    }
    /** @param {Uint8Array} chunk */
    push(chunk) {
      wait();
      if (life.over) throw new Error('the worker was ended');
      // A GGUF file of a model that does not fit, or of none.
      if (this.isGguf && !this.bytes && chunk[0] === '!'.charCodeAt(0)) throw failure('OUT_OF_MEMORY', 'it does not fit');
      if (this.isGguf && !this.bytes && chunk[0] !== 'G'.charCodeAt(0)) throw failure('NOT_A_MODEL_FILE', 'it is no GGUF file');
      this.bytes += chunk.length;
      log.push(`push ${chunk.length}`);
      onPush(chunk);
    }
    endFile() {
      this.bytes = 0;
      log.push('end file');
    }
    finish() {
      return new Model();
    }
    free() {
      log.push('free loader');
    }
  }

  /** The header of a GGUF file has as many bytes as the number after its magic says. */
  class Estimator {
    /** @param {string} name @param {any} files */
    static gguf(name, files) {
      log.push(`estimate ${name} ${namesOf(files)}`.trim());
      return Object.assign(new Estimator(), { names: partsOf(name) });
    }
    files() {
      return /** @type {any} */ (this).names;
    }
    /** @param {Uint8Array} head */
    header(head) {
      log.push(`head ${head.length}`);
      const [, bytes] = /^GGUF(\d+) /.exec(new TextDecoder().decode(head.subarray(0, 20))) ?? [];
      return head.length < Number(bytes) ? 2 * head.length : Number(bytes);
    }
    finish() {
      return { fits: true, kvBytesPerToken: 32 };
    }
    free() {}
  }

  class Sha256 {
    hash = createHash('sha256');
    /** @param {Uint8Array} bytes */
    update(bytes) {
      this.hash.update(bytes);
    }
    digest() {
      return this.hash.digest('hex');
    }
  }

  return /** @type {import('../../www/lib/worker/types.d.ts').EngineModule} */ (
    /** @type {unknown} */ ({
      default: async () => {},
      initSync() {},
      buildInfo: () => ({ kernels: 'fake', version: '0' }),
      readsOlderFiles: (tokenizerConfig) => !tokenizerConfig || !new TextDecoder().decode(tokenizerConfig).includes('"added_tokens_decoder"'),
      Loader,
      Estimator,
      Sha256,
      Model,
      Session,
      Run,
    })
  );
}

/**
 * The browser around it: a "worker" is the engine at the other end of a message channel of the same thread.
 * @param {object} [settings]
 * @param {number} [settings.stepMs]
 * @param {number} [settings.workMs]
 * @param {object} [settings.overflow]
 * @param {string[]} [settings.log]
 * @param {(chunk: Uint8Array) => void} [settings.onPush]
 * @param {Choice} [settings.choice] of the build
 * @param {number} [settings.lame]
 * @param {{ threads: number, reason?: Choice['reason'] }} [settings.settled] the threads that started
 */
export function fakePlatform(settings = {}) {
  const { log = [], choice = { build: 'simd128', threads: 1, auto: true }, settled, lame } = settings;
  return {
    /** The arguments of `choose`. */
    wanted: /** @type {object[]} */ ([]),
    /** The running workers. */
    workers: new Set(),
    log,
    check() {},
    /** @param {object} wanted */
    choose(wanted) {
      this.wanted.push(wanted);
      return choice;
    },
    compile: async () => ({}),
    notStarted: async (_kind, detail) => failure('UNSUPPORTED_ENVIRONMENT', detail),
    /** A thread. All but the `lame`th can start. */
    spawnThread() {
      const isLame = this.threads.size + 1 === lame;
      const thread = {
        postMessage: () => queueMicrotask(() => (isLame ? thread.onerror({}) : thread.onmessage({}))),
        terminate: () => this.threads.delete(thread),
        onmessage: (/** @type {any} */ _) => {},
        onerror: (/** @type {any} */ _) => {},
      };
      this.threads.add(thread);
      return thread;
    },
    threads: new Set(),
    spawn() {
      const { port1, port2 } = new MessageChannel();
      const life = { over: false };
      const wasm = fakeWasm({ ...settings, log, life });
      serve(/** @type {any} */ (port2), async () => ({ wasm, settle: async (_, started) => settled ?? { threads: started } }));
      this.workers.add(port1);
      return Object.assign(/** @type {any} */ (port1), {
        terminate: () => {
          life.over = true;
          this.workers.delete(port1);
          port1.close();
        },
      });
    },
  };
}
