// The options of the commands. option-flags.js has those that the library knows, made from src/options. The
// others stand here. node:util's parseArgs reads the arguments.

import { parseArgs } from 'node:util';
import { LOADING, SAMPLING } from './option-flags.js';

/** @import { GenerateOptions, LoadOptions, SessionOptions } from '../shared/types.d.ts' */

/** Wrong arguments: what the user typed, not what became of it. */
export class Usage extends Error {}

/**
 * A flag.
 * @typedef {object} Option
 * @property {string} key the library's name for it
 * @property {string} [takes] what stands for its value in the help; a switch has none
 * @property {string} [read] how its value is read; without it, as text
 * @property {boolean} [multiple] whether it may be given several times
 * @property {string} [short] its letter
 * @property {string} about a sentence
 */

/** @param {string} text @param {string} flag */
function number(text, flag) {
  const value = Number(text);
  if (!text.trim() || Number.isNaN(value)) throw new Usage(`${flag}: expected a number, got ${JSON.stringify(text)}`);
  return value;
}

/** `ID=BIAS`. @param {string} text @param {string} flag */
function bias(text, flag) {
  const [, id, value] = /^(\d+)=(.+)$/.exec(text) ?? [];
  if (id === undefined) throw new Usage(`${flag}: expected ID=BIAS, got ${JSON.stringify(text)}`);
  return [id, number(value, flag)];
}

/**
 * `NAME=VALUE`: the value is JSON, or else a text.
 * @param {string} text
 * @param {string} flag
 * @returns {[string, unknown]}
 */
function kwarg(text, flag) {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined) throw new Usage(`${flag}: expected NAME=VALUE, like enable_thinking=false, got ${JSON.stringify(text)}`);
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

/** @type {Record<string, (text: string, flag: string) => unknown>} */
const READ = { number, bias, kwarg, numberOrAuto: (text, flag) => (text === 'auto' ? text : number(text, flag)) };

export { SAMPLING };

/** @type {Record<string, Option>} */
export const MODEL = {
  model: { key: 'source', takes: 'DIR|FILE|URL|hf:OWNER/NAME', about: 'The model: a folder, a GGUF file, a URL, or its name on the hub, such as hf:OWNER/NAME:Q4_K_M' },
  ...LOADING,
};

/** What a chat is opened with. @type {Record<string, Option>} */
export const CHAT = {
  system: { key: 'system', takes: 'TEXT', about: 'The system prompt' },
  'template-kwarg': { key: 'chatTemplateKwargs', takes: 'NAME=VALUE', read: 'kwarg', multiple: true, about: 'A variable of the chat template, such as enable_thinking=false: JSON, or a string if it is not JSON' },
};

/**
 * Reads arguments. Throws Usage. The values are keyed as the library knows them; absent ones are not there.
 * @param {string[]} args
 * @param {Record<string, Option>} table
 * @param {{ positionals?: string[], optional?: string[] }} [settings] the arguments without a name: all of
 *   `positionals` are needed, those of `optional` are not
 * @returns {{ values: Record<string, any>, positionals: string[], help: boolean }}
 */
export function parse(args, table, { positionals: wanted = [], optional = [] } = {}) {
  const described = Object.entries(table).map(([name, { takes, multiple = false, short }]) => {
    return [name, { type: takes ? 'string' : 'boolean', multiple, ...(short && { short }) }];
  });
  let parsed;
  try {
    parsed = parseArgs({ args: joined(args, table), options: { ...Object.fromEntries(described), help: { type: 'boolean', short: 'h' } }, allowPositionals: true });
  } catch (error) {
    // Its messages name the argument; what they add about `--` is of no use here.
    throw new Usage(/** @type {Error} */ (error).message.split(/\. (?=To specify|Did you)/)[0]);
  }
  const { help = false, ...given } = /** @type {Record<string, any>} */ (parsed.values);
  if (help) return { values: {}, positionals: [], help: true };
  const most = wanted.length + optional.length;
  if (parsed.positionals.length > most) throw new Usage(`unexpected argument ${JSON.stringify(parsed.positionals[most])}`);
  if (parsed.positionals.length < wanted.length) throw new Usage(`${wanted[parsed.positionals.length]} is missing`);
  const values = Object.entries(given).map(([name, value]) => {
    const { key, read } = table[name];
    const each = (/** @type {string} */ text) => (read ? READ[read](text, `--${name}`) : text);
    return [key, Array.isArray(value) ? value.map(each) : typeof value === 'string' ? each(value) : value];
  });
  return { values: Object.fromEntries(values), positionals: parsed.positionals, help: false };
}

/**
 * Joins an option and the negative number after it: parseArgs takes `-1` for another option.
 * @param {string[]} args
 * @param {Record<string, Option>} table
 */
function joined(args, table) {
  /** @type {string[]} */
  const list = [];
  for (const arg of args) {
    const isValue = /^-[\d.]/.test(arg) && table[list.at(-1)?.slice(2) ?? '']?.takes;
    if (isValue) list.push(`${list.pop()}=${arg}`);
    else list.push(arg);
  }
  return list;
}

/**
 * The values of the options in this table.
 * @param {Record<string, any>} values
 * @param {Record<string, Option>} table
 */
export function only(values, table) {
  const keys = new Set(Object.values(table).map(({ key }) => key));
  return Object.fromEntries(Object.entries(values).filter(([key]) => keys.has(key)));
}

/**
 * Where the model is, and how to load it. Throws Usage.
 * @param {Record<string, any>} values
 * @returns {{ source: string, options: LoadOptions }}
 */
export function modelOf(values) {
  const { source, ...options } = only(values, MODEL);
  if (!source) throw new Usage('--model is missing: a folder, a GGUF file, an address, or hf:OWNER/NAME');
  return { source, options };
}

/** @param {Record<string, any>} values @returns {GenerateOptions} */
export function samplingOf(values) {
  const { logitBias, ...options } = only(values, SAMPLING);
  return logitBias ? { ...options, logitBias: Object.fromEntries(logitBias) } : options;
}

/** @param {Record<string, any>} values @returns {SessionOptions} */
export function chatOf(values) {
  const { chatTemplateKwargs, ...options } = only(values, CHAT);
  return chatTemplateKwargs ? { ...options, chatTemplateKwargs: Object.fromEntries(chatTemplateKwargs) } : options;
}

/** @param {string} usage @param {Record<string, Option>} table */
export function helpOf(usage, table) {
  const flag = (/** @type {string} */ name, /** @type {Option} */ { takes, short }) => `${short ? `-${short}, ` : ''}--${name}${takes ? ` ${takes}` : ''}`;
  const rows = [...Object.entries(table).map(([name, option]) => [flag(name, option), option.about]), ['--help', 'Print this']];
  const width = Math.max(...rows.map(([name]) => name.length));
  return `${usage}\n\n${rows.map(([name, about]) => `  ${name.padEnd(width)}  ${about}`).join('\n')}\n`;
}
