// Load options are checked here, before anything is fetched; generate options are the engine's business and pass through.

import { badInput, badOption, show } from './errors.js';

/** @import { GenerateOptions, LoadOptions } from './types.d.ts' */

const KNOWN = ['dtype', 'threads', 'onProgress', 'signal', 'hub'];
const DTYPES = ['auto', 'f32', 'f16', 'bf16'];

/**
 * @param {LoadOptions} [options]
 * @returns {Required<Pick<LoadOptions, 'dtype' | 'hub'>> & Pick<LoadOptions, 'onProgress' | 'signal'>}
 */
export function checkLoadOptions(options = {}) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  for (const key of Object.keys(options)) {
    if (!KNOWN.includes(key)) throw badOption(key, `one of ${KNOWN.join(', ')}`, Reflect.get(options, key));
  }
  const { dtype = 'auto', threads = 'auto', onProgress, signal, hub = 'https://huggingface.co' } = options;
  if (!DTYPES.includes(dtype)) throw badOption('dtype', `one of ${DTYPES.join(', ')}`, dtype);
  if (threads !== 'auto' && threads !== 1) throw badOption('threads', '"auto" or 1 (this version computes on one thread)', threads);
  if (onProgress !== undefined && typeof onProgress !== 'function') throw badOption('onProgress', 'a function', onProgress);
  checkSignal(signal);
  if (!URL.canParse(String(hub))) throw badOption('hub', 'an absolute URL', hub);
  return { dtype, onProgress, signal, hub };
}

/**
 * Splits off the signal. No option is a function, an object or the like: such a value goes as its description, so that the engine can name the option.
 * @param {GenerateOptions} [options]
 * @returns {{ signal?: AbortSignal, rest: Record<string, unknown> }}
 */
export function splitGenerateOptions(options = {}) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  const { signal, ...rest } = options;
  checkSignal(signal);
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined) delete rest[key];
    else rest[key] = plain(value);
  }
  return { signal, rest };
}

/** @param {unknown} value @returns {unknown} */
function plain(value) {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
  return Array.isArray(value) ? value.map((part) => (Array.isArray(part) ? show(part) : plain(part))) : show(value);
}

/** @param {unknown} signal */
function checkSignal(signal) {
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
}
