// The options of loading: their names, ranges and defaults. They are checked before anything is fetched.

import { badInput, badOption } from '../shared/errors.js';

/** @import { LoadOptions } from '../shared/types.d.ts' */
/** @import { Platform, Settings } from './types.d.ts' */

/** No browser's machine is known to gain by more threads. */
const THREADS_MAX = 32;

/** A connection that brings nothing for so long is taken to be dead. */
const STALL_MS = 20_000;

/** Browsers tell no more memory than this, so that devices look alike. */
const DEVICE_BYTES_KNOWN_MAX = 2 ** 33;

/** Made by tests/options.rs: the words of an option, or what an error says of it. */
const LOADING = {
  dtype: ['auto', 'f32', 'f16', 'bf16', 'q8', 'q4'],
  kvDtype: ['f32', 'f16', 'q8'],
  weightBytesMax: 'a number of bytes',
  memoryBytesMax: 'a number of bytes',
  kvBytesMax: 'a number of bytes',
  threads: '"auto" or a whole number from 1 to 32',
  deterministic: 'true or false',
  cache: 'true or false',
  stallMs: 'a whole number of milliseconds',
  lock: 'true, or the URL of a lock file',
  chatTemplate: 'the text of a template',
  onProgress: 'a function',
  signal: 'an AbortSignal',
  hub: 'an absolute URL',
  worker: ['file', 'blob'],
};

/** @param {unknown} value */
const isBytes = (value) => typeof value === 'number' && value >= 1;

/** @param {unknown} value */
const isSwitch = (value) => typeof value === 'boolean';

/** @param {unknown} value @param {number} max */
const isCount = (value, max) => Number.isInteger(value) && Number(value) >= 1 && Number(value) <= max;

/** Whether an option without words takes a value. @type {Record<string, (value: any) => boolean>} */
const TAKES = {
  weightBytesMax: isBytes,
  memoryBytesMax: isBytes,
  kvBytesMax: isBytes,
  threads: (value) => value === 'auto' || isCount(value, THREADS_MAX),
  deterministic: isSwitch,
  cache: isSwitch,
  stallMs: (value) => isCount(value, 2 ** 31 - 1),
  lock: () => true, // pins.js checks it, beside the source
  chatTemplate: (value) => typeof value === 'string',
  onProgress: (value) => !value || typeof value === 'function',
  signal: (value) => !value || value instanceof AbortSignal,
  hub: (value) => URL.canParse(String(value)),
};

/**
 * Checks the options of a load. Throws BAD_OPTION.
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Settings}
 */
export function check(options = {}, platform) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  const unknown = Object.keys(options).find((name) => !Object.hasOwn(LOADING, name));
  if (unknown !== undefined) throw badOption(unknown, `one of ${Object.keys(LOADING).join(', ')}`, Reflect.get(options, unknown));
  for (const [name, takes] of Object.entries(LOADING)) {
    const value = Reflect.get(options, name);
    const [fits, expected] = typeof takes === 'string' ? [TAKES[name], takes] : [(/** @type {any} */ word) => takes.includes(word), `one of ${takes.join(', ')}`];
    if (value !== undefined && !fits(value)) throw badOption(name, expected, value);
  }
  const { dtype = 'auto', kvDtype = 'f32', weightBytesMax, memoryBytesMax, kvBytesMax, threads = 'auto', deterministic = false, ...rest } = options;
  const { cache = true, stallMs = STALL_MS, lock = false, chatTemplate, onProgress, signal, hub = 'https://huggingface.co', worker = 'file' } = rest;
  const device = platform.memoryBytes?.() ?? deviceBytes();
  const storage = {
    dtype,
    kvDtype,
    weightBytesMax: weightBytesMax ?? Math.min(2 ** 31, device / 2),
    memoryBytesMax: memoryBytesMax ?? (device < DEVICE_BYTES_KNOWN_MAX ? device : 2 ** 32),
    kvBytesMax,
  };
  return { storage, threads, deterministic, modelCache: cache, stallMs, lock, chatTemplate, onProgress, signal, hub, worker };
}

/** The device's memory, as far as a browser tells it. Units: bytes. */
function deviceBytes() {
  return (Reflect.get(globalThis.navigator ?? {}, 'deviceMemory') ?? 8) * 2 ** 30;
}
