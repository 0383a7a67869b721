// Lists, checks and deletes the stored files of models: those that this site has stored in the browser, or
// Node on disk.
//
//     import { modelCache } from 'fireside-lm';
//     for (const { source, bytes } of await modelCache.list()) console.log(source, bytes);
//     await modelCache.delete('hf:owner/name');

import { badInput, FiresideError } from '../shared/errors.js';
import { sourceUrl } from './source.js';
import { folderOf, openBackend, StoredFile } from '../shared/store.js';

/** @import { CachedModel } from '../shared/types.d.ts' */
/** @import { Backend } from '../shared/store.js' */

const HUB = 'https://huggingface.co';

/** @param {() => Promise<Backend | undefined>} openBackend where files are stored */
export function modelCacheIn(openBackend) {
  const modelCache = Object.freeze({
    /**
     * Every model with stored files, the largest first.
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

    /** Bytes of all stored files. */
    async size() {
      return (await modelCache.list()).reduce((sum, { bytes }) => sum + bytes, 0);
    },

    /**
     * Deletes the stored files of a model, or of all models. A loaded model goes on. Rejects where a model
     * is being downloaded.
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
     * Compares the stored files of a model with their checksums. A file that is not `ok` is mended when the
     * model is loaded next.
     * @param {string | URL} source
     * @param {{ hub?: string | URL }} [options]
     * @returns {Promise<{ file: string, ok: boolean }[]>}
     */
    async verify(source, { hub = HUB } = {}) {
      const backend = await openBackend();
      const wanted = backend && (await Promise.all(addressesOf(source, hub).map(folderOf)));
      const folder = (await backend?.folders())?.find(({ folder }) => wanted?.includes(folder));
      if (!backend || !folder) throw badInput('source', 'a model with stored files', String(source));
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
  return modelCache;
}

export const modelCache = modelCacheIn(openBackend);

/**
 * The addresses by which a model may be stored: that of its folder or GGUF file, or of a file that was given
 * alone.
 * @param {string | URL} source
 * @param {string | URL} hub
 */
function addressesOf(source, hub) {
  const [text, base] = [String(source), globalThis.document?.baseURI];
  const own = !/^hf:/i.test(text) && URL.canParse(text, base) ? [new URL(text, base).href] : [];
  if (own[0]?.includes('/#')) return own; // as `list` tells of a GGUF file that was chosen by a word
  try {
    return [...own, sourceUrl(source, hub).href];
  } catch (error) {
    if (own.length) return own;
    throw error;
  }
}

/**
 * @param {Backend} backend
 * @param {{ folder: string, files: string[] }} folder
 * @returns {Promise<CachedModel>}
 */
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
