// Loading, start to end: the engine compiles and its worker starts while the small files arrive; these are checked before any weight is fetched;
// weights then stream chunk by chunk into the engine. What has an address is fetched and kept by the worker itself (worker/files.js).

import { joined } from '../shared/bytes.js';
import { abortError, badInput, badOption, crashed, FiresideError, htmlInstead, hubHint, looksLikeHtml, tooLong } from '../shared/errors.js';
import { locate, openInput } from './source.js';
import { SILENT, WorkerClient } from './worker-client.js';

/** @import { Located, NAMES, Opened, Pins, Place } from './source.js' */
/** @import { LoadOptions, ModelInfo, Platform, RawFiles, Source } from '../shared/types.d.ts' */

/**
 * Bytes that may be on their way to the worker: chunks of a fast connection have 64 KB, and waiting for each to be taken would cost more than taking it.
 */
const UNDER_WAY_MAX = 2 << 20;

/** Shards that are downloaded ahead of the one that is being read. */
const AHEAD = 2;

/** A load whose files change while they are being read begins anew so often in all. */
const ATTEMPTS = 2;

/**
 * @param {Source} source
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Promise<{ client: WorkerClient, info: ModelInfo, again: boolean }>} `again`: the source can be loaded once more
 */
export async function load(source, options, platform) {
  const settings = check(options, platform);
  const meter = new Meter(settings.onProgress);
  return inWorker(source, settings, platform, async (client, started, located, signal) => {
    const pins = await pinsOf(located, client, settings.stallMs);
    if (located.remote && settings.cache) keep();
    const files = { located, pins, client, meter, signal, stallMs: settings.stallMs };
    const [small, threads] = await Promise.all([smallFiles(files, settings.chatTemplate), started]);
    await weights(files, small, settings.storage);
    const info = await client.request('finish', { threads: 1 + (await countIn(threads)), local: !located.remote });
    return { client, info, again: located.again };
  });
}

/** What the publisher says that the files are. @param {Located} located @param {WorkerClient} client @param {number} stallMs */
export const pinsOf = (located, client, stallMs) =>
  located.pins((wanted, needed) => client.request('list', { wanted, needed }, { onPiece: () => {}, silenceMs: stallMs + SILENCE_MS }));

/**
 * Starts the engine and does something with it. Whatever fails first ends the rest: fetches of the page by the signal, the worker by being ended. Files
 * that change while they are being read are read anew, with a new engine.
 * @template T
 * @param {Source} source
 * @param {ReturnType<typeof check>} settings
 * @param {Platform} platform
 * @param {(client: WorkerClient, started: Promise<Promise<boolean>[]>, located: Located, signal: AbortSignal) => Promise<T>} job
 * @returns {Promise<T>}
 */
export async function inWorker(source, settings, platform, job) {
  const letGo = platform.hold?.();
  try {
    return await attempts(source, settings, platform, job);
  } finally {
    letGo?.();
  }
}

