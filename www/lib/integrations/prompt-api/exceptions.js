// The exceptions of the Prompt API, and their mapping from the engine's errors. The engine's message becomes
// the message, the error itself the `cause`.

import { isFireside } from '../../shared/errors.js';

/** @import { ErrorCode } from '../../shared/types.d.ts' */

// A frame that is taken out of its page loses the classes that it has not used yet.
const { DOMException } = globalThis;

/** @typedef {{ quota?: number, requested?: number }} QuotaOptions */
/** @typedef {DOMException & { quota: number | null, requested: number | null }} QuotaException */

/** The platform's class, or one of the same shape. Source: Web IDL, `QuotaExceededError`. */
export const QuotaExceededError =
  /** @type {new (message?: string, options?: QuotaOptions) => QuotaException} */ (
    Reflect.get(globalThis, 'QuotaExceededError') ??
      class QuotaExceededError extends DOMException {
        /** @param {string} [message] @param {{ quota?: number, requested?: number }} [options] */
        constructor(message, { quota, requested } = {}) {
          super(message, 'QuotaExceededError');
          this.quota = quota ?? null;
          this.requested = requested ?? null;
        }
      }
  );

/** Throws where the frame was taken out of its page: it can neither load nor answer. */
export function checkActive() {
  if (globalThis.document && !globalThis.document.defaultView) throw invalidState('The frame that this LanguageModel belongs to has been removed. Use one of a page that is open.');
}

/** @param {string} message */
export const invalidState = (message) => new DOMException(message, 'InvalidStateError');

/** @param {string} message */
export const notSupported = (message) => new DOMException(message, 'NotSupportedError');

/** @param {string} message */
export const syntaxError = (message) => new DOMException(message, 'SyntaxError');

/** @param {number} requested @param {number} quota Units: tokens */
export function quotaExceeded(requested, quota) {
  const message = `The input takes ${requested} tokens and the context window has ${quota}, of which the answer needs one at least. Older messages were left out of the count. Shorten the input.`;
  return new QuotaExceededError(message, { requested, quota });
}

/**
 * The exceptions for the engine's errors during the creation of a session.
 * @type {Partial<Record<ErrorCode, string>>}
 */
const CREATING = {
  NETWORK: 'NetworkError',
  UNSUPPORTED_MODEL: 'NotSupportedError',
  UNSUPPORTED_ENVIRONMENT: 'NotSupportedError',
  OUT_OF_MEMORY: 'NotSupportedError',
};

/** What becomes of them later. @type {Partial<Record<ErrorCode, string>>} */
const PROMPTING = { BAD_TEMPLATE: 'NotSupportedError' };

/** @param {unknown} error @returns {unknown} for `create()` */
export function creating(error) {
  return exception(error, CREATING, 'OperationError');
}

/** @param {unknown} error @returns {unknown} for `availability()` */
export function telling(error) {
  return exception(error, {}, 'UnknownError');
}

/** @param {unknown} error @returns {unknown} for everything that a session does */
export function prompting(error) {
  return exception(error, PROMPTING, 'UnknownError');
}

/** @param {unknown} error @param {Partial<Record<ErrorCode, string>>} names @param {string} other */
function exception(error, names, other) {
  // A wrong option of the engine is a mistake of the program that made the class, so the error stays as it
  // is.
  if (!isFireside(error) || error.code === 'BAD_OPTION') return error;
  if (error.code === 'CONTEXT_OVERFLOW') return quotaExceeded(Number(error.details.requested), Number(error.details.contextWindow));
  const replaced = new DOMException(error.message, names[error.code] ?? other);
  return Object.defineProperty(replaced, 'cause', { value: error, configurable: true, writable: true });
}
