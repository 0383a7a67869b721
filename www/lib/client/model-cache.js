// What of models this site has kept in the browser, or Node on disk: to be seen, checked and cleared.
//
//     import { cache } from 'fireside-lm';
//     for (const { source, bytes } of await cache.list()) console.log(source, bytes);
//     await cache.delete('hf:owner/name');

import { badInput, FiresideError } from '../shared/errors.js';
import { folderUrl } from './source.js';
import { folderOf, openBackend, StoredFile } from '../shared/store.js';

/** @import { CachedModel } from '../shared/types.d.ts' */
/** @import { Backend } from '../shared/store.js' */

const HUB = 'https://huggingface.co';

/** @param {() => Promise<Backend | undefined>} openBackend where models are kept */
export function cacheIn(openBackend) {
  const cache = Object.freeze({
    /**
     * Every model of which something is kept, the largest first.
     * @param {string | URL} [source] this model alone
     * @param {{ hub?: string | URL }} [options]
     * @returns {Promise<CachedModel[]>}
     */
    async list(source, { hub = HUB } = {}) {
      const backend = await openBackend();
      if (!backend) return [];
      const wanted = source === undefined ? undefined : await Promise.all(addressesOf(source, hub).map(folderOf));
      const folders = (await backend.folders()).filter(({ folder }) => !wanted || wanted.includes(folder));
      const models = await Promise.all(folders.map((folder) => describe(backend, folder)));
      return models.filter((model) => model.files.length > 0).sort((a, b) => b.bytes - a.bytes);
    },

    /** Bytes of all that is kept. */
    async size() {
      return (await cache.list()).reduce((sum, { bytes }) => sum + bytes, 0);
    },

    /**
     * Removes what is kept of a model, or of all of them. A model that is loaded goes on; one that is being downloaded cannot be removed.
     * @param {string | URL} [source] as it was loaded, or as `list` tells
     * @param {{ hub?: string | URL }} [options]
     * @returns {Promise<number>} the bytes that were freed
     */
    async delete(source, { hub = HUB } = {}) {
      const backend = await openBackend();
      if (!backend) return 0;
      const wanted = source === undefined ? undefined : await Promise.all(addressesOf(source, hub).map(folderOf));
      let freed = 0;
      for (const folder of await backend.folders()) {
        if (wanted && !wanted.includes(folder.folder)) continue;
        const { source, bytes } = await describe(backend, folder);
        await backend.remove(folder.folder).catch((cause) => {
          throw new FiresideError('BAD_INPUT', `${source} is being downloaded by this page or another tab. Stop that and try again.`, { source }, { cause });
        });
        freed += bytes;
      }
      return freed;
    },

    /**
     * Reads what is kept of a model and compares it with its checksums. A file that is not `ok` is mended when the model is loaded next.
     * @param {string | URL} source
     * @param {{ hub?: string | URL }} [options]
     * @returns {Promise<{ file: string, ok: boolean }[]>}
     */
    async verify(source, { hub = HUB } = {}) {
      const backend = await openBackend();
      const wanted = backend && (await Promise.all(addressesOf(source, hub).map(folderOf)));
      const folder = (await backend?.folders())?.find(({ folder }) => wanted?.includes(folder));
      if (!backend || !folder) throw badInput('source', 'a model of which something is kept', String(source));
      const results = [];
      for (const file of folder.files.sort()) {
        const stored = await StoredFile.openIn(backend, folder.folder, file);
        if (stored.absent) continue;
        let ok = stored.whole;
        for (let index = 0; ok && index < stored.chunks.length; index++) ok = (await stored.chunk(index)) !== undefined;
        results.push({ file, ok });
      }
      return results;
    },
  });
  return cache;
}

export const cache = cacheIn(openBackend);

/** The addresses by which the cache may know a model: a folder's, or that of a file that was given by its own. @param {string | URL} source @param {string | URL} hub */
function addressesOf(source, hub) {
  const [text, base] = [String(source), globalThis.document?.baseURI];
  const own = !/^hf:/i.test(text) && URL.canParse(text, base) ? [new URL(text, base).href] : [];
  try {
    return [...own, folderUrl(source, hub).href];
  } catch (error) {
    if (own.length) return own;
    throw error;
  }
}

/** @param {Backend} backend @param {{ folder: string, files: string[] }} folder @returns {Promise<CachedModel>} */
async function describe(backend, { folder, files: names }) {
  const files = [];
  let source = '';
  for (const name of names.sort()) {
    const stored = await StoredFile.openIn(backend, folder, name);
    source ||= stored.head?.source ?? '';
    if (stored.head && !stored.absent) files.push({ file: name, bytes: stored.bytes, complete: stored.whole });
  }
  return { source, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0), complete: files.every(({ complete }) => complete), files };
}