/** What `inWorker` does. @type {typeof inWorker} */
async function attempts(source, { cache, stallMs, threads, deterministic, hub, lock, signal: outer, storage, worker }, platform, job) {
  if (outer?.aborted) throw abortError(outer);
  const located = await locate(source, { hub, lock }, platform.disk);
  platform.check();
  await platform.prepare?.(worker, stallMs, outer);
  const choice = platform.choose({ threads, deterministic });
  storage.memoryBytesMax = Math.min(storage.memoryBytesMax, choice.memoryBytesMax ?? Infinity);
  for (let attempt = 1; ; attempt++) {
    if (outer?.aborted) throw abortError(outer); // while something was awaited
    const stop = new AbortController();
    const client = new WorkerClient(platform.spawn(worker), platform.hold);
    const onAbort = () => {
      stop.abort(abortError(outer));
      client.close(abortError(outer));
    };
    outer?.addEventListener('abort', onAbort, { once: true });
    try {
      const alive = client.request('files', { cache, stallMs, alive: client.name }).then(() => client.watch());
      const lateMs = Math.max(stallMs, START_MS);
      const late = setTimeout(() => client.close(crashed(`it did not answer within ${lateMs / 1000} seconds`)), lateMs);
      const started = platform.compile(choice.build).then(async (module) => {
        await client.request('init', { ...choice, module });
        const code = { build: choice.build, module, memory: choice.memory };
        return Array.from({ length: choice.threads - 1 }, () => client.startThread(() => platform.spawnThread(worker), code));
      });
      started.catch(() => {}); // awaited by the job; until then not "unhandled"
      await alive.finally(() => clearTimeout(late));
      return await job(client, started, located, stop.signal);
    } catch (error) {
      const reason = outer?.aborted ? abortError(outer) : await explained(error, { source, client, platform, worker });
      stop.abort(reason);
      client.close(reason);
      const changed = reason instanceof FiresideError && reason.code === 'INTEGRITY' && reason.details.again;
      if (!changed || attempt === ATTEMPTS) throw reason;
    } finally {
      outer?.removeEventListener('abort', onAbort);
    }
  }
}

/**
 * What a load rejects with. A worker that ended before it said anything never began: why is the platform's to say. A name of the hub's without `hf:` is a relative
 * address, at which there is nothing.
 * @param {any} error
 * @param {{ source: Source, client: WorkerClient, platform: Platform, worker: LoadOptions['worker'] }} load
 */
async function explained(error, { source, client, platform, worker }) {
  const { code, message, details } = error ?? {};
  if (code === 'CRASHED' && !client.heard) return platform.notStarted(worker, details.detail === SILENT ? undefined : details.detail);
  const isNothing = code === 'NOT_A_MODEL_FILE' || (code === 'NETWORK' && details.status >= 400 && details.status < 500);
  const hint = isNothing && details.file === 'config.json' && hubHint(source);
  return hint ? new FiresideError(code, `${message} Or ${hint}`, details) : error;
}

/** Asks the browser not to clear what is kept when space is short. Some ask their user in turn: nothing waits for the answer. */
function keep() {
  const { storage } = globalThis.navigator ?? {};
  storage
    ?.persisted?.()
    .then((persisted) => persisted || storage.persist())
    .catch(() => {});
}

const OPTIONS = 'dtype, kvDtype, weightBytesMax, memoryBytesMax, kvBytesMax, threads, deterministic, cache, stallMs, lock, chatTemplate, onProgress, signal, hub, worker';

/** More threads than any browser's machine is known to gain by. */
const THREADS_MAX = 32;

/** How long a model that is loaded waits for threads that have neither started nor failed, and a load for its worker. */
const START_MS = 5_000;

/** A connection from which nothing came for so long is taken to be dead. */
const STALL_MS = 20_000;

/** Beyond that a worker that fetches may be silent: for as long as a server may ask it to wait, and the longest pause between two attempts. */
const SILENCE_MS = 80_000;

/** Options are checked before anything is fetched. @param {LoadOptions | undefined} options @param {Platform} platform */
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
  if (typeof lock !== 'boolean' && !(typeof lock === 'string' && lock) && !(lock instanceof URL)) throw badOption('lock', 'true, or the URL of a lock file', lock);
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
  return { storage, threads, deterministic, cache, stallMs, lock, chatTemplate, onProgress, signal, hub, worker };
}

/** Browsers tell no more than this, so that devices look alike. */
const DEVICE_BYTES_KNOWN_MAX = 2 ** 33;

/** The device's memory, as far as a browser tells it. */
function deviceBytes() {
  return (Reflect.get(globalThis.navigator ?? {}, 'deviceMemory') ?? 8) * 2 ** 30;
}

/** What reading needs. @typedef {{ located: Located, pins?: Pins, client: WorkerClient, meter: Meter, signal: AbortSignal, stallMs: number }} Reading */

