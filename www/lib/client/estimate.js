// Estimates what a model would take, before it is downloaded. Few visits load this module.

import { collect } from '../shared/bytes.js';
import { badInput } from '../shared/errors.js';
import { CHUNK_BYTES } from '../shared/store.js';
import { openInput } from './input.js';
import { check } from './load-options.js';
import { Meter } from './meter.js';
import { missing, pinsOf, small } from './reading.js';
import { inWorker } from './start.js';

/** @import { Estimate, LoadOptions, Source } from '../shared/types.d.ts' */
/** @import { Reading } from './reading.js' */
/** @import { Platform } from './types.d.ts' */

/** Most headers of weight files are whole in these first bytes. */
const HEAD_BYTES = 1 << 16;

/**
 * What a model would take, from its config and the headers of its weight files.
 * @param {Source} source
 * @param {LoadOptions | undefined} options
 * @param {Platform} platform
 * @returns {Promise<Estimate>}
 */
export async function estimate(source, options, platform) {
  const settings = check(options, platform);
  const { stallMs, storage } = settings;
  return inWorker(source, settings, platform, async ({ client, threads, located, signal }) => {
    if (!located.again) throw badInput('source', 'one that can be read again: what was read of a stream would be lost', source);
    const [pins] = await Promise.all([pinsOf(located, client, stallMs), threads]);
    const reading = { located, pins, client, meter: new Meter(undefined), signal, stallMs };
    const gguf = located.gguf?.(pins);
    const config = await small(reading, 'config');
    if (!config && !gguf) throw missing('config.json', located);
    const begin = (/** @type {Uint8Array | undefined} */ index) => client.request('beginEstimate', { files: { config, index }, gguf, options: storage });
    const index = located.indexed ? await small(reading, 'index') : undefined;
    let names = await begin(index);
    if (!(await header(reading, names[0], 0))) {
      const found = index ?? (gguf ? undefined : await small(reading, 'index'));
      if (index || !found) throw missing(names[0], located);
      names = await begin(found);
      if (!(await header(reading, names[0], 0))) throw missing(names[0], located);
    }
    for (const [position, name] of names.entries()) {
      if (position > 0 && !(await header(reading, name, position))) throw missing(name, located);
    }
    const result = await client.request('finishEstimate', {});
    client.close(new Error('done'));
    return { ...result, kvBytesPer1000Tokens: 1000 * result.kvBytesPerToken };
  });
}

/**
 * Hands the header of a weight file to the engine. Returns whether there is such a file.
 * @param {Reading} reading
 * @param {string} name
 * @param {number} position
 */
async function header({ located, pins, client, signal, stallMs }, name, position) {
  const place = located.weights(name, position, pins);
  if (!place || place.absent) return false;
  // That of a GGUF file holds the tokenizer: it has some megabytes, and they are fetched in whole chunks.
  const step = located.gguf ? CHUNK_BYTES : HEAD_BYTES;
  for (let need = step, have = 0; need > have; ) {
    have = need;
    const head =
      'url' in place ? { wanted: place, bytes: need } : { head: (await collect(openInput(place, signal, stallMs).chunks, need)).subarray(0, need) };
    const answer = await client.request('estimateHead', head);
    if (answer === undefined) return false;
    need = located.gguf ? Math.ceil(answer / step) * step : answer;
  }
  return true;
}
