// The parts of a request that the model's chat template reads: its variables, in the spelling of clients,
// and fields of messages that only some templates know.

import { invalid } from './errors.js';

/** @import { Message, ModelInfo } from '../../shared/types.d.ts' */

/**
 * The engine's `chatTemplateKwargs`. Throws a 400 that names the parameter if the template does not read the
 * variable.
 * @param {Record<string, any>} values of a request
 * @param {Pick<ModelInfo, 'chatTemplateKwargs'>} info
 * @returns {Record<string, unknown>}
 */
export function templateKwargs({ chat_template_kwargs: given = {}, enable_thinking: thinking, reasoning_effort: effort }, { chatTemplateKwargs: names = [] }) {
  const unread = (/** @type {string} */ name) => {
    const known = names.length > 0 ? `reads ${names.join(', ')}` : 'reads no parameters';
    return invalid(name, 'unsupported_value', `Unsupported value: '${name.slice(0, 80)}' does nothing here. This model's chat template ${known}.`);
  };
  const other = Object.keys(given).find((name) => !names.includes(name));
  if (other !== undefined) throw unread(`chat_template_kwargs.${other}`);
  const kwargs = { ...given };
  const set = (/** @type {string} */ name, /** @type {unknown} */ value) => {
    if (Object.hasOwn(given, name) && given[name] !== value) {
      throw invalid(name, 'invalid_parameter_combination', `Setting '${name}' and another 'chat_template_kwargs.${name}' at the same time is not supported.`);
    }
    kwargs[name] = value;
  };
  if (thinking !== undefined) {
    if (!names.includes('enable_thinking')) throw unread('enable_thinking');
    set('enable_thinking', thinking);
  }
  if (effort !== undefined && names.includes('reasoning_effort')) set('reasoning_effort', effort);
  // `none` turns thinking off in a template without levels of effort. A template without thinking needs
  // nothing.
  else if (effort === 'none' && names.includes('enable_thinking')) kwargs.enable_thinking ??= false;
  else if (effort !== undefined && effort !== 'none') throw unread('reasoning_effort');
  return kwargs;
}

/**
 * Messages without the fields that the template does not read: clients send back what an answer had.
 * @param {Message[]} messages
 * @param {Pick<ModelInfo, 'messageFields'>} info
 * @returns {Message[]}
 */
export function readable(messages, { messageFields = ['role', 'content'] }) {
  const isRead = (/** @type {[string, unknown]} */ [name]) => messageFields.includes(name);
  return messages.map((message) => /** @type {Message} */ (Object.fromEntries(Object.entries(message).filter(isRead))));
}