/** A small file. @param {Reading} reading @param {keyof typeof NAMES} key @returns {Promise<Uint8Array | undefined>} */
export async function small({ located, pins, client, meter, signal, stallMs }, key) {
  const place = located.place(key, pins);
  if (!place) return undefined;
  if (place.absent) return client.request('absent', { wanted: place });
  if ('url' in place) return client.request('read', { wanted: place }, { onPiece: meter.of(place), silenceMs: stallMs + SILENCE_MS });
  const opened = openInput(place, signal, stallMs);
  const { max = Infinity } = place;
  const bytes = (opened.size ?? 0) > max ? undefined : await readHead(opened, max + 1);
  if (!bytes || bytes.length > max) throw tooLong(place.file, max);
  meter.of(place)({ phase: 'download', bytes: bytes.length });
  if (looksLikeHtml(bytes) && (key === 'config' || key === 'tokenizer')) throw htmlInstead(place.file, located.label);
  return bytes; // a page in the place of another file is what somebody gave: the engine says so
}

/** What the files mean beside each other is the engine's to say: all that may count are handed over. @param {Reading} reading @param {string} [ownTemplate] the caller's @returns {Promise<RawFiles>} */
async function smallFiles(reading, ownTemplate) {
  const tokenizerConfigRead = small(reading, 'tokenizerConfig');
  const [config, tokenizer, tokenizerConfig, generationConfig, chatTemplate, older] = await Promise.all([
    small(reading, 'config'),
    small(reading, 'tokenizer'),
    tokenizerConfigRead,
    small(reading, 'generationConfig'),
    ownTemplate === undefined ? small(reading, 'chatTemplate') : new TextEncoder().encode(ownTemplate),
    olderFiles(reading, tokenizerConfigRead),
  ]);
  if (!config || !tokenizer) throw new FiresideError('BAD_INPUT', `${reading.located.label}: config.json and tokenizer.json are needed.`);
  return { config, tokenizer, tokenizerConfig, generationConfig, ...older, chatTemplate };
}

/**
 * Files that count in folders saved before transformers 4.34 alone. They are asked for where the engine says so, while the tokenizer is on its way.
 * @param {Reading} reading
 * @param {Promise<Uint8Array | undefined>} tokenizerConfigRead
 */
async function olderFiles(reading, tokenizerConfigRead) {
  const { located, pins, client } = reading;
  const tokenizerConfig = await tokenizerConfigRead;
  const given = located.place('specialTokensMap', pins) ?? located.place('addedTokens', pins);
  if (!given || !(await client.request('readsOlderFiles', { tokenizerConfig }))) return {};
  const [specialTokensMap, addedTokens] = await Promise.all([small(reading, 'specialTokensMap'), small(reading, 'addedTokens')]);
  return { specialTokensMap, addedTokens };
}

/** @param {Reading} reading @param {RawFiles} files @param {object} storage the options of the engine's loader */
async function weights(reading, files, storage) {
  const { located, pins, client, meter, signal, stallMs } = reading;
  /** @param {Uint8Array} [index] @returns {Promise<string[]>} the names of the weight files */
  const begin = (index) => client.request('load', { files: { ...files, index }, options: storage });
  /** @param {string} name @param {number} position @returns {Promise<boolean>} whether there was such a file */
  const pour = async (name, position) => {
    const place = located.weights(name, position, pins);
    if (!place || place.absent) return false;
    if ('url' in place) return client.request('weights', { wanted: place }, { onPiece: meter.of(place), silenceMs: stallMs + SILENCE_MS });
    const opened = openInput(place, signal, stallMs);
    meter.size(place, opened.size);
    await push(opened, client, meter.of(place));
    return true;
  };

  let index = located.indexed ? await small(reading, 'index') : undefined;
  let names = await begin(index);
  for (let position = 0; position < names.length; position++) {
    const name = names[position];
    if (index) {
      meter.sharded(totalSize(index));
      // What is ahead goes into the cache only; a cache that cannot keep it costs nothing but having tried.
      const next = names.slice(position + 1, position + 1 + AHEAD).map((name, ahead) => located.weights(name, position + 1 + ahead, pins));
      for (const place of next) if (place && 'url' in place && !place.absent) client.request('prefetch', { wanted: place }).catch(() => {});
    }
    if (await pour(name, position)) continue;
    // One file is the common case and is asked for first; a sharded model shows by lacking it.
    if (!index) index = await small(reading, 'index');
    if (!index || names.length > 1 || position > 0) throw missing(name, located);
    const listed = await begin(index);
    if (listed[0] === name) throw missing(name, located);
    [names, position] = [listed, -1];
  }
  meter.finish();
}

