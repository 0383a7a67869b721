// What the rows about sessions share: messages, and a session that ends with its test.

/** @import { Env } from './table.js' */

export const GREEDY = { samplingMode: 'most-predictable' };
export const SYSTEM = { role: 'system', content: 'You are Ember.' };
export const user = (/** @type {string} */ content) => ({ role: 'user', content });
export const assistant = (/** @type {string} */ content) => ({ role: 'assistant', content });
export const NAME = 'My name is Ada.';
export const ASK = 'What is my name?';

/**
 * Runs `body` with a greedy session and destroys it afterwards.
 * @param {Env} env
 * @param {(session: any) => Promise<void>} body
 * @param {object} [options]
 */
export async function inSession({ LanguageModel }, body, options = {}) {
  const session = await LanguageModel.create({ ...GREEDY, ...options });
  try {
    await body(session);
  } finally {
    session.destroy();
  }
}
