// Converts the messages of a chat from OpenAI's form, where content may be a list of parts and the sender a
// tool, to the engine's, where content is text.

import { invalid } from './errors.js';
import { isEmpty, string, wrongType } from './rules.js';

/** @import { Message, Role } from '../../shared/types.d.ts' */

/** Newer models of the original call their system messages by another name. @type {Map<string, Role>} */
const ROLES = new Map([['system', 'system'], ['developer', 'system'], ['user', 'user'], ['assistant', 'assistant']]);

/** More than a context holds. */
const MESSAGES_MAX = 4096;

/** @param {unknown} value @param {string} name @returns {Message[]} */
export function readMessages(value, name) {
  if (!Array.isArray(value)) throw wrongType(name, 'an array of objects', value);
  if (value.length === 0) throw invalid(name, 'empty_array', `Invalid '${name}': empty array. Expected an array with minimum length 1, but got an empty array instead.`);
  if (value.length > MESSAGES_MAX) throw invalid(name, 'array_above_max_length', `Invalid '${name}': array too long. Expected at most ${MESSAGES_MAX} elements.`);
  return value.map((message, index) => readMessage(message, `${name}[${index}]`));
}

/** @param {unknown} value @param {string} name @returns {Message} */
function readMessage(value, name) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw wrongType(name, 'an object', value);
  const { role, content, name: sender, reasoning_content: thought, refusal, ...others } = /** @type {Record<string, unknown>} */ (value);
  const known = ROLES.get(string(role, `${name}.role`));
  if (!known) throw invalid(`${name}.role`, 'unsupported_value', `Unsupported value: '${name}.role' must be one of ${[...ROLES.keys()].join(', ')} here.`);
  for (const [key, other] of Object.entries(others)) {
    // An answer of ours that comes back in a history has fields that say nothing.
    if (other !== null && !isEmpty(other)) throw invalid(`${name}.${key.slice(0, 60)}`, 'unsupported_parameter', `Unsupported parameter: '${name}.${key.slice(0, 60)}' is not supported here.`);
  }
  const isAnswer = known === 'assistant';
  if (!isAnswer) {
    for (const [key, other] of Object.entries({ reasoning_content: thought, refusal })) {
      if (!isAbsent(other)) throw invalid(`${name}.${key}`, 'unsupported_parameter', `Unsupported parameter: '${name}.${key}' belongs to messages of the assistant.`);
    }
  }
  const text = isAnswer && isAbsent(content) ? '' : readContent(content, `${name}.content`);
  /** @type {Message} */
  const message = { role: known, content: text + (isAbsent(refusal) ? '' : string(refusal, `${name}.refusal`)) };
  if (!isAbsent(sender)) message.name = string(sender, `${name}.name`);
  if (!isAbsent(thought)) message.reasoning_content = string(thought, `${name}.reasoning_content`);
  return message;
}

/** @param {unknown} value */
const isAbsent = (value) => value === undefined || value === null;

/**
 * Joins parts to one text, without a separator.
 * @param {unknown} value
 * @param {string} name
 * @returns {string}
 */
function readContent(value, name) {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) throw wrongType(name, 'a string or an array of parts', value);
  const texts = value.map((part, index) => {
    const place = `${name}[${index}]`;
    if (part === null || typeof part !== 'object') throw wrongType(place, 'an object', part);
    // What an assistant said instead of an answer is what it said.
    if (part.type === 'refusal') return string(part.refusal, `${place}.refusal`);
    if (part.type !== 'text') throw invalid(`${place}.type`, 'unsupported_value', `Unsupported value: '${place}.type' must be 'text': these models read text only.`);
    return string(part.text, `${place}.text`);
  });
  return texts.join('');
}
