// Loads that end midway: broken off at 100 places, ended with 20 tabs and workers; and tabs that load the
// same model at once.

import assert from 'node:assert/strict';
import { assertGolden, CHUNK } from '../driver.mjs';
import { random } from '../../random.js';
import { ALL, NOTHING, REST } from '../runner.mjs';

/**
 * How often each browser breaks a load off (a hundred times in total), and how many loads run side by side.
 * Most of their time is the pause before the first retry.
 */
const CUTS = 50;
const SEEDS = { chrome: 20261121, firefox: 20261122 };
const ABREAST = 5;
const KILLS = 10;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Asserts that a load after a broken one gives the golden text, and fetches at most one stored chunk again.
 */
async function assertResumes(driver, page, folder, place) {
  const stored = await driver.stored(page, folder);
  const again = await driver.load(page, folder);
  assertGolden(again, 'chat');
  assert(again.bytes <= folder.bytes - stored + CHUNK, `${place}: ${again.bytes} bytes were fetched with ${stored} of ${folder.bytes} stored`);
  return stored;
}

/**
 * Waits until a folder's load stalls at a byte, and ends it there with `kill(page)`: at once, or when the
 * cache has stored (`settled`) what has arrived.
 */
async function killAt({ driver, server }, { bytes, settled, kill, place }) {
  const page = await driver.newPage();
  const folder = server.folder('chat');
  const held = folder.holdAt(bytes);
  const loading = driver.load(page, folder, { options: { stallMs: 60_000 } }).catch((error) => ({ code: `page: ${error.message}` }));
  await held;
  if (settled) await driver.settled(page, folder);
  const alive = await kill(page);
  // A closed tab may never respond.
  const outcome = await (alive ? loading : Promise.race([loading, pause(1000)]));
  folder.mend();
  if (!alive) return driver.withPage((other) => assertResumes(driver, other, folder, place));
  assert.equal(outcome.code, 'CRASHED', `${place}: ${outcome.message}`);
  const stored = await assertResumes(driver, page, folder, place);
  await page.close();
  return stored;
}

/** Ways to end a tab. Each resolves with whether its page still responds. */
const DEATHS = {
  close: async (page) => void (await page.close()),
  leave: async (page) => {
    await page.goto('about:blank');
    await page.close();
  },
  crash: async (page) => {
    const client = await page.createCDPSession();
    const crashed = new Promise((resolve) => page.once('error', resolve));
    client.send('Page.crash').catch(() => {});
    await Promise.race([crashed, pause(5000)]);
    await page.close().catch(() => {});
  },
};

/** Random positions in the bytes of a model: most loads end in the middle, some early or at the very end. */
const places = (seed, count, bytes) => {
  const next = random(seed);
  return Array.from({ length: count }, () => Math.floor(next() * (bytes - 1)) + 1);
};

/** @type {import('../runner.mjs').Case[]} */
export const kills = [
  {
    fault: `the connection breaks off at one of ${CUTS} random bytes of all files`,
    sees: '`NETWORK`, then the text',
    again: REST,
    patienceMs: 240_000,
    run: async ({ driver, server, name }) => {
      const all = server.folder('chat').bytes - 100; // special_tokens_map.json is never fetched
      const cuts = places(SEEDS[name], CUTS, all);
      let [sent, stored] = [0, 0];
      const worker = async () => {
        for (let cut = cuts.pop(); cut !== undefined; cut = cuts.pop()) {
          await driver.withPage(async (page) => {
            const folder = server.folder('chat');
            const held = folder.holdAt(cut);
            const loading = driver.load(page, folder);
            await held;
            await driver.settled(page, folder);
            folder.breakNow({ status: 403 });
            const first = await loading;
            assert.equal(first.code, 'NETWORK', `cut at ${cut}: ${first.message ?? first.text}`);
            folder.mend();
            sent += first.bytes;
            // In two steps, because other workers add to it while this one waits.
            const kept = await assertResumes(driver, page, folder, `cut at ${cut}`);
            stored += kept;
            await driver.run(page, ({ cache }, source) => cache.delete(source), folder.url);
          });
        }
      };
      await Promise.all(Array.from({ length: ABREAST }, worker));
      // All complete chunks that had arrived are stored; on average half a chunk is lost.
      assert(stored > sent * 0.7, `${stored} bytes were stored of ${sent} sent`);
      return 'NETWORK';
    },
  },
  {
    fault: `the tab is closed, left or crashes during the load, ${KILLS} times`,
    sees: 'the text, in another tab',
    again: REST,
    alone: true,
    patienceMs: 240_000,
    run: async (world) => {
      const ways = world.name === 'chrome' ? ['close', 'crash', 'leave'] : ['close', 'leave'];
      let stored = 0;
      for (const [index, bytes] of places(7, KILLS, 6_200_000).entries()) {
        const way = ways[index % ways.length];
        stored += await killAt(world, { bytes, settled: index % 2 === 1, kill: DEATHS[way], place: `${way} at ${bytes}` });
      }
      assert(stored > 5 * CHUNK, `${stored} bytes were stored in all`);
      return 'text';
    },
  },
  {
    fault: `the worker is terminated during the load, ${KILLS} times`,
    sees: '`CRASHED`, then the text',
    again: REST,
    patienceMs: 240_000,
    run: async (world) => {
      const end = async (page) => {
        await page.evaluate(() => window.workers.findLast(({ isEngine }) => isEngine).terminate());
        return true;
      };
      let stored = 0;
      // Also at the first byte, when the engine may not exist yet.
      for (const [index, bytes] of [1, ...places(11, KILLS - 1, 6_200_000)].entries()) {
        stored += await killAt(world, { bytes, settled: index % 2 === 1, kill: end, place: `worker ended at ${bytes}` });
      }
      assert(stored > 5 * CHUNK, `${stored} bytes were stored in all`);
      return 'CRASHED';
    },
  },
  {
    fault: 'a load is aborted in the middle of the weights',
    sees: '`AbortError`, then the text',
    again: REST,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder('chat');
        const held = folder.holdAt(4_000_000);
        const loading = driver.run(
          page,
          ({ Model }, source) => {
            window.stop = new AbortController();
            window.loaded = 0;
            return Model.load(source, { threads: 1, signal: window.stop.signal, onProgress: ({ loaded }) => (window.loaded = loaded) }).then(() => 'loaded', (error) => error.name);
          },
          folder.url,
        );
        await held;
        await driver.settled(page, folder);
        await page.evaluate(() => window.stop.abort());
        assert.equal(await loading, 'AbortError');
        folder.mend();
        const stored = await assertResumes(driver, page, folder, 'aborted');
        assert(stored > CHUNK, `${stored} bytes stored`);
        return 'AbortError';
      }),
  },
];

