// Loading, start to end: the engine compiles and its worker starts while the small files arrive; these are checked before any weight is fetched;
// weights then stream chunk by chunk into the engine, at most a few megabytes ahead of it.

import { abortError, badOption, FiresideError } from './errors.js';
import { htmlInstead, locate, readAll } from './source.js';
import { WorkerClient } from './worker-client.js';

/** @import { Located, NAMES, Opened } from './source.js' */
/** @import { LoadOptions, ModelInfo, Platform, RawFiles, Source } from './types.d.ts' */

/**
 * Bytes that may be on their way to the worker: chunks of a fast connection have 64 KB, and waiting for each to be taken would cost more than taking it.
 */
const UNDER_WAY_MAX = 2 << 20;

/**
 * @param {Source} source
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Promise<{ client: WorkerClient, info: ModelInfo }>}
 */
export async function load(source, options, platform) {
  const { storage, threads, deterministic, hub, onProgress, signal: outer } = check(options);
  if (outer?.aborted) throw abortError(outer);
  const located = locate(source, hub);
  platform.check();
  const choice = platform.choose({ threads, deterministic });

  // Whatever fails first ends the rest: fetches by this signal, the worker by being terminated.
  const stop = new AbortController();
  const client = new WorkerClient(platform.spawn());
  const onAbort = () => {
    stop.abort(abortError(outer));
    client.close(abortError(outer));
  };
  outer?.addEventListener('abort', onAbort, { once: true });
  try {
    const meter = new Meter(onProgress);
    const started = platform.compile(choice.build).then(async (module) => {
      await client.request('init', { ...choice, module });
      const code = { build: choice.build, module, memory: choice.memory };
      return Array.from({ length: choice.threads - 1 }, () => client.startThread(() => platform.spawnThread(), code));
    });
    const [files, threads] = await Promise.all([smallFiles(located, meter, stop.signal), started]);
    await weights(located, files, storage, client, meter, stop.signal);
    const info = await client.request('finish', { threads: 1 + (await countIn(threads)) });
    return { client, info };
  } catch (error) {
    const reason = outer?.aborted ? abortError(outer) : error;
    stop.abort(reason);
    client.close(reason);
    throw reason;
  } finally {
    outer?.removeEventListener('abort', onAbort);
  }
}

const OPTIONS = 'dtype, kvDtype, weightBytesMax, threads, deterministic, onProgress, signal, hub';

/** More threads than any browser's machine is known to gain by. */
const THREADS_MAX = 32;

/** How long a model that is loaded waits for threads that have neither started nor failed. */
const START_MS = 5_000;

/** Options are checked before anything is fetched. @param {LoadOptions} [options] */
function check(options = {}) {
  const { dtype = 'auto', kvDtype = 'f32', weightBytesMax, threads = 'auto', deterministic = false, ...rest } = options;
  const { onProgress, signal, hub = 'https://huggingface.co', ...others } = rest;
  for (const key in others) throw badOption(key, `one of ${OPTIONS}`, Reflect.get(others, key));
  if (!['auto', 'f32', 'f16', 'bf16', 'q8', 'q4'].includes(dtype)) throw badOption('dtype', 'one of auto, f32, f16, bf16, q8, q4', dtype);
  if (!['f32', 'f16'].includes(kvDtype)) throw badOption('kvDtype', 'one of f32, f16', kvDtype);
  if (weightBytesMax !== undefined && !(typeof weightBytesMax === 'number' && weightBytesMax >= 1)) {
    throw badOption('weightBytesMax', 'a number of bytes', weightBytesMax);
  }
  if (threads !== 'auto' && !(Number.isInteger(threads) && threads >= 1 && threads <= THREADS_MAX)) {
    throw badOption('threads', `"auto" or a whole number from 1 to ${THREADS_MAX}`, threads);
  }
  if (typeof deterministic !== 'boolean') throw badOption('deterministic', 'true or false', deterministic);
  if (onProgress && typeof onProgress !== 'function') throw badOption('onProgress', 'a function', onProgress);
  if (signal && !(signal instanceof AbortSignal)) throw badOption('signal', 'an AbortSignal', signal);
  if (!URL.canParse(String(hub))) throw badOption('hub', 'an absolute URL', hub);
  return { storage: { dtype, kvDtype, weightBytesMax: weightBytesMax ?? roomForWeights() }, threads, deterministic, onProgress, signal, hub };
}

/** What `dtype: 'auto'` may spend on weights: half of the device's memory, as far as the browser tells it, and no more than half of what WebAssembly can address. */
function roomForWeights() {
  const gigabytes = Reflect.get(globalThis.navigator ?? {}, 'deviceMemory') ?? 8;
  return Math.min(2 ** 31, gigabytes * 2 ** 29);
}

