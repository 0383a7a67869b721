// What callers pass to a session, as far as JavaScript has to look at it: the engine checks names and ranges.

import { badInput, badOption } from './errors.js';

/** @import { GenerateOptions } from './types.d.ts' */

/** What no option may be: the engine refuses it by the option's name. */
const NOTHING_KNOWN = [[]];

/**
 * Splits off the signal, and makes the rest what can be sent: numbers, texts, lists and plain objects of these.
 * @param {GenerateOptions} [options]
 * @returns {{ signal?: AbortSignal, rest: Record<string, unknown> }}
 */
export function splitOptions(options = {}) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  const { signal, ...rest } = options;
  if (signal && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
  for (const key in rest) {
    if (rest[key] === undefined) delete rest[key];
    else rest[key] = plain(rest[key]);
  }
  return { signal, rest };
}

/** @param {unknown} value @returns {unknown} */
function plain(value) {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
  if (Array.isArray(value)) return value.map((part) => (Array.isArray(part) ? NOTHING_KNOWN : plain(part)));
  const isRecord = typeof value === 'object' && [Object.prototype, null].includes(Object.getPrototypeOf(value));
  if (!isRecord) return NOTHING_KNOWN;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, typeof part === 'number' ? part : String(part)]));
}

/** @param {unknown} input */
export function checkInput(input) {
  if (typeof input !== 'string' && !Array.isArray(input)) throw badInput('input', 'a string or a list of messages', input);
}

/**
 * Wrong arguments fail the run, not the call that makes it: one place to catch them.
 * @param {() => ReturnType<typeof splitOptions>} check
 * @returns {Partial<ReturnType<typeof splitOptions>> & { error?: unknown }}
 */
export function attempt(check) {
  try {
    return check();
  } catch (error) {
    return { error };
  }
}
