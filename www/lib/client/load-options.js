// The options of loading: their names, ranges and defaults. They are checked before anything is fetched.

import { badInput, badOption } from '../shared/errors.js';

/** @import { LoadOptions } from '../shared/types.d.ts' */
/** @import { Platform, Settings } from './types.d.ts' */

const OPTIONS =
  'dtype, kvDtype, weightBytesMax, memoryBytesMax, kvBytesMax, threads, deterministic, cache, stallMs, lock, chatTemplate, ' +
  'onProgress, signal, hub, worker';

/** No browser's machine is known to gain by more threads. */
const THREADS_MAX = 32;

/** A connection that brings nothing for so long is taken to be dead. */
const STALL_MS = 20_000;

/** Browsers tell no more memory than this, so that devices look alike. */
const DEVICE_BYTES_KNOWN_MAX = 2 ** 33;

/**
 * Checks the options of a load. Throws BAD_OPTION.
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Settings}
 */
export function check(options = {}, platform) {
  if (options === null || typeof options !== 'object') throw badInput('options', 'an object', options);
  const { dtype = 'auto', kvDtype = 'f32', weightBytesMax, memoryBytesMax, kvBytesMax, threads = 'auto', deterministic = false, ...rest } = options;
  const { cache = true, stallMs = STALL_MS, lock = false, chatTemplate, onProgress, signal, hub = 'https://huggingface.co', worker = 'file', ...others } = rest;
  for (const key in others) throw badOption(key, `one of ${OPTIONS}`, Reflect.get(others, key));
  if (!['auto', 'f32', 'f16', 'bf16', 'q8', 'q4'].includes(dtype)) throw badOption('dtype', 'one of auto, f32, f16, bf16, q8, q4', dtype);
  if (!['f32', 'f16'].includes(kvDtype)) throw badOption('kvDtype', 'one of f32, f16', kvDtype);
  for (const [option, bytes] of Object.entries({ weightBytesMax, memoryBytesMax, kvBytesMax })) {
    if (bytes !== undefined && !(typeof bytes === 'number' && bytes >= 1)) throw badOption(option, 'a number of bytes', bytes);
  }
  if (!['file', 'blob'].includes(worker)) throw badOption('worker', 'one of file, blob', worker);
  if (threads !== 'auto' && !(Number.isInteger(threads) && threads >= 1 && threads <= THREADS_MAX)) {
    throw badOption('threads', `"auto" or a whole number from 1 to ${THREADS_MAX}`, threads);
  }
  for (const [option, value] of Object.entries({ deterministic, cache })) {
    if (typeof value !== 'boolean') throw badOption(option, 'true or false', value);
  }
  if (!(Number.isInteger(stallMs) && stallMs >= 1 && stallMs < 2 ** 31)) throw badOption('stallMs', 'a whole number of milliseconds', stallMs);
  if (chatTemplate !== undefined && typeof chatTemplate !== 'string') throw badOption('chatTemplate', 'the text of a template', chatTemplate);
  if (onProgress && typeof onProgress !== 'function') throw badOption('onProgress', 'a function', onProgress);
  if (signal && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
  if (!URL.canParse(String(hub))) throw badOption('hub', 'an absolute URL', hub);
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
