// What of models this site has kept in the browser, or Node on disk: to be seen, checked and cleared.
//
//     import { cache } from 'fireside-lm';
//     for (const { source, bytes } of await cache.list()) console.log(source, bytes);
//     await cache.delete('hf:owner/name');

import { badInput, FiresideError } from './errors.js';
import { folderUrl } from './source.js';
import { folderOf, openBackend, StoredFile } from './store.js';

/** @import { CachedModel } from './types.d.ts' */
/** @import { Backend } from './store.js' */

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
      const wanted = source === undefined ? undefined : await folderOf(addressOf(source, hub));
      const folders = (await backend.folders()).filter(({ folder }) => wanted === undefined || folder === wanted);
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
      const wanted = source === undefined ? undefined : await folderOf(addressOf(source, hub));
      let freed = 0;
      for (const folder of await backend.folders()) {
        if (wanted !== undefined && folder.folder !== wanted) continue;
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
      const address = addressOf(source, hub);
      const wanted = backend && (await folderOf(address));
      const folder = (await backend?.folders())?.find(({ folder }) => folder === wanted);
      if (!backend || !folder) throw badInput('source', 'a model of which something is kept', String(source));
      const results = [];
      for (const file of folder.files.sort()) {
        const stored = await StoredFile.open(backend, address, file);
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

/** The address by which the cache knows a model. @param {string | URL} source @param {string | URL} hub */
function addressOf(source, hub) {
  // A file that was given by its own address is a model of one file.
  const text = String(source);
  return /\.(json|safetensors|jinja)$/.test(text) ? new URL(text, globalThis.document?.baseURI).href : folderUrl(source, hub).href;
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
