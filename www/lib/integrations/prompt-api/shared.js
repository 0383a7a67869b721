// The model of a LanguageModel class. The first session loads it, all sessions share it, and it is unloaded
// a while after the last one has ended.

import { modelCache } from '../../client/model-cache.js';
import { sourceUrl } from '../../client/source.js';
import { isFireside } from '../../shared/errors.js';
import { isWeights } from '../../shared/store.js';

/** @import { Estimate, LoadOptions, Message, Progress, Source } from '../../shared/types.d.ts' */
/** @import { Model } from '../../client/model.js' */
/** @import { Session } from '../../client/session.js' */
/** @typedef {typeof import('../../client/model.js').Model} Engine */

/** @typedef {'unavailable' | 'downloadable' | 'downloading' | 'available'} Availability */

/** How long an unused model stays loaded, because pages make a session for each question. */
const IDLE_MS = 60_000;

/** HTTP statuses that may differ the next time. */
const TRANSIENT = [408, 425, 429];

/** Added to measure a conversation that ends with an answer. @type {Message} */
const QUESTION = { role: 'user', content: '' };

/**
 * @typedef {object} Loading
 * @property {AbortController} controller
 * @property {Set<(share: number) => void>} reports
 * @property {boolean} isDownload
 * @property {Promise<Model>} model
 */

export class Shared {
  #source;
  #options;
  #engine;
  /** @type {Model | undefined} */
  #model;
  /** A session without history, which measures. @type {Session | undefined} */
  #scale;
  /** A session with the measured messages. @type {Session | undefined} */
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
    /** The maximum number of tokens of an answer. */
    this.maxTokens = maxTokens;
    this.#source = source;
    this.#options = options;
    this.#engine = engine;
  }

  /**
   * Rejects with the engine's NETWORK, BAD_OPTION or BAD_INPUT if the answer cannot be known now.
   * @returns {Promise<Availability>}
   */
  async availability() {
    if (this.#model) return 'available';
    if (this.#loading) return this.#loading.isDownload ? 'downloading' : 'available';
    // A stream is in the page already, and can be read only once.
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

  /**
   * The model, for one more holder. The caller must call `release` in any case.
   * @param {(share: number) => void} report
   * @returns {Promise<Model>}
   */
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

  /** One holder less. A load that nobody waits for is aborted; the downloaded part stays stored. */
  release() {
    if (--this.#holders > 0) return;
    this.#loading?.controller.abort();
    this.#loading = undefined;
    this.#idle = setTimeout(() => this.#unload(), IDLE_MS);
    /** @type {{ unref?: () => void }} */ (/** @type {unknown} */ (this.#idle)).unref?.();
  }

  /**
   * The tokens of a whole conversation and of the opening of an answer.
   * @param {Message[]} messages
   * @returns {Promise<number>}
   */
  async tokens(messages) {
    this.#scale ??= /** @type {Model} */ (this.#model).session();
    const scale = this.#scale;
    // Only a conversation with an open question can be measured. An empty question adds a few tokens.
    const withQuestion = () => scale.measureContextUsage([...messages, QUESTION]);
    if (messages.at(-1)?.role === 'assistant') return withQuestion();
    return scale.measureContextUsage(messages).catch((error) => {
      if (isRefusedAlone(error, messages)) return withQuestion();
      throw error;
    });
  }

  /**
   * The tokens of a whole conversation, without the opening of an answer.
   * @param {Message[]} messages
   * @returns {Promise<number>}
   */
  async usage(messages) {
    this.#holder ??= /** @type {Model} */ (this.#model).session();
    const answerable = messages.at(-1)?.role === 'assistant' ? [...messages, QUESTION] : messages;
    // Both are sent before the first await, so that no other call sets messages in between.
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

  /** Loads the model again if the engine has stopped. */
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

  /** Whether all weights are stored already. @param {number} fileBytes of the weights */
  async #isHere(fileBytes) {
    if (!isRemote(this.#source)) return true;
    if (typeof this.#source !== 'string' && !(this.#source instanceof URL)) return false;
    const address = sourceUrl(this.#source, this.#options.hub ?? 'https://huggingface.co').href;
    const kept = (await modelCache.list(address)).find(({ source }) => source === address);
    const weights = kept?.files.filter(({ file }) => isWeights(file)) ?? [];
    return weights.reduce((sum, { bytes, complete }) => (complete ? sum + bytes : sum), 0) >= fileBytes;
  }
}

/**
 * Whether the template refused these messages because they are a system prompt without a question.
 * @param {any} error
 * @param {Message[]} messages
 */
export function isRefusedAlone(error, messages) {
  return error?.code === 'BAD_TEMPLATE' && messages.every(({ role }) => role === 'system');
}

/** @param {Source} source @returns {unknown[]} its single files */
function inputs(source) {
  return typeof source === 'object' && source !== null && ('config' in source || 'weights' in source) ? Object.values(source).flat() : [];
}

/** @param {Source} source */
function isRemote(source) {
  return typeof source === 'string' || source instanceof URL || inputs(source).some((input) => input instanceof URL);
}

/** @param {Source} source */
function isRead(source) {
  return inputs(source).some((input) => input instanceof ReadableStream || input instanceof Response);
}
