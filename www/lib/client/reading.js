// Reads the small files of a model, whether they have an address or are in the page's hands.

import { collect } from '../shared/bytes.js';
import { FiresideError, htmlInstead, looksLikeHtml, tooLong } from '../shared/errors.js';
import { openInput } from './input.js';

/** @import { SmallName } from './names.js' */
/** @import { Pins } from './pins.js' */
/** @import { Located } from './source.js' */
/** @import { Meter } from './meter.js' */
/** @import { WorkerClient } from './worker-client.js' */

/**
 * What reading needs.
 * @typedef {{ located: Located, pins?: Pins, client: WorkerClient, meter: Meter, signal: AbortSignal,
 *   stallMs: number }} Reading
 */

/** How long a server may ask the worker to wait, and the longest pause between two attempts. */
const PAUSES_MS = 80_000;

/** How long a worker that fetches may be silent. @param {number} stallMs */
export const silenceOf = (stallMs) => stallMs + PAUSES_MS;

/**
 * What the publisher states about the files.
 * @param {Located} located
 * @param {WorkerClient} client
 * @param {number} stallMs
 */
export const pinsOf = (located, client, stallMs) =>
  located.pins(
    (wanted, needed) => client.request('fetchList', { wanted, needed }, { onPiece: () => {}, silenceMs: silenceOf(stallMs) }),
    (source) => client.request('listStored', { source }),
  );

/**
 * A small file, or undefined where there is no such file.
 * @param {Reading} reading
 * @param {SmallName} key
 * @returns {Promise<Uint8Array | undefined>}
 */
export async function small({ located, pins, client, meter, signal, stallMs }, key) {
  const place = located.place(key, pins);
  if (!place) return undefined;
  if ('url' in place) {
    if (!place.absent) return client.request('readFile', { wanted: place }, { onPiece: meter.of(place), silenceMs: silenceOf(stallMs) });
    await client.request('markAbsent', { wanted: place });
    return undefined;
  }
  const { file, max = Infinity } = place;
  const opened = openInput(place, signal, stallMs);
  const bytes = (opened.size ?? 0) > max ? undefined : await collect(opened.chunks, max + 1);
  if (!bytes || bytes.length > max) throw tooLong(file, max);
  meter.of(place)({ phase: 'download', bytes: bytes.length });
  // A page in the place of another file is what the caller gave: the engine says so.
  if (looksLikeHtml(bytes) && (key === 'config' || key === 'tokenizer')) throw htmlInstead(file, located.label);
  return bytes;
}

/** @param {string} file @param {Located} located */
export function missing(file, located) {
  return new FiresideError('NETWORK', `${file} is missing from ${located.label}. Check that the folder is complete.`, { file, status: 404 });
}
