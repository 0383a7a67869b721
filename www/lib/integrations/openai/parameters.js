// The parameters of each route. Honoured parameters become options of the engine or shape the answer.
// Ignored ones cannot change the answer. Refused ones would change it and are not supported; the error names
// them, unless their value asks for nothing. Unknown names are refused too. `null` counts as absent.

import { ApiError, invalid } from './errors.js';
import { readMessages } from './messages.js';
import { OPTIONS } from './option-parameters.js';
import { boolean, decimal, integer, isEmpty, objectOf, only, string, strings } from './rules.js';

/** @import { Rule } from './rules.js' */

/**
 * @typedef {{ use: 'honoured' | 'ignored' | 'refused', rule: Rule, option?: string }} Parameter `option`:
 *   the engine's name for it
 */

/** More than anyone asks for; the engine's own limit of a context comes on top. */
const TOKENS_MAX = 2 ** 31 - 1;
const CHOICES_MAX = 16;
const PROMPTS_MAX = 16;
const STOPS_MAX = 16;
/** UTF-16 units: each token of an answer is held against every stop sequence. */
const STOP_CHARS_MAX = 1_000;

/** @param {Rule} rule @param {string} [option] @returns {Parameter} */
const honoured = (rule, option) => ({ use: 'honoured', rule, option });
/** @param {Rule} rule @returns {Parameter} */
const ignored = (rule) => ({ use: 'ignored', rule });
/** @param {(value: unknown) => boolean} isNeutral @param {string} what @returns {Parameter} */
const refused = (isNeutral, what) => ({ use: 'refused', rule: only(isNeutral, what) });

/** @param {unknown[]} values @returns {(value: unknown) => boolean} */
const oneOf = (...values) => (value) => values.includes(value);

/** Ids of tokens as keys; whether the model has them the engine knows. @type {Rule} */
function logitBias(value, name) {
  objectOf(decimal(-100, 100))(value, name);
  for (const key of Object.keys(value)) {
    if (!/^(0|[1-9]\d{0,9})$/.test(key)) throw invalid(name, 'invalid_value', `Invalid '${name}': its keys must be ids of tokens.`);
  }
  return value;
}

/** A number of which -1 asks for nothing. @param {Rule} rule @returns {Rule} */
const orNone = (rule) => (value, name) => (value === -1 ? undefined : rule(value, name));

/** Some clients send an empty text for "no stop". @type {Rule} */
function stop(value, name) {
  if (value === '') return undefined;
  const list = strings(STOPS_MAX)(value, name);
  if (isEmpty(list)) return undefined;
  if (list.includes('')) throw invalid(name, 'invalid_value', `Invalid '${name}': a stop sequence must not be empty.`);
  if (list.some((/** @type {string} */ text) => text.length > STOP_CHARS_MAX)) throw invalid(name, 'string_above_max_length', `Invalid '${name}': string too long. Expected at most ${STOP_CHARS_MAX} characters.`);
  return list;
}

/** @type {Rule} */
function prompt(value, name) {
  const isOfIds = Array.isArray(value) && value.some((part) => typeof part === 'number' || Array.isArray(part));
  if (isOfIds) throw invalid(name, 'unsupported_value', `Unsupported value: '${name}' must be text here, not ids of tokens.`);
  if (isEmpty(value)) throw invalid(name, 'empty_array', `Invalid '${name}': empty array. Expected an array with minimum length 1, but got an empty array instead.`);
  const list = strings(PROMPTS_MAX)(value, name);
  // The engine says so too, of one of several after it has answered those before it.
  if (list.includes('')) throw invalid(name, 'invalid_value', `Invalid '${name}': a prompt must not be empty.`);
  return list;
}

/** @type {Rule} */
function streamOptions(value, name) {
  objectOf((each, key) => each === null || boolean(each, key))(value, name);
  for (const key of Object.keys(value)) {
    if (key !== 'include_usage' && key !== 'include_obfuscation') throw unknown(`${name}.${key}`);
  }
  return value;
}

/** @type {Rule} */
function metadata(value, name) {
  if (Object.keys(objectOf(string)(value, name)).length > 16) throw invalid(name, 'object_above_max_properties', `Invalid '${name}': at most 16 properties.`);
}

/** The rules of options that are no numbers. @type {Record<string, Rule>} */
const OWN = { logit_bias: logitBias, stop };

/** Options of which -1 asks for nothing: no limit, any seed. */
const NONE_AT_MINUS_ONE = ['max_tokens', 'seed'];

/** @param {string} name @param {(typeof OPTIONS)[string]} row @returns {Rule} */
function ruleOf(name, { kind, min = -Infinity, max = Infinity }) {
  if (!kind) return OWN[name];
  const rule = kind === 'integer' ? integer(min, max) : decimal(min, max);
  return NONE_AT_MINUS_ONE.includes(name) ? orNone(rule) : rule;
}

const NO_TOOLS = 'The models here call no tools and no functions.';

/** Of both routes. @type {Record<string, Parameter>} */
const COMMON = {
  model: honoured(string),
  ...Object.fromEntries(Object.entries(OPTIONS).map(([name, row]) => [name, honoured(ruleOf(name, row), row.option)])),
  stream: honoured(boolean),
  stream_options: honoured(streamOptions),
  user: honoured(string),
};

