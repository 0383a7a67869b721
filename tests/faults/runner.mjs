// How a case of the matrix runs: a load with a fault, its end, and another load without clearing anything,
// which must give the golden text.

import assert from 'node:assert/strict';
import { assertGolden, CHUNK } from './driver.mjs';

/** What is fetched again, as the table says it and as `run` checks it. */
export const NOTHING = 'nothing';
export const REST = 'the missing part, at most one chunk twice';
export const ALL = 'the file';

/**
 * One row of the table. Most have a `set`, which puts a fault into a folder, how the load from it `ends`
 * ('text' or a code, for each browser if they differ), and a `check`. `set` may return
 * `{ source, options }` in place of the folder's URL. The others have a `run`, which resolves with how it
 * ended. `cuts`: after how many breaks a chunk may come twice within the load. `repair`: removes the fault,
 * if `folder.mend()` does not. `patienceMs`: how long the case may take. `alone`: the case ends processes
 * or fills disks, so no other case may run at the same time.
 * @typedef {{ fault: string, sees: string, again: string, section?: string, model?: string, options?: object,
 *   cuts?: number, patienceMs?: number, alone?: boolean, set?: (folder: any, server: any) => any,
 *   ends?: string | Record<string, string>, repair?: (folder: any) => void, check?: (after: any) => unknown,
 *   run?: (world: { driver: any, server: any, name: string }) => Promise<string> }} Case
 */

/**
 * Runs a case in a browser. Resolves with how it ended: 'text', or the first error code.
 * @param {Case} one
 * @param {any} driver
 * @returns {Promise<string>}
 */
export async function runCase(one, driver) {
  const { server, name } = driver;
  if (one.run) return one.run({ driver, server, name });
  const { model = 'chat', cuts = 1 } = one;
  const ends = typeof one.ends === 'object' ? one.ends[name] : one.ends;
  return driver.withPage(async (page) => {
    const folder = server.folder(model);
    const { source, options = {} } = (await one.set?.(folder, server)) ?? {};
    const settings = { model, ...(typeof source === 'string' && { source }), options: { ...one.options, ...options } };
    const first = await driver.load(page, folder, settings);
    if (ends === 'text') assertGolden(first, model);
    else assert.equal(first.code, ends, first.message ?? `text: ${first.text}`);
    const stored = await driver.stored(page, folder);
    (one.repair ?? ((folder) => folder.mend()))(folder);
    const second = await driver.load(page, folder, settings);
    assertGolden(second, model);
    // Bytes in transit when the connection broke are lost. With a chunk that was begun, they may come
    // twice.
    if (first.code === undefined) {
      if (one.again === REST) assert(first.bytes <= folder.bytes + 2 * cuts * CHUNK, `${first.bytes} bytes were sent of ${folder.bytes}`);
      if (one.again === NOTHING) assert(first.bytes <= folder.bytes, `${first.bytes} bytes were sent of ${folder.bytes}`);
      if (second.info.cache !== 'none') assert.equal(second.bytes, 0, 'bytes were fetched again by a load from the cache');
    } else if (one.again === REST) {
      assert(second.bytes <= folder.bytes - stored + CHUNK, `${second.bytes} bytes were fetched, with ${stored} of ${folder.bytes} stored`);
    } else if (one.again === NOTHING) assert.equal(second.bytes, 0);
    await one.check?.({ first, second, folder, stored, page, driver });
    await driver.run(page, ({ cache }, { source, hub }) => cache.delete(source, { hub }), { source: settings.source ?? folder.url, hub: options.hub });
    return ends;
  });
}
