// What callers pass to a session, as far as JavaScript has to look at it: the engine checks names and
// ranges.

import { badInput, badMessage, badOption, show } from '../shared/errors.js';

/** @import { GenerateOptions, MessageInput, SessionOptions } from '../shared/types.d.ts' */

/** A value that no option takes. The engine refuses it by the option's name. */
const NOTHING_KNOWN = [[[]]];

/** No option takes deeper lists than `sequenceBias`: lists in lists in lists. */
const LISTS_MAX = 3;

/** Made by tests/options.rs: options that are objects of any depth. */
const DEEP = ['chatTemplateKwargs', 'chat_template_kwargs'];

/** The options that a session is opened with. */
const OF_SESSION = ['system', ...DEEP];

/** Deeper than any input that is taken, and no danger to the stack. */
const DEPTH_MAX = 20;

/**
 * Splits off the signal, and makes the rest what can be sent: numbers, texts, lists and plain objects of
 * these.
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
  return Object.fromEntries(given.map(([name, value]) => [name, DEEP.includes(name) ? sendable(value, name) : plain(value)]));
}

/**
 * Whether it is an object and nothing more: no list, no Map, no bytes; of whatever frame.
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isRecord(value) {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** @param {unknown} value @param {number} [depth] in how many lists it is @returns {unknown} */
function plain(value, depth = 0) {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
  if (value instanceof Uint32Array) return Array.from(value); // ids, as `tokenize` gives them
  if (Array.isArray(value)) return depth < LISTS_MAX ? value.map((part) => plain(part, depth + 1)) : NOTHING_KNOWN;
  if (!isRecord(value)) return NOTHING_KNOWN;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, typeof part === 'number' ? part : String(part)]));
}

/**
 * The options of a session, and what is left of an object that holds others as well. Throws BAD_OPTION.
 * @param {Record<string, unknown> & SessionOptions} [options]
 * @returns {{ session: SessionOptions, rest: Record<string, any> }}
 */
export function splitSession(options = {}) {
  if (!isRecord(options)) throw badInput('options', 'an object', options);
  const entries = Object.entries(options);
  const of = (/** @type {boolean} */ wanted) => entries.filter(([name]) => OF_SESSION.includes(name) === wanted);
  const session = plainOptions(Object.fromEntries(of(true)));
  const { system } = session;
  if (system !== undefined && system !== null && typeof system !== 'string') throw badOption('system', 'a text', system);
  return { session, rest: Object.fromEntries(of(false)) };
}

/**
 * The options of a session alone. Throws BAD_OPTION.
 * @param {SessionOptions} [options]
 * @returns {SessionOptions}
 */
export function sessionOptions(options) {
  const { session, rest } = splitSession(/** @type {any} */ (options));
  const unknown = Object.keys(rest).find((name) => rest[name] !== undefined);
  if (unknown !== undefined) throw badOption(unknown, 'one of system, chatTemplateKwargs', rest[unknown]);
  return session;
}

/**
 * What a chat is asked, as it can be sent; the engine checks it. Throws BAD_INPUT.
 * @param {unknown} input
 * @returns {string | MessageInput[]}
 */
export function plainInput(input) {
  if (typeof input === 'string') return input;
  if (!Array.isArray(input)) throw badMessage('input', `is ${show(input)}`, 'Pass a text, or a list of messages: [{role: "user", content: "Hello"}]');
  return plainMessages(input);
}

/**
 * Messages as they can be sent; the engine checks them. Throws BAD_INPUT.
 * @param {unknown} messages
 * @returns {MessageInput[]}
 */
export function plainMessages(messages) {
  if (!Array.isArray(messages)) throw badMessage('messages', `is ${show(messages)}`, 'Pass a list of messages: [{role: "user", content: "Hello"}]');
  return /** @type {MessageInput[]} */ (sendable(messages, 'messages'));
}

/**
 * Copies plain data: texts, numbers, lists, and objects of these. Undefined values are left out. Throws
 * BAD_INPUT, which names the place, for anything else: another kind of object would not arrive whole.
 * @param {unknown} value
 * @param {string} place
 * @param {number} [depth]
 * @returns {unknown}
 */
function sendable(value, place, depth = 0) {
  const bad = (/** @type {string} */ fact) => badMessage(place, fact, 'Pass plain data: texts, numbers, lists and objects of these');
  if (depth > DEPTH_MAX) throw bad('is nested too deeply, or contains itself');
  if (value === null || ['string', 'boolean', 'undefined'].includes(typeof value) || Number.isFinite(value)) return value;
  if (Array.isArray(value)) return Array.from(value, (part, index) => sendable(part, `${place}[${index}]`, depth + 1) ?? null);
  if (!isRecord(value)) throw bad(`is ${show(value)}`);
  const given = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(given.map(([name, part]) => [name, sendable(part, `${place}.${name.slice(0, 60)}`, depth + 1)]));
}

/**
 * The value of a check, or the error that it throws.
 * @template {object} T
 * @param {() => T} check
 * @returns {(T & { error?: undefined }) | { error: unknown, signal?: undefined }}
 */
export function attempt(check) {
  try {
    return check();
  } catch (error) {
    return { error };
  }
}
