// Converts prompts and options by the rules of Web IDL, and checks them by those of the specification.
//
// Pages may rely on both: null as a prompt is the text "null", and unknown members are ignored. Known
// members that are not supported are refused.

import { notSupported, syntaxError } from './exceptions.js';
import { MODES } from './sampling.js';

/** @import { Message, Role } from '../../shared/types.d.ts' */
/** @import { Mode } from './sampling.js' */

/** @typedef {{ type: string, value: unknown }} Content */
/**
 * @typedef {{ role: Role, content: Content[], prefix: boolean }} Longhand a message with its content as a
 *   list
 */

/**
 * The options that `create()` and `availability()` share. `unsupported` names those that are not supported.
 * @typedef {{ samplingMode?: Mode, temperature?: number, topK?: number, unsupported?: string }} CoreSettings
 */
/** @typedef {{ signal?: AbortSignal, monitor?: Function, initialPrompts: Longhand[] }} OwnSettings */
/** @typedef {CoreSettings & OwnSettings} CreateSettings */

const ROLES = ['system', 'user', 'assistant'];
const TYPES = ['text', 'image', 'audio', 'tool-call', 'tool-response'];

/**
 * The argument of `prompt()` and similar methods. Throws a TypeError.
 * @param {unknown} input
 * @returns {Longhand[]}
 */
export function toPrompt(input) {
  if (!isSequence(input)) return [longhand('user', `${/** @type {any} */ (input)}`)];
  const messages = Array.from(input, toMessage);
  return messages.length > 0 ? messages : [longhand('user', '')];
}

/**
 * Messages in the model's form. Throws the errors of the specification for misplaced roles and contents.
 * @param {Longhand[]} messages
 * @param {boolean} begun whether the session has had input before; a system prompt must be the first message
 * @returns {Message[]}
 */
export function canonical(messages, begun) {
  return messages.map(({ role, content, prefix }, index) => {
    if (prefix) {
      if (role !== 'assistant') throw syntaxError('`prefix` is for a message of the role "assistant".');
      if (index < messages.length - 1) throw syntaxError('`prefix` is for the last message.');
      throw notSupported('The engine cannot go on with an answer that was begun for it: `prefix` is not supported.');
    }
    if (role === 'system' && (begun || index > 0)) throw new TypeError('A system prompt must be the first message of the session.');
    return { role, content: content.map(textOf).join('') };
  });
}

/** The options of `prompt()`, `promptStreaming()` and `measureContextUsage()`. @param {unknown} options */
export function toPromptOptions(options) {
  const { signal, responseConstraint, omitResponseConstraintInput } = dictionary(options);
  if (responseConstraint !== undefined && (responseConstraint === null || !['object', 'function'].includes(typeof responseConstraint))) {
    throw new TypeError('`responseConstraint` is a JSON schema or a RegExp.');
  }
  if (omitResponseConstraintInput && responseConstraint === undefined) {
    throw new TypeError('`omitResponseConstraintInput` without `responseConstraint` has no meaning.');
  }
  return { signal: toSignal(signal), constrained: responseConstraint !== undefined };
}

/** @param {{ constrained: boolean }} options */
export function refuseConstraint({ constrained }) {
  if (constrained) throw notSupported('`responseConstraint` is not supported: say in the prompt what the answer should look like, and check it.');
}

/** The options of `append()` and `clone()`. @param {unknown} options */
export function toSignalOptions(options) {
  return { signal: toSignal(dictionary(options).signal) };
}

/**
 * The options of `availability()`. Throws a TypeError, or a RangeError for an invalid language tag.
 * @param {unknown} options
 * @returns {CoreSettings}
 */
