// Stores models in the Cache API, where the origin private file system is missing: one entry for each
// chunk, and one for each journal, which is replaced with every line. Few browsers load this module.

/** @import { Backend } from './store.js' */

/**
 * @param {Cache} cache
 * @param {string} library its name
 * @returns {Backend}
 */
export function responses(cache, library) {
  const base = `https://${library}.invalid/`;
  const remove = async (/** @type {string} */ prefix) => {
    for (const { url } of await cache.keys()) if (url.startsWith(base + prefix)) await cache.delete(url);
  };
  return {
    async file(folder, name) {
      const journal = `${base}${folder}/${name}.journal`;
      const chunk = (/** @type {number} */ index) => `${base}${folder}/${name}.chunks/${index}`;
      const read = async () => (await cache.match(journal))?.text() ?? '';
      return {
        read,
        async chunk(index) {
          const response = await cache.match(chunk(index));
          return response && new Uint8Array(await response.arrayBuffer());
        },
        put: (index, bytes) => cache.put(chunk(index), new Response(/** @type {any} */ (bytes))),
        async log(at, text) {
          const kept = new TextEncoder().encode(await read()).subarray(0, at);
          await cache.put(journal, new Response(new Blob([kept, text])));
        },
        async remove() {
          await cache.delete(journal);
          await remove(`${folder}/${name}.chunks/`);
        },
        close: async () => {},
      };
    },
    async folders() {
      /** @type {Map<string, string[]>} */
      const folders = new Map();
      for (const { url } of await cache.keys()) {
        const [, folder, name] = /^https:\/\/[^/]+\/(\w+)\/(.+)\.journal$/.exec(url) ?? [];
        if (folder) folders.set(folder, [...(folders.get(folder) ?? []), name]);
      }
      return Array.from(folders, ([folder, files]) => ({ folder, files }));
    },
    remove: (folder) => remove(`${folder}/`),
  };
}