/** @param {Located} located @param {Meter} meter @param {AbortSignal} signal @returns {Promise<RawFiles>} */
async function smallFiles(located, meter, signal) {
  /** @param {keyof typeof NAMES} key */
  const read = async (key) => {
    const opened = await located.open(key, signal);
    if (!opened) return undefined;
    const bytes = await readAll(opened, (count) => meter.add(opened.file, count));
    if (!looksLikeHtml(bytes)) return bytes;
    if (key === 'config' || key === 'tokenizer') throw htmlInstead(opened.file, opened.from ?? located.label);
    return undefined;
  };
  const [config, tokenizer, tokenizerConfig, generationConfig] = await Promise.all([
    read('config'),
    read('tokenizer'),
    read('tokenizerConfig'),
    read('generationConfig'),
  ]);
  // tokenizer_config.json usually carries the template; the file of its own is the newer habit.
  const chatTemplate =
    tokenizerConfig && new TextDecoder().decode(tokenizerConfig).includes('"chat_template"') ? undefined : await read('chatTemplate');
  if (!config || !tokenizer) throw new FiresideError('BAD_INPUT', `${located.label}: config.json and tokenizer.json are needed.`);
  return { config, tokenizer, tokenizerConfig, generationConfig, chatTemplate };
}

/**
 * @param {Located} located
 * @param {RawFiles} files
 * @param {object} storage the options of the engine's loader
 * @param {WorkerClient} client
 * @param {Meter} meter
 * @param {AbortSignal} signal
 */
async function weights(located, files, storage, client, meter, signal) {
  /** @param {Uint8Array} [index] @returns {Promise<string[]>} the names of the weight files */
  const begin = (index) => client.request('load', { files: { ...files, index }, options: storage });
  const readIndex = async () => {
    const opened = await located.open('index', signal);
    return opened && readAll(opened, (count) => meter.add(opened.file, count));
  };

  let index = located.indexed ? await readIndex() : undefined;
  let names = await begin(index);
  let first = await located.weights(names[0], 0, signal);
  if (!first && !index) {
    // One file is the common case and is asked for first; a sharded model shows by lacking it.
    index = await readIndex();
    if (index) {
      names = await begin(index);
      first = await located.weights(names[0], 0, signal);
    }
  }

  meter.expect(index ? totalSize(index) : first?.size);
  for (const [position, name] of names.entries()) {
    const opened = position === 0 ? first : await located.weights(name, position, signal);
    if (!opened)
      throw new FiresideError('NETWORK', `${name} is missing from ${located.label}. Check that the folder is complete.`, {
        file: name,
        status: 404,
      });
    await pour(opened, client, meter);
  }
  meter.finish();
}

/** How many threads are there, as soon as each has started or failed; one that does neither is not waited for. @param {Promise<boolean>[]} threads */
async function countIn(threads) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, START_MS, false)));
  const there = await Promise.all(threads.map((thread) => Promise.race([thread, late])));
  clearTimeout(timer);
  return there.filter(Boolean).length;
}

/** Streams one file into the engine, with some chunks on their way while others arrive. @param {Opened} opened @param {WorkerClient} client @param {Meter} meter */
async function pour(opened, client, meter) {
  /** @type {Promise<void>[]} */
  const taken = [];
  let bytesUnderWay = 0;
  for await (const bytes of opened.chunks) {
    while (bytesUnderWay > UNDER_WAY_MAX) await taken.shift();
    // A chunk of ours that fills its buffer is handed over; the caller's bytes, and views into a larger buffer, are copied.
    const own = opened.transferable && bytes.byteLength === bytes.buffer.byteLength;
    const chunk = own ? bytes : bytes.slice();
    const { length } = chunk;
    bytesUnderWay += length;
    const push = client.request('push', { chunk }, { transfer: [chunk.buffer] }).then(() => {
      bytesUnderWay -= length;
      meter.add(opened.file, length);
    });
    push.catch(() => {}); // awaited above and below; until then not "unhandled"
    taken.push(push);
  }
  await Promise.all(taken);
  await client.request('endFile');
}

/** The size that a sharded model's index states. @param {Uint8Array} index @returns {number | undefined} */
function totalSize(index) {
  try {
    const size = JSON.parse(new TextDecoder().decode(index))?.metadata?.total_size;
    return Number.isSafeInteger(size) && size > 0 ? size : undefined;
  } catch {
    return undefined; // the engine says what is wrong with it
  }
}

/** @param {Uint8Array} bytes */
function looksLikeHtml(bytes) {
  return /^\s*<(!doctype html|html|head|body)/i.test(new TextDecoder().decode(bytes.subarray(0, 256)));
}

/** Counts bytes for onProgress. The total appears once it is known and then stays; a wrong one is never overrun. */
class Meter {
  #loaded = 0;
  /** @type {number | undefined} */
  #total;
  #file = '';
  #report;

  /** @param {LoadOptions['onProgress']} report */
  constructor(report) {
    this.#report = report;
  }

  /** @param {number | undefined} bytes of all weight files */
  expect(bytes) {
    this.#total = bytes === undefined ? undefined : this.#loaded + bytes;
  }

  /** @param {string} file @param {number} bytes */
  add(file, bytes) {
    this.#file = file;
    this.#loaded = Math.min(this.#loaded + bytes, this.#total ?? Infinity);
    this.#report?.({ phase: 'download', file, loaded: this.#loaded, total: this.#total });
  }

  finish() {
    const loaded = this.#total ?? this.#loaded;
    this.#report?.({ phase: 'build', file: this.#file, loaded, total: loaded });
  }
}