/** `POST /v1/chat/completions` @type {Record<string, Parameter>} */
const CHAT = {
  ...COMMON,
  messages: honoured(readMessages),
  max_completion_tokens: COMMON.max_tokens,
  logprobs: honoured(boolean),
  top_logprobs: honoured(integer(0, 20)),
  // Whether the model's chat template reads these is seen in template.js.
  chat_template_kwargs: honoured(objectOf(() => undefined)),
  enable_thinking: honoured(boolean),
  reasoning_effort: honoured(string),
  metadata: ignored(metadata),
  store: ignored(boolean),
  service_tier: ignored(string),
  prediction: ignored(() => undefined),
  parallel_tool_calls: ignored(boolean),
  prompt_cache_key: honoured(string),
  prompt_cache_retention: ignored(string),
  safety_identifier: honoured(string),
  tools: refused(isEmpty, NO_TOOLS),
  tool_choice: refused(oneOf('none', 'auto'), NO_TOOLS),
  functions: refused(isEmpty, NO_TOOLS),
  function_call: refused(oneOf('none', 'auto'), NO_TOOLS),
  response_format: refused((value) => /** @type {any} */ (value)?.type === 'text', 'Answers are free text.'),
  modalities: refused((value) => Array.isArray(value) && value.length === 1 && value[0] === 'text', 'Answers are text.'),
  audio: refused(() => false, 'Answers are text.'),
  verbosity: refused(oneOf('medium'), 'There is no such setting here.'),
  web_search_options: refused(() => false, 'Nothing is searched: these models run offline.'),
};

/** `POST /v1/completions` @type {Record<string, Parameter>} */
const COMPLETION = {
  ...COMMON,
  prompt: honoured(prompt),
  logprobs: honoured(integer(0, 5), 'logprobs'),
  best_of: refused(oneOf(1), 'Ask for `n` answers and choose among them.'),
  echo: refused(oneOf(false), 'The prompt is not repeated in the answer.'),
  suffix: refused(oneOf(''), 'These models only write on.'),
};

/** `POST /generate` @type {Record<string, Parameter>} */
const GENERATE = {
  text: honoured(string),
  max_length: honoured(integer(1, TOKENS_MAX), 'maxTokens'),
  temperature: honoured(decimal(0, 2), 'temperature'),
};

/** Every route's parameters; docs/openai.md has the same table. */
export const PARAMETERS = { chat: CHAT, completion: COMPLETION, generate: GENERATE };

/**
 * What a request asks for.
 * @typedef {object} Asked
 * @property {'chat' | 'completion' | 'generate'} route
 * @property {Record<string, any>} values by the names of the request, checked
 * @property {Record<string, any>} options for the engine
 * @property {boolean} isUnlimited it asks for an answer as long as can be
 */

/**
 * Checks a body against its route's parameters. Errors: 400, which names the parameter.
 * @param {'chat' | 'completion' | 'generate'} route
 * @param {Record<string, unknown>} body
 * @returns {Asked}
 */
export function readParameters(route, body) {
  const known = PARAMETERS[route];
  /** @type {Record<string, any>[]} */
  const [values, options] = [{}, {}];
  for (const [name, value] of Object.entries(body)) {
    if (!Object.hasOwn(known, name)) throw unknown(name);
    if (value === null) continue;
    const { use, rule, option } = known[name];
    const checked = rule(value, name);
    if (use !== 'honoured' || checked === undefined) continue;
    values[name] = checked;
    if (option) options[option] = checked;
  }
  checkPresent(route, values);
  const isUnlimited = body.max_tokens === -1 || body.max_completion_tokens === -1;
  settle(route, values, options, isUnlimited);
  return { route, values, options, isUnlimited };
}

/** @param {keyof typeof PARAMETERS} route @param {Record<string, any>} values */
function checkPresent(route, values) {
  const needed = { chat: ['model', 'messages'], completion: ['model', 'prompt'], generate: ['text'] }[route];
  const missing = needed.find((name) => !(name in values));
  if (missing) throw invalid(missing, 'missing_required_parameter', `Missing required parameter: '${missing}'.`);
}

/**
 * Combines parameters, and sets OpenAI's defaults where the model's do not apply.
 * @param {string} route
 * @param {Record<string, any>} values
 * @param {Record<string, any>} options
 * @param {boolean} isUnlimited
 */
function settle(route, values, options, isUnlimited) {
  const { max_tokens: older = values.max_completion_tokens, max_completion_tokens: newer = older } = values;
  if (older !== newer) {
    throw invalid('max_tokens', 'invalid_parameter_combination', `'max_tokens' is ${older} and 'max_completion_tokens' is ${newer}. They mean the same: send one, or both with one value.`);
  }
  if (values.top_logprobs !== undefined && !values.logprobs) {
    throw invalid('top_logprobs', 'invalid_parameter_combination', "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.");
  }
  if (route === 'chat' && values.logprobs) options.logprobs = values.top_logprobs ?? 0;
  if (route === 'completion' && !isUnlimited) options.maxTokens ??= 16;
  if (route === 'generate') {
    options.maxTokens ??= 100;
    options.temperature ??= 0.7;
  }
  // The likeliest token alone is what remains of a set that shall hold no probability.
  if (options.topP === 0) {
    delete options.topP;
    options.topK = 1;
  }
  const choices = (options.n ?? 1) * (values.prompt?.length ?? 1);
  if (choices > CHOICES_MAX) throw invalid('n', 'integer_above_max_value', `Invalid 'n': ${choices} answers are asked for, and ${CHOICES_MAX} may be.`);
}

/** @param {string} name */
function unknown(name) {
  const shown = name.length > 60 ? `${name.slice(0, 60)}…` : name;
  return new ApiError(400, `Unknown parameter: '${shown}'.`, { param: shown, code: 'unknown_parameter' });
}

