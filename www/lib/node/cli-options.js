// The options of the commands: one table each for the model and for sampling, from which arguments are read and help is printed. Names are those of the native
// `fireside`; node:util's parseArgs does the reading.

import { parseArgs } from 'node:util';

/** @import { GenerateOptions, LoadOptions, SessionOptions } from '../shared/types.d.ts' */

/** Wrong arguments: what the user typed, not what became of it. */
export class Usage extends Error {}

/**
 * An option: as what the library knows it (`key`), what it takes (none: it is a switch), how the value is read, and a sentence.
 * @typedef {{ key: string, takes?: string, read?: (text: string, flag: string) => unknown, multiple?: boolean, short?: string, about: string }} Option
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

/** `NAME=VALUE`: the value is JSON, or else a text. @param {string} text @param {string} flag @returns {[string, unknown]} */
function kwarg(text, flag) {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined) throw new Usage(`${flag}: expected NAME=VALUE, like enable_thinking=false, got ${JSON.stringify(text)}`);
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

/** @type {Record<string, Option>} */
export const MODEL = {
  model: { key: 'source', takes: 'DIR|URL|hf:OWNER/NAME', about: 'Where the model is: a folder, its address, or its name on the hub' },
  dtype: { key: 'dtype', takes: 'FORMAT', about: 'Storage format of the weights: auto, f32, f16, bf16, q8 or q4' },
  'kv-dtype': { key: 'kvDtype', takes: 'FORMAT', about: 'Storage format of the KV cache: f32 or f16' },
  threads: { key: 'threads', takes: 'N', read: (text, flag) => (text === 'auto' ? text : number(text, flag)), about: 'Threads that compute [default: as many as are fastest]' },
  hub: { key: 'hub', takes: 'URL', about: 'Where hf: models are fetched from' },
};

/** @type {Record<string, Option>} */
export const SAMPLING = {
  'max-tokens': { key: 'maxTokens', takes: 'N', read: number, about: 'Tokens to generate at most' },
  'min-tokens': { key: 'minTokens', takes: 'N', read: number, about: 'Tokens before which the text does not end' },
  temperature: { key: 'temperature', takes: 'T', read: number, about: 'Divides the logits; 0 is greedy' },
  'top-k': { key: 'topK', takes: 'K', read: number, about: 'Only the k likeliest tokens; 0 is off' },
  'top-p': { key: 'topP', takes: 'P', read: number, about: 'Only the likeliest tokens that together have this probability' },
  'min-p': { key: 'minP', takes: 'P', read: number, about: 'Only tokens at least this likely relative to the likeliest' },
  'typical-p': { key: 'typicalP', takes: 'P', read: number, about: 'Only the most typical tokens that together have this probability; 1 is off' },
  'repetition-penalty': { key: 'repetitionPenalty', takes: 'X', read: number, about: 'Makes tokens that are in the text already less likely; 1 is off' },
  'frequency-penalty': { key: 'frequencyPenalty', takes: 'X', read: number, about: 'Subtracted from a token for each time it was generated; 0 is off' },
  'presence-penalty': { key: 'presencePenalty', takes: 'X', read: number, about: 'Subtracted from tokens that were generated; 0 is off' },
  'logit-bias': { key: 'logitBias', takes: 'ID=BIAS', read: bias, multiple: true, about: 'Added to the logit of a token; may be given several times' },
  stop: { key: 'stop', takes: 'TEXT', multiple: true, about: 'A text that ends the generation; may be given several times' },
  'stop-token': { key: 'stopTokenIds', takes: 'ID', read: number, multiple: true, about: 'A token that ends the generation; may be given several times' },
  overflow: { key: 'overflow', takes: 'POLICY', about: 'When the context is full: error, drop-oldest or shift' },
  seed: { key: 'seed', takes: 'N', read: number, about: 'Seed of the random choices [default: drawn anew]' },
  logprobs: { key: 'logprobs', takes: 'K', read: number, about: 'Tell how likely each token was, and this many of the likeliest beside it' },
  n: { key: 'n', takes: 'N', read: number, short: 'n', about: 'Continuations of the prompt; the first one counts' },
};

/** What a chat is opened with. @type {Record<string, Option>} */
export const CHAT = {
  system: { key: 'system', takes: 'TEXT', about: 'What the model is told before the chat' },
  'template-kwarg': { key: 'chatTemplateKwargs', takes: 'NAME=VALUE', read: kwarg, multiple: true, about: 'A value for what the chat template reads, like enable_thinking=false: JSON, or else a text' },
};

/**
 * Reads arguments. Throws Usage. The values are keyed as the library knows them; absent ones are not there.
 * @param {string[]} args
 * @param {Record<string, Option>} table
 * @param {{ positionals?: string[], optional?: string[] }} [settings] what stands without a name: each of `positionals` is needed, of `optional` none
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
    const { key, read = (/** @type {string} */ text) => text } = table[name];
    const each = (/** @type {string} */ text) => read(text, `--${name}`);
    return [key, Array.isArray(value) ? value.map(each) : typeof value === 'string' ? each(value) : value];
  });
  return { values: Object.fromEntries(values), positionals: parsed.positionals, help: false };
}

/** A number below 0 after an option is its value, which parseArgs takes for an option of its own. @param {string[]} args @param {Record<string, Option>} table */
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

/** The part of the values that a table is about. @param {Record<string, any>} values @param {Record<string, Option>} table */
export function only(values, table) {
  const keys = new Set(Object.values(table).map(({ key }) => key));
  return Object.fromEntries(Object.entries(values).filter(([key]) => keys.has(key)));
}

/** Where the model is, and how it is to be loaded. Throws Usage. @param {Record<string, any>} values @returns {{ source: string, options: LoadOptions }} */
export function modelOf(values) {
  const { source, ...options } = only(values, MODEL);
  if (!source) throw new Usage('--model is missing: a folder, an address, or hf:OWNER/NAME');
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
