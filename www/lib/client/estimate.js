// What a model would take, before it is downloaded. A module of its own, since most visits never ask.

import { badInput } from '../shared/errors.js';
import { check, inWorker, Meter, missing, pinsOf, readHead, small } from './load.js';
import { openInput } from './source.js';

/** @import { Estimate, LoadOptions, Platform, Source } from '../shared/types.d.ts' */

/** The first bytes of a weight file: most headers are whole in them. */
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
  return inWorker(source, settings, platform, async (client, started, located, signal) => {
    if (!located.again) throw badInput('source', 'one that can be read again: what was read of a stream would be lost', source);
    const [pins] = await Promise.all([pinsOf(located, client, settings.stallMs), started]);
    const files = { located, pins, client, meter: new Meter(undefined), signal, stallMs: settings.stallMs };
    const config = await small(files, 'config');
    const survey = async (/** @type {Uint8Array | undefined} */ index) => client.request('survey', { files: { config, index }, options: settings.storage });
    /** @param {string} name @param {number} position @returns {Promise<boolean>} whether there is such a file */
    const header = async (name, position) => {
      const place = located.weights(name, position, pins);
      for (let need = HEAD_BYTES, have = 0; need > have; ) {
        have = need;
        if (!place || place.absent) return false;
        const head = 'url' in place ? undefined : await readHead(openInput(place, signal, settings.stallMs), need);
        const answer = await client.request('surveyHead', 'url' in place ? { wanted: place, bytes: need } : { head });
        if (!answer) return false;
        need = answer.need;
      }
      return true;
    };
    const index = located.indexed ? await small(files, 'index') : undefined;
    let names = await survey(index);
    if (!(await header(names[0], 0))) {
      const found = index ?? (await small(files, 'index'));
      if (index || !found) throw missing(names[0], located);
      names = await survey(found);
      if (!(await header(names[0], 0))) throw missing(names[0], located);
    }
    for (const [position, name] of names.entries()) {
      if (position > 0 && !(await header(name, position))) throw missing(name, located);
    }
    const result = await client.request('surveyEnd');
    client.close(new Error('done'));
    return { ...result, kvBytesPer1000Tokens: 1000 * result.kvBytesPerToken };
  });
}