export function toCoreOptions(options) {
  const { samplingMode, temperature, topK, expectedInputs, expectedOutputs, tools } = dictionary(options);
  if (samplingMode !== undefined && !Object.hasOwn(MODES, `${samplingMode}`)) throw new TypeError(`\`samplingMode\` is one of ${Object.keys(MODES).join(', ')}.`);
  if (samplingMode !== undefined && (temperature !== undefined || topK !== undefined)) {
    throw new TypeError('`samplingMode` cannot be combined with `temperature` and `topK`. Leave out one or the other.');
  }
  const unsupported = [...toExpected('expectedInputs', expectedInputs), ...toExpected('expectedOutputs', expectedOutputs)];
  if (tools !== undefined && sequence('tools', tools).length > 0) unsupported.push('`tools`');
  return {
    samplingMode: samplingMode === undefined ? undefined : /** @type {Mode} */ (`${samplingMode}`),
    // These are of the type `unrestricted double`: NaN and Infinity pass, a BigInt and a Symbol throw.
    temperature: temperature === undefined ? undefined : +temperature,
    topK: topK === undefined ? undefined : +topK,
    unsupported: unsupported[0],
  };
}

/**
 * The options of `create()`. Throws as `toCoreOptions` does.
 * @param {unknown} options
 * @returns {CreateSettings}
 */
export function toCreateOptions(options) {
  const { signal, monitor, initialPrompts } = dictionary(options);
  if (monitor !== undefined && typeof monitor !== 'function') throw new TypeError('`monitor` is a function.');
  return {
    ...toCoreOptions(options),
    signal: toSignal(signal),
    monitor,
    initialPrompts: initialPrompts === undefined ? [] : sequence('initialPrompts', initialPrompts).map(toMessage),
  };
}

/** @param {unknown} value @returns {Longhand} */
function toMessage(value) {
  const { role, content, prefix } = dictionary(value);
  if (!ROLES.includes(`${role}`)) throw new TypeError(`The \`role\` of a message is one of ${ROLES.join(', ')}.`);
  if (content === undefined) throw new TypeError('A message has a `content`.');
  const speaker = /** @type {Role} */ (`${role}`);
  if (!isSequence(content)) return longhand(speaker, `${content}`, Boolean(prefix));
  return { role: speaker, content: Array.from(content, toContent), prefix: Boolean(prefix) };
}

/** @param {unknown} value @returns {Content} */
function toContent(value) {
  const { type, value: inner } = dictionary(value);
  if (!TYPES.includes(`${type}`)) throw new TypeError(`The \`type\` of a content is one of ${TYPES.join(', ')}.`);
  if (inner === undefined) throw new TypeError('A content has a `value`.');
  return { type: `${type}`, value: inner };
}

/** @param {Content} content */
function textOf({ type, value }) {
  if (type !== 'text') throw notSupported(`The model reads and writes text; ${type} is not supported.`);
  if (typeof value === 'object' || typeof value === 'function') throw new TypeError('The `value` of a text is a string.');
  return `${/** @type {string} */ (value)}`;
}

/** @param {Role} role @param {string} text @param {boolean} [prefix] @returns {Longhand} */
function longhand(role, text, prefix = false) {
  return { role, content: [{ type: 'text', value: text }], prefix };
}

/** Which of the expected types cannot be had, in words. @param {string} member @param {unknown} value */
function toExpected(member, value) {
  if (value === undefined) return [];
  return sequence(member, value).flatMap((expected) => {
    const { type, languages } = dictionary(expected);
    if (!TYPES.includes(`${type}`)) throw new TypeError(`The \`type\` of what \`${member}\` lists is one of ${TYPES.join(', ')}.`);
    // A RangeError for an invalid tag. A model's files do not list its languages, so every valid tag is
    // accepted.
    if (languages !== undefined) Intl.getCanonicalLocales(sequence('languages', languages).map(String));
    return type === 'text' ? [] : [`${type} in \`${member}\``];
  });
}

/** @param {unknown} value @returns {Record<string, any>} */
function dictionary(value) {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' && typeof value !== 'function') throw new TypeError('An object was expected.');
  return value;
}

/** @param {string} member @param {unknown} value @returns {unknown[]} */
function sequence(member, value) {
  if (!isSequence(value)) throw new TypeError(`\`${member}\` is a list.`);
  return Array.from(value);
}

/** @param {unknown} value @returns {value is Iterable<unknown>} */
function isSequence(value) {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && Symbol.iterator in value;
}

/** @param {unknown} signal @returns {AbortSignal | undefined} */
function toSignal(signal) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError('`signal` is an AbortSignal.');
  return signal;
}
