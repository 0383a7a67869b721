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
  const { signal, ...rest } = isRecord(options) ? options : /** @type {GenerateOptions} */ (plainOptions(options));
  if (signal && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
  return { signal, rest: plainOptions(rest) };
}

/** Options that can be sent. @param {unknown} [options] @returns {Record<string, unknown>} */
export function plainOptions(options = {}) {
  if (!isRecord(options)) throw badInput('options', 'an object', options);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given.map(([name, value]) => [name, plain(value)]));
}

/** Whether it is an object and nothing more: no list, no Map, no bytes; of whatever frame. @param {unknown} value @returns {value is Record<string, any>} */
function isRecord(value) {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** @param {unknown} value @returns {unknown} */
function plain(value) {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
  if (Array.isArray(value)) return value.map((part) => (Array.isArray(part) ? NOTHING_KNOWN : plain(part)));
  if (!isRecord(value)) return NOTHING_KNOWN;
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
