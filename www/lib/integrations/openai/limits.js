// The options of a handler besides its models. They are checked where the handler is created, and in a page
// whose service worker creates it.

import { badOption } from '../../shared/errors.js';

/**
 * A prompt with more UTF-16 units than this for each token of the context is refused unread. A token of
 * ordinary text has four or five.
 */
export const CHARS_PER_TOKEN = 32;

export const LIMITS = {
  concurrency: 1,
  queueMax: 32,
  sessionsMax: 8,
  kvBytesMax: 512 * 2 ** 20,
  bodyBytesMax: 2 ** 20,
  bufferBytesMax: 65_536,
  stallMs: 30_000,
  healthMs: 5_000,
  maxTokens: /** @type {number | undefined} */ (undefined),
  promptCharsMax: /** @type {number | undefined} */ (undefined),
  publicPrompts: /** @type {readonly string[]} */ ([]),
};

/** Those that may be none. */
const FROM_ZERO = ['queueMax', 'kvBytesMax'];

/**
 * Errors: BAD_OPTION for an unknown name and for a wrong value.
 * @param {Partial<typeof LIMITS>} limits
 * @returns {typeof LIMITS}
 */
export function settle(limits) {
  const settled = { ...LIMITS };
  for (const [name, value] of Object.entries(limits)) {
    if (!Object.hasOwn(LIMITS, name)) throw badOption(name, `one of models, ${Object.keys(LIMITS).join(', ')}`, value);
    if (value === undefined) continue;
    if (name === 'publicPrompts') {
      const isTexts = Array.isArray(value) && value.every((text) => typeof text === 'string' && text !== '');
      if (!isTexts) throw badOption(name, 'a list of texts, none of them empty', value);
      settled.publicPrompts = value;
      continue;
    }
    const min = FROM_ZERO.includes(name) ? 0 : 1;
    if (!(Number.isSafeInteger(value) && Number(value) >= min)) throw badOption(name, `a whole number from ${min} on`, value);
    Object.assign(settled, { [name]: value });
  }
  return settled;
}
