// The model behind a LanguageModel class: loaded once, when the first session wants it, shared by all of them, and unloaded a while after the last has gone.

import { modelCache } from '../../client/model-cache.js';
import { isFireside } from '../../shared/errors.js';
import { folderUrl } from '../../client/source.js';

/** @import { Estimate, LoadOptions, Message, Progress, Source } from '../../shared/types.d.ts' */
/** @import { Model } from '../../client/model.js' */
/** @import { Session } from '../../client/session.js' */
/** @typedef {typeof import('../../client/model.js').Model} Engine */

/** @typedef {'unavailable' | 'downloadable' | 'downloading' | 'available'} Availability */

/** How long a model stays loaded that no session needs: pages make a session for each question. */
const IDLE_MS = 60_000;

/** Statuses of an answer that may be another the next time. */
const TRANSIENT = [408, 425, 429];

/** Makes what ends with an answer measurable. @type {Message} */
const QUESTION = { role: 'user', content: '' };

/** @typedef {{ controller: AbortController, reports: Set<(share: number) => void>, isDownload: boolean, model: Promise<Model> }} Loading */

export class Shared {
  #source;
  #options;
  #engine;
  /** @type {Model | undefined} */
  #model;
  /** A session without history, to measure with. @type {Session | undefined} */
  #scale;
  /** One that has the messages which are measured. @type {Session | undefined} */
  #holder;
  /** @type {Loading | undefined} */
  #loading;
  /** @type {Promise<Estimate> | undefined} */
  #estimate;
  #holders = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #idle;

  /**
   * @param {Source} source
   * @param {LoadOptions} options
   * @param {number} maxTokens
   * @param {Engine} engine
   */
  constructor(source, options, maxTokens, engine) {
    /** The most tokens that an answer may have. */
    this.maxTokens = maxTokens;
    this.#source = source;
    this.#options = options;
    this.#engine = engine;
  }

