// The Prompt API of the W3C's Web Machine Learning Community Group
// (https://webmachinelearning.github.io/prompt-api/) with a model of yours, for browsers without
// `LanguageModel` or in place of their model.
//
//     import { install } from 'fireside-lm/prompt-api';
//     install({ source: 'models/chat/' });
//     const session = await LanguageModel.create();
//     console.log(await session.prompt('What is the capital of France?'));
//
// docs/prompt-api.md lists every behaviour with its source.

import { badInput, badOption } from '../shared/errors.js';
import { Model } from '../client/model.js';
import { checkActive, creating, QuotaExceededError, telling } from './prompt-api/exceptions.js';
import { toCoreOptions, toCreateOptions } from './prompt-api/input.js';
import { create, PromptSession } from './prompt-api/language-model.js';
import { params } from './prompt-api/sampling.js';
import { Shared } from './prompt-api/shared.js';

/** @import { LoadOptions, Source } from '../shared/types.d.ts' */
/** @import { CreateMonitor } from './prompt-api/handlers.js' */

/**
 * The options of `create`.
 * @typedef
 *   {{ signal?: AbortSignal, monitor?: (monitor: CreateMonitor) => void, initialPrompts?: Iterable<object>,
 *   [option: string]: unknown }}
 *   CreateOptions
 */

/**
 * The static members of the class.
 * @typedef {object} Statics
 * @property {PromptSession} prototype
 * @property {(options?: object) => Promise<'unavailable' | 'downloadable' | 'downloading' | 'available'>}
 *   availability
 * @property {(options?: CreateOptions) => Promise<PromptSession>} create
 * @property {() => Promise<ReturnType<typeof params>>} params typed like the browser's. Both resolve with
 *   null while the answer would need a download
 */
/**
 * The public type of the class. Sessions are its instances; `create` makes them.
 * @typedef {Statics & (abstract new () => PromptSession)} LanguageModelClass
 */

/**
 * Where the model is, and how to load it. `maxTokens`: the maximum number of tokens of an answer; default:
 * 2,048.
 * @typedef {{ source: Source, maxTokens?: number } & Omit<LoadOptions, 'signal' | 'onProgress'>}
 *   PromptSettings
 */

/** The limit of an answer, because a small model may repeat itself without end. */
const MAX_TOKENS = 2048;

/**
 * A class like `LanguageModel` for one model. The first `create()` loads the model, all sessions of the
 * class share it, and it is unloaded a minute after the last of them was destroyed. Throws a FiresideError
 * for invalid settings.
 * @param {PromptSettings} settings
 * @param {{ Model?: typeof Model }} [engine] another engine, for tests
 * @returns {LanguageModelClass}
 */
export function createLanguageModel(settings, { Model: engine = Model } = {}) {
  if (settings === null || typeof settings !== 'object') throw badInput('settings', 'an object with `source` and options of loading', settings);
  const { source, maxTokens = MAX_TOKENS, ...options } = settings;
  if (source === undefined) throw badInput('source', 'the folder of a model', source);
  if (!(Number.isInteger(maxTokens) && maxTokens >= 1)) throw badOption('maxTokens', 'a whole number of tokens, 1 or more', maxTokens);
  for (const option of ['signal', 'onProgress']) {
    if (option in options) throw badOption(option, 'nothing here: `create()` takes a `signal` and a `monitor`', Reflect.get(options, option));
  }
  const shared = new Shared(source, options, maxTokens, engine);

  class LanguageModel extends PromptSession {
    /**
     * Whether a session is possible: `unavailable`, `downloadable`, `downloading` or `available`. Rejects
     * with a TypeError or RangeError for invalid options, and with UnknownError if the answer cannot be
     * known now.
     * @param {object} [options]
     */
    static async availability(options) {
      checkActive();
      if (toCoreOptions(options).unsupported) return 'unavailable';
      try {
        return await shared.availability();
      } catch (error) {
        throw telling(error);
      }
    }

    /**
     * A new session. Needs no user activation: it is your page that decides to download.
     * @param {CreateOptions} [options]
     * @returns {Promise<LanguageModel>}
     */
    static async create(options) {
      checkActive();
      return /** @type {Promise<LanguageModel>} */ (create(LanguageModel, shared, toCreateOptions(options)));
    }

    /** The model's sampling defaults and limits; null while they would need a download. */
    static async params() {
      if ((await LanguageModel.availability()) !== 'available') return /** @type {any} */ (null);
      try {
        return params((await shared.hold(() => {})).info());
      } catch (error) {
        throw creating(error);
      } finally {
        shared.release();
      }
    }
  }
  // Nobody but `create()` constructs sessions: to its users the class is abstract.
  return /** @type {LanguageModelClass} */ (/** @type {unknown} */ (LanguageModel));
}

/**
 * Sets `globalThis.LanguageModel` if the browser has none, and returns the class that is there now, the
 * browser's or this one.
 * @param {PromptSettings & { replace?: boolean }} settings `replace`: also if the browser has one
 * @returns {LanguageModelClass}
 */
export function install({ replace = false, ...settings }) {
  const own = Reflect.get(globalThis, 'LanguageModel');
  if (own && !replace) return own;
  const LanguageModel = createLanguageModel(settings);
  for (const [name, value] of Object.entries({ LanguageModel, QuotaExceededError })) {
    if (name === 'LanguageModel' || !(name in globalThis)) Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
  }
  return LanguageModel;
}