/**
 * Loads in two tabs, the second once the first stalls at a byte. `then({ first, folder, other })` continues
 * from there; `other` is the outcome of the second.
 */
async function inTwoTabs({ driver, server }, then, options = {}) {
  const first = await driver.newPage();
  const second = await driver.newPage();
  const folder = server.folder('chat');
  const held = folder.holdAt(3_000_000);
  const ended = (page, more = {}) => driver.load(page, folder, { options: { ...options, ...more } }).catch(() => undefined);
  const one = ended(first, { stallMs: 60_000 });
  await held;
  const other = ended(second);
  await then({ first, folder, other });
  const outcomes = [await one, await other];
  await Promise.all([first.close().catch(() => {}), second.close()]);
  return { folder, outcomes };
}

/** @type {import('../runner.mjs').Case[]} */
export const sharing = [
  {
    fault: 'two tabs load the same model at once',
    sees: 'the text in both, from one download',
    again: NOTHING,
    run: async (world) => {
      const { folder, outcomes } = await inTwoTabs(world, async ({ folder }) => folder.release());
      for (const outcome of outcomes) assertGolden(outcome, 'chat');
      assert(folder.sent(/safetensors/) <= 6_056_712 + CHUNK, `${folder.sent(/safetensors/)} bytes were sent`);
      return 'text';
    },
  },
  {
    fault: 'one page loads the same model twice at once',
    sees: 'the text twice, from one download',
    again: NOTHING,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder('chat');
        const outcomes = await Promise.all([driver.load(page, folder), driver.load(page, folder)]);
        for (const outcome of outcomes) assertGolden(outcome, 'chat');
        assert(folder.sent(/safetensors/) <= 6_056_712, `${folder.sent(/safetensors/)} bytes were sent`);
        return 'text';
      }),
  },
  {
    fault: 'two tabs load the same model, and the one that downloads is closed',
    sees: 'the text in the other tab, which continues the download',
    again: REST,
    run: async (world) => {
      const { folder, outcomes } = await inTwoTabs(world, async ({ first, folder }) => {
        await world.driver.settled(first, folder);
        await first.close();
        folder.mend();
      });
      assertGolden(outcomes[1], 'chat');
      assert(folder.sent(/safetensors/) <= 6_056_712 + 2 * CHUNK, `${folder.sent(/safetensors/)} bytes were sent`);
      return 'text';
    },
  },
  {
    fault: 'two tabs load the same model, and the one that downloads stalls',
    sees: 'after `stallMs` the other tab downloads it itself',
    again: ALL,
    run: async (world) => {
      const { folder, outcomes } = await inTwoTabs(
        world,
        async ({ folder, other }) => {
          folder.passNew();
          await other;
          folder.mend();
        },
        { stallMs: 1000 },
      );
      for (const outcome of outcomes) assertGolden(outcome, 'chat');
      return 'text';
    },
  },
];
