// Loads a model, start to end. The engine compiles and its worker starts while the small files arrive.
// These are checked before any weight is fetched. Weights then stream chunk by chunk into the engine; the
// worker itself fetches and stores what has an address.

import { FiresideError } from '../shared/errors.js';
import { openInput } from './input.js';
import { check } from './load-options.js';
import { Meter } from './meter.js';
import { missing, pinsOf, silenceOf, small } from './reading.js';
import { inWorker, START_MS } from './start.js';

/** @import { SmallFiles } from '../shared/engine.d.ts' */
/** @import { FileNews } from '../shared/protocol.d.ts' */
/** @import { LoadOptions, ModelInfo, Source, StorageOptions } from '../shared/types.d.ts' */
/** @import { Opened } from './input.js' */
/** @import { Reading } from './reading.js' */
/** @import { Platform } from './types.d.ts' */
/** @import { WorkerClient } from './worker-client.js' */

/**
 * Bytes that may be on their way to the worker. Chunks of a fast connection have 64 KB: waiting for each to
 * be taken would cost more than taking it.
 */
const UNDER_WAY_MAX = 2 << 20;

/** Shards that are downloaded ahead of the one that is being read. */
const AHEAD = 2;

/**
 * @param {Source} source
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Promise<{ client: WorkerClient, info: ModelInfo, again: boolean }>} `again`: the source can be
 *   loaded once more
 */
export async function load(source, options, platform) {
  const settings = check(options, platform);
  const { stallMs, storage, chatTemplate } = settings;
  const meter = new Meter(settings.onProgress);
  return inWorker(source, settings, platform, async ({ client, threads, located, signal }) => {
    const pins = await pinsOf(located, client, stallMs);
    if (located.remote && settings.modelCache) persist();
    const reading = { located, pins, client, meter, signal, stallMs };
    const [files, started] = await Promise.all([smallFiles(reading, chatTemplate), threads]);
    await weights(reading, files, storage);
    const info = await client.request('finishModel', { started: 1 + (await countIn(started)), local: !located.remote });
    return { client, info, again: located.again };
  });
}

/**
 * Asks the browser not to clear the stored files when space is short. Some ask their user in turn: nothing
 * waits for the answer.
 */
function persist() {
  const { storage } = globalThis.navigator ?? {};
  storage
    ?.persisted?.()
    .then((persisted) => persisted || storage.persist())
    .catch(() => {});
}

/**
 * All small files that may count. What they mean beside each other is for the engine to say. Beside a GGUF
 * file there are only those that were given.
 * @param {Reading} reading
 * @param {string} [ownTemplate] the caller's
 * @returns {Promise<Partial<SmallFiles>>}
 */
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
  if (!reading.located.gguf && !(config && tokenizer)) throw new FiresideError('BAD_INPUT', `${reading.located.label}: config.json and tokenizer.json are needed.`);
  return { config, tokenizer, tokenizerConfig, generationConfig, ...older, chatTemplate };
}

/**
 * The files that count only in folders saved before transformers 4.34. They are asked for where the engine
 * says so, while the tokenizer is on its way.
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

/** @param {Reading} reading @param {Partial<SmallFiles>} files @param {StorageOptions} options */
async function weights(reading, files, options) {
  const { located, pins, client, meter } = reading;
  const gguf = located.gguf?.(pins);
  /** @param {Uint8Array} [index] @returns {Promise<string[]>} the names of the weight files */
  const begin = (index) => client.request('beginModel', { files: { ...files, index }, gguf, options });
  let index = located.indexed ? await small(reading, 'index') : undefined;
  let names = await begin(index);
  for (let position = 0; position < names.length; position++) {
    const name = names[position];
    if (index) meter.sharded(totalSize(index));
    else if (names.length > 1) meter.sharded(statedSize(reading, names));
    prefetch(reading, names, position);
    if (await streamWeights(reading, name, position)) continue;
    // One file is the common case and is asked for first. A model in shards shows by lacking it.
    if (!index && !gguf) index = await small(reading, 'index');
    if (!index || names.length > 1 || position > 0) throw missing(name, located);
    const listed = await begin(index);
    if (listed[0] === name) throw missing(name, located);
    [names, position] = [listed, -1];
  }
  meter.finish();
}