/** @param {string} file @param {Located} located */
export function missing(file, located) {
  return new FiresideError('NETWORK', `${file} is missing from ${located.label}. Check that the folder is complete.`, { file, status: 404 });
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

/**
 * Streams a file in the page's hands into the engine, with some chunks on their way while others arrive.
 * @param {Opened} opened
 * @param {WorkerClient} client
 * @param {ReturnType<Meter['of']>} report
 */
async function push(opened, client, report) {
  /** @type {Promise<void>[]} */
  const taken = [];
  let bytesUnderWay = 0;
  let bytes = 0;
  for await (const piece of opened.chunks) {
    while (bytesUnderWay > UNDER_WAY_MAX) await taken.shift();
    // A chunk of ours that fills its buffer is handed over; the caller's bytes, and views into a larger buffer, are copied.
    const own = opened.transferable && piece.byteLength === piece.buffer.byteLength;
    const chunk = own ? piece : piece.slice();
    const { length } = chunk;
    bytesUnderWay += length;
    const push = client.request('push', { chunk }, { transfer: [chunk.buffer] }).then(() => {
      bytesUnderWay -= length;
      bytes += length;
      report({ phase: 'download', bytes });
    });
    push.catch(() => {}); // awaited above and below; until then not "unhandled"
    taken.push(push);
  }
  await Promise.all(taken);
  await client.request('endFile');
}

/** The beginning of a file, of at least so many bytes where it has as many. @param {Opened} opened @param {number} bytes */
export async function readHead({ chunks }, bytes) {
  const parts = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= bytes) break;
  }
  return joined(parts);
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

/** Counts bytes for onProgress: of each file the most that was here. The total appears once it is known; a wrong one is never overrun. */
export class Meter {
  /** @type {Map<string, number>} */
  #bytes = new Map();
  #loaded = 0;
  /** @type {number | undefined} */
  #total;
  #file = '';
  #isSharded = false;
  #report;

  /** @param {LoadOptions['onProgress']} report */
  constructor(report) {
    this.#report = report;
  }

  /** The weights are in several files. @param {number | undefined} bytes of all of them, where the index states it */
  sharded(bytes) {
    if (!this.#isSharded && bytes !== undefined) this.#total = this.#loaded + bytes;
    this.#isSharded = true;
  }

  /** The size of a file, which tells the total where it has all the weights. @param {Place} place @param {number} [bytes] */
  size(place, bytes) {
    if (bytes !== undefined && !this.#isSharded && place.file.endsWith('.safetensors')) this.#total ??= this.#loaded + bytes;
  }

  /** Takes what is said of one file. @param {Place} place @returns {(news: { phase: 'download' | 'cache', bytes: number, total?: number }) => void} */
  of(place) {
    return ({ phase, bytes, total }) => {
      this.size(place, total);
      const before = this.#bytes.get(place.file) ?? 0;
      this.#bytes.set(place.file, Math.max(before, bytes));
      this.#file = place.file;
      this.#loaded = Math.min(this.#loaded + Math.max(0, bytes - before), this.#total ?? Infinity);
      this.#report?.({ phase, file: this.#file, loaded: this.#loaded, total: this.#total });
    };
  }

  finish() {
    const loaded = Math.max(this.#loaded, this.#total ?? 0);
    this.#report?.({ phase: 'build', file: this.#file, loaded, total: loaded });
  }
}