  /** Rejects where it cannot be told now: with the engine's NETWORK, BAD_OPTION or BAD_INPUT. @returns {Promise<Availability>} */
  async availability() {
    if (this.#model) return 'available';
    if (this.#loading) return this.#loading.isDownload ? 'downloading' : 'available';
    // A stream can be read once, and is in the page's hands.
    if (isRead(this.#source)) return 'available';
    try {
      this.#estimate ??= this.#engine.estimate(this.#source, this.#options);
      const { fits, fileBytes } = await this.#estimate;
      if (!fits) return 'unavailable';
      return (await this.#isHere(fileBytes)) ? 'available' : 'downloadable';
    } catch (error) {
      this.#estimate = undefined;
      if (!isFireside(error) || error.code === 'BAD_OPTION' || error.code === 'BAD_INPUT') throw error;
      const status = Number(error.details.status);
      if (error.code === 'NETWORK' && !(status >= 400 && status < 500 && !TRANSIENT.includes(status))) throw error;
      return 'unavailable';
    }
  }

  /** The model, for one holder more; whoever asked calls `release` in any case. @param {(share: number) => void} report @returns {Promise<Model>} */
  async hold(report) {
    clearTimeout(this.#idle);
    this.#holders++;
    report(0);
    if (!this.#model) {
      const loading = (this.#loading ??= this.#load());
      loading.reports.add(report);
      await loading.model;
    }
    report(1);
    return /** @type {Model} */ (this.#model);
  }

  /** A holder less. A load that nobody waits for is given up: what has come of it stays in the cache. */
  release() {
    if (--this.#holders > 0) return;
    this.#loading?.controller.abort();
    this.#loading = undefined;
    this.#idle = setTimeout(() => this.#unload(), IDLE_MS);
    /** @type {{ unref?: () => void }} */ (/** @type {unknown} */ (this.#idle)).unref?.();
  }

  /** Tokens of a whole conversation, with the opening of the answer to it. @param {Message[]} messages @returns {Promise<number>} */
  async tokens(messages) {
    this.#scale ??= /** @type {Model} */ (this.#model).session();
    const scale = this.#scale;
    // Only what can be answered can be measured: an empty question costs a few tokens more.
    const withQuestion = () => scale.measureContextUsage([...messages, QUESTION]);
    if (messages.at(-1)?.role === 'assistant') return withQuestion();
    return scale.measureContextUsage(messages).catch((error) => {
      if (isRefusedAlone(error, messages)) return withQuestion();
      throw error;
    });
  }

  /** Tokens of a whole conversation, without the opening of an answer. @param {Message[]} messages @returns {Promise<number>} */
  async usage(messages) {
    this.#holder ??= /** @type {Model} */ (this.#model).session();
    const answerable = messages.at(-1)?.role === 'assistant' ? [...messages, QUESTION] : messages;
    // Both are sent before anything is awaited: no other call sets messages between them.
    const held = this.#holder.setMessages(messages);
    const added = this.#holder.measureContextUsage(answerable);
    try {
      const [all, more] = await Promise.all([this.tokens(answerable), added, held]);
      return all - more;
    } catch (error) {
      if (isRefusedAlone(error, messages)) return this.usage([...messages, QUESTION]);
      throw error;
    }
  }

  /** Loads the model once more where the engine has stopped: then it does not answer anything. */
  async mend() {
    const model = /** @type {Model} */ (this.#model);
    await model.tokenize('').catch(() => model.reload());
  }

  /** @returns {Loading} */
  #load() {
    const controller = new AbortController();
    const onProgress = (/** @type {Progress} */ { phase, loaded, total }) => {
      loading.isDownload = phase === 'download' && isRemote(this.#source);
      const share = phase === 'build' ? 1 : total ? loaded / total : 0;
      for (const report of loading.reports) report(share);
    };
    const model = this.#engine.load(this.#source, { ...this.#options, signal: controller.signal, onProgress }).then(
      (model) => {
        if (this.#loading !== loading) model.dispose(); // given up in its last moment
        else [this.#model, this.#loading] = [model, undefined];
        return model;
      },
      (error) => {
        if (this.#loading === loading) this.#loading = undefined;
        throw error;
      },
    );
    model.catch(() => {}); // those who wait see it
    /** @type {Loading} */
    const loading = { controller, reports: new Set(), isDownload: isRemote(this.#source), model };
    return loading;
  }

  #unload() {
    this.#model?.dispose();
    this.#model = this.#scale = this.#holder = undefined;
  }

  /** Whether nothing need be fetched. @param {number} fileBytes of the weights */
  async #isHere(fileBytes) {
    if (!isRemote(this.#source)) return true;
    if (typeof this.#source !== 'string' && !(this.#source instanceof URL)) return false;
    const address = folderUrl(this.#source, this.#options.hub ?? 'https://huggingface.co').href;
    const kept = (await modelCache.list(address)).find(({ source }) => source === address);
    const weights = kept?.files.filter(({ file }) => file.endsWith('.safetensors')) ?? [];
    return weights.reduce((sum, { bytes, complete }) => (complete ? sum + bytes : sum), 0) >= fileBytes;
  }
}

/** Whether a template refuses these messages because they are a system prompt without a question. @param {any} error @param {Message[]} messages */
export function isRefusedAlone(error, messages) {
  return error?.code === 'BAD_TEMPLATE' && messages.every(({ role }) => role === 'system');
}

/** @param {Source} source @returns {unknown[]} what of it has a form of its own */
function inputs(source) {
  return typeof source === 'object' && source !== null && 'config' in source ? Object.values(source).flat() : [];
}

/** @param {Source} source */
function isRemote(source) {
  return typeof source === 'string' || source instanceof URL || inputs(source).some((input) => input instanceof URL);
}

/** @param {Source} source */
function isRead(source) {
  return inputs(source).some((input) => input instanceof ReadableStream || input instanceof Response);
}