/**
 * Downloads the shards after one into the stored files. If that fails, it has cost nothing but the attempt.
 * @param {Reading} reading
 * @param {string[]} names
 * @param {number} position
 */
function prefetch({ located, pins, client }, names, position) {
  for (let next = position + 1; next < Math.min(position + 1 + AHEAD, names.length); next++) {
    const place = located.weights(names[next], next, pins);
    if (place && 'url' in place && !place.absent) client.request('prefetch', { wanted: place }).catch(() => {});
  }
}

/**
 * Streams a weight file into the engine. Returns whether there is one.
 * @param {Reading} reading
 * @param {string} name
 * @param {number} position
 */
async function streamWeights({ located, pins, client, meter, signal, stallMs }, name, position) {
  const place = located.weights(name, position, pins);
  if (!place || place.absent) return false;
  if ('url' in place) return client.request('streamWeights', { wanted: place }, { onPiece: meter.of(place), silenceMs: silenceOf(stallMs) });
  const opened = openInput(place, signal, stallMs);
  meter.size(place, opened.size);
  await push(opened, client, meter.of(place));
  return true;
}

/**
 * Streams a file in the page's hands into the engine. Some chunks are on their way while others arrive.
 * @param {Opened} opened
 * @param {WorkerClient} client
 * @param {(news: FileNews) => void} report
 */
async function push(opened, client, report) {
  /** @type {Promise<void>[]} */
  const taken = [];
  let bytesUnderWay = 0;
  let bytes = 0;
  for await (const piece of opened.chunks) {
    while (bytesUnderWay > UNDER_WAY_MAX) await taken.shift();
    // A chunk of ours that fills its buffer is given away. The caller's bytes, and views into a larger
    // buffer, are copied.
    const isOurs = opened.transferable && piece.byteLength === piece.buffer.byteLength;
    const chunk = isOurs ? piece : piece.slice();
    const { length } = chunk;
    bytesUnderWay += length;
    const push = client.request('pushWeights', { chunk }, { transfer: [chunk.buffer] }).then(() => {
      bytesUnderWay -= length;
      bytes += length;
      report({ phase: 'download', bytes });
    });
    push.catch(() => {}); // awaited above and below; until then not "unhandled"
    taken.push(push);
  }
  await Promise.all(taken);
  await client.request('endWeights', {});
}

/**
 * How many threads have started. One that neither starts nor fails is not waited for.
 * @param {Promise<boolean>[]} threads
 */
async function countIn(threads) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, START_MS, false)));
  const there = await Promise.all(threads.map((thread) => Promise.race([thread, late])));
  clearTimeout(timer);
  return there.filter(Boolean).length;
}

/**
 * The size of all weight files, where the publisher states that of each.
 * @param {Reading} reading
 * @param {string[]} names
 */
function statedSize({ located, pins }, names) {
  const sizes = names.map((name, position) => Reflect.get(located.weights(name, position, pins) ?? {}, 'pin')?.size ?? NaN);
  const size = sizes.reduce((sum, size) => sum + size, 0);
  return Number.isNaN(size) ? undefined : size;
}

/**
 * The size that the index of a model in shards states.
 * @param {Uint8Array} index
 * @returns {number | undefined}
 */
function totalSize(index) {
  try {
    const size = JSON.parse(new TextDecoder().decode(index))?.metadata?.total_size;
    return Number.isSafeInteger(size) && size > 0 ? size : undefined;
  } catch {
    return undefined; // the engine says what is wrong with it
  }
}
