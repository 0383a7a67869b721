// The model cache: listed, verified, damaged, cleared, and without space.

import assert from 'node:assert/strict';
import { assertGolden, CHUNK, TOLD } from '../driver.mjs';
import { WEIGHTS } from '../models.mjs';
import { ALL, NOTHING } from '../runner.mjs';

/**
 * Runs in the page: changes the stored files of a source. `change(bytes)` gets a file's bytes and returns
 * others, or nothing to remove the file.
 */
async function tamper({ cache }, { path, name }, change) {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle('fireside-lm');
  const isOf = async (folder) => {
    for await (const [file, handle] of folder.entries()) {
      if (file.endsWith('.journal') && (await (await handle.getFile()).text()).includes(path)) return true;
    }
    return false;
  };
  let changed = 0;
  for await (const folder of root.values()) {
    // Folders of other tests come and go meanwhile.
    if (folder.kind !== 'directory' || !(await isOf(folder).catch(() => false))) continue;
    const handle = await folder.getFileHandle(name);
    const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
    const now = change(bytes);
    changed++;
    if (!now) {
      await folder.removeEntry(name);
      continue;
    }
    const writable = await handle.createWritable();
    await writable.write(now);
    await writable.close();
  }
  if (changed !== 1) throw new Error(`${changed} folders hold ${path}: ${JSON.stringify(await cache.list())}`);
}

/**
 * A case that damages what a first load stored. The next load must give the golden text and fetch no more
 * than `most`, and the one after it nothing.
 * @param {any} settings
 */
const damaged = ({ fault, name = WEIGHTS, change, most, verify, ...rest }) => ({
  fault,
  model: 'chat',
  ...rest,
  run: ({ driver, server }) =>
    driver.withPage(async (page) => {
      const folder = server.folder('chat');
      assertGolden(await driver.load(page, folder), 'chat');
      await driver.run(page, `async (fireside, args) => (${tamper})(fireside, args, ${change})`, { path: folder.path, name });
      if (verify) {
        const report = await driver.run(page, ({ cache }, source) => cache.verify(source), folder.url);
        assert.deepEqual(report.filter(({ ok }) => !ok).map(({ file }) => file), [verify]);
      }
      const second = await driver.load(page, folder);
      assertGolden(second, 'chat');
      assert(second.bytes <= most, `${second.bytes} bytes were fetched, at most ${most} expected`);
      if (verify) {
        const report = await driver.run(page, ({ cache }, source) => cache.verify(source), folder.url);
        assert.deepEqual(report.filter(({ ok }) => !ok), []);
      }
      const third = await driver.load(page, folder);
      assertGolden(third, 'chat');
      assert.equal(third.bytes, 0);
      return 'text';
    }),
});

const flip = (at) => `(bytes) => { bytes[${at}] ^= 1; return bytes; }`;

/**
 * Loads twice without space or storage. Both loads give the text, and `info()` says why nothing is stored.
 */
async function unstored({ page, server, driver, options = {}, reasons, model = 'story' }) {
  const folder = server.folder(model);
  for (let load = 1; load <= 2; load++) {
    const outcome = await driver.load(page, folder, { model, options });
    assertGolden(outcome, model);
    assert.equal(outcome.info.cache, 'none');
    assert(reasons.includes(outcome.info.cacheReason), outcome.info.cacheReason);
    assert(outcome.bytes > 2_000_000, `${outcome.bytes} bytes`);
  }
  return 'text';
}

/** @type {import('../runner.mjs').Case[]} */
export const cache = [
  {
    fault: 'a model is loaded a second time',
    sees: 'the text; `info().cache` is `stored`, then `reused`',
    again: NOTHING,
    set: () => {},
    ends: 'text',
    check: ({ first, second }) => {
      assert.equal(first.info.cache, 'stored');
      assert.equal(second.info.cache, 'reused');
    },
  },
  {
    fault: 'stored models are listed, measured and deleted',
    sees: 'the files with their bytes; the freed bytes',
    again: ALL,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const folder = server.folder('story');
        assertGolden(await driver.load(page, folder, { model: 'story' }), 'story');
        const found = await driver.run(
          page,
          async ({ cache }, source) => {
            const entry = async () => (await cache.list()).find((model) => model.source === source);
            const listed = await entry();
            const size = await cache.size();
            const freed = await cache.delete(source);
            return { listed, size, freed, after: (await entry()) ?? null };
          },
          folder.url,
        );
        const { listed, size, freed, after } = found;
        assert.equal(listed.complete, true);
        assert(listed.bytes >= 2_227_000 && listed.bytes <= folder.bytes, `${listed.bytes} of ${folder.bytes}`);
        assert(size >= listed.bytes);
        assert(freed >= listed.bytes && freed <= listed.bytes + 10_000, `${freed} freed of ${listed.bytes}`);
        const weights = listed.files.find(({ file }) => file === WEIGHTS);
        assert.deepEqual(weights, { file: WEIGHTS, bytes: 2_103_480, complete: true });
        assert.equal(after, null);
        const second = await driver.load(page, folder, { model: 'story' });
        assertGolden(second, 'story');
        assert(second.bytes > 2_200_000);
        return 'text';
      }),
  },
  {
    fault: 'stored models are listed repeatedly while models are loaded and deleted',
    sees: 'the files with their current bytes',
    again: NOTHING,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const lists = driver.run(page, async ({ cache }) => {
          window.listing = true;
          let count = 0;
          for (; window.listing; count++) await cache.list();
          return count;
        });
        lists.catch(() => {});
        for (let load = 1; load <= 3; load++) {
          const folder = server.folder('chat');
          assertGolden(await driver.load(page, folder), 'chat');
          await driver.run(page, ({ cache }, source) => cache.delete(source), folder.url);
        }
        await page.evaluate(() => (window.listing = false));
        assert((await lists) > 0);
        return 'text';
      }),
  },
  damaged({
    fault: 'a stored byte has changed',
    sees: 'the text; `cache.verify` names the file; the chunk is fetched again',
    again: 'the chunk',
    change: flip(3_500_000),
    most: CHUNK,
    verify: WEIGHTS,
  }),
  damaged({
    fault: 'a byte of the last stored chunk has changed',
    sees: 'the text; the chunk is fetched again',
    again: 'the chunk',
    change: flip(6_056_000),
    most: CHUNK,
    verify: WEIGHTS,
  }),
  damaged({
    fault: 'a byte of the stored tokenizer.json has changed',
    sees: 'the text; the file is fetched again',
    again: 'the chunk',
    name: 'tokenizer.json',
    change: flip(5000),
    most: 200_000,
    verify: 'tokenizer.json',
  }),
  damaged({
    fault: 'the stored weights are truncated',
    sees: 'the text; the missing chunks are fetched again',
    again: 'the missing chunks',
    change: '(bytes) => bytes.subarray(0, 3_000_000)',
    most: 6_056_712 - 3_000_000 + CHUNK,
    verify: WEIGHTS,
  }),
  damaged({
    fault: 'the stored weights are missing, their journal is not',
    sees: 'the text; the file is fetched again',
    again: ALL,
    change: '() => undefined',
    most: 6_060_000,
  }),
  damaged({
    fault: 'the journal of the stored weights is missing',
    sees: 'the text; the file is fetched again',
    again: ALL,
    name: `${WEIGHTS}.journal`,
    change: '() => undefined',
    most: 6_060_000,
  }),
  damaged({
    fault: 'the journal of the stored weights ends in half a line',
    sees: 'the text; chunks that the journal does not list are fetched again',
    again: 'the missing chunks',
    name: `${WEIGHTS}.journal`,
    change: '(bytes) => { const text = new TextDecoder().decode(bytes); return bytes.subarray(0, text.trimEnd().lastIndexOf("\\n") - 20); }',
    most: 2 * CHUNK,
  }),
  damaged({
    fault: 'the journal of the stored weights is nonsense',
    sees: 'the text; the file is fetched again',
    again: ALL,
    name: `${WEIGHTS}.journal`,
    change: '(bytes) => bytes.fill(120)',
    most: 6_060_000,
  }),
  {
    fault: 'the server is switched off after a first load',
    sees: 'the text, from the cache',
    again: NOTHING,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const far = await server.another();
        const folder = far.folder('chat');
        assertGolden(await driver.load(page, folder, { source: folder.other }), 'chat');
        await far.close();
        const second = await driver.load(page, folder, { source: folder.other });
        assertGolden(second, 'chat');
        assert.equal(second.info.cache, 'reused');
        assert.equal(second.bytes, 0);
        return 'text';
      }),
  },
  ...[405, 503].map((status) => ({
    fault: `the server answers ${status} to the check of the stored files`,
    sees: 'the text, from the cache',
    again: NOTHING,
    set: (folder) => folder.on('*', { status }, Infinity, 'HEAD'),
    repair: () => {},
    ends: 'text',
    check: ({ second }) => assert.equal(second.info.cache, 'reused'),
  })),
  {
    fault: 'storing is disabled (`cache: false`)',
    sees: 'the text; `info().cacheReason` is `off`',
    again: ALL,
    run: ({ driver, server }) => driver.withPage((page) => unstored({ page, server, driver, options: { cache: false }, reasons: ['off'] })),
  },
  {
    fault: 'the browser has no private file system',
    sees: 'the text; the Cache API is used instead',
    again: NOTHING,
    run: async ({ driver, server }) => {
      const page = await driver.newPage({ worker: 'lacking.js?opfs' });
      const folder = server.folder('chat');
      folder.breakAt(4_000_000, { status: 403 });
      assert.equal((await driver.load(page, folder)).code, 'NETWORK');
      folder.mend();
      const second = await driver.load(page, folder);
      assertGolden(second, 'chat');
      assert(second.bytes < folder.bytes - CHUNK, `${second.bytes} bytes were fetched again`);
      const third = await driver.load(page, folder);
      assertGolden(third, 'chat');
      assert.deepEqual([third.info.cache, third.bytes], ['reused', 0]);
      await page.close();
      return 'text';
    },
  },
  {
    fault: 'the browser has neither a private file system nor the Cache API',
    sees: 'the text; `info().cacheReason` is `unavailable`',
    again: ALL,
    run: async ({ driver, server }) => {
      const page = await driver.newPage({ worker: 'lacking.js?opfs&caches' });
      const ended = await unstored({ page, server, driver, reasons: ['unavailable'] });
      await page.close();
      return ended;
    },
  },
  {
    fault: 'the window is private, and the connection breaks',
    sees: 'the text',
    again: 'nothing, if the browser stores files; otherwise the file',
    run: async ({ driver, server }) => {
      const { page, end } = await driver.privatePage();
      const folder = server.folder('chat');
      folder.on(WEIGHTS, { cut: 2_500_000 }, 1);
      for (let load = 1; load <= 2; load++) {
        const outcome = await driver.load(page, folder);
        assertGolden(outcome, 'chat');
        if (outcome.info.cache === 'none') assert.equal(outcome.info.cacheReason, 'unavailable');
        else assert.equal(outcome.info.cache, load === 1 ? 'stored' : 'reused');
      }
      await end();
      return 'text';
    },
  },
  {
    fault: 'there is no space for the weights',
    sees: 'the text, from memory; `info().cacheReason` is `quota`, or `lost` if the browser does not say why',
    again: ALL,
    alone: true,
    run: async ({ driver, server }) => {
      const { page, end } = await driver.limitedPage(3 << 20);
      const ended = await unstored({ page, server, driver, reasons: ['quota', 'lost'], model: 'chat' });
      await end();
      return ended;
    },
  },
  {
    fault: 'the browser deletes stored files while they are being read',
    sees: 'the text; missing chunks are fetched again',
    again: ALL,
    alone: true,
    run: async ({ driver, server }) => {
      const { page, end } = await driver.apartPage();
      const folder = server.folder('chat');
      assertGolden(await driver.load(page, folder), 'chat');
      const found = await driver.run(
        page,
        async ({ Session }, { source, told }) => {
          let cleared;
          const onProgress = ({ phase, file }) => {
            if (phase === 'cache' && file.endsWith('.safetensors')) cleared ??= fetch('/clear-storage', { cache: 'no-store' });
          };
          const session = await Session.load(source, { threads: 1, onProgress });
          await cleared;
          const { text } = await session.chat(told.chat, { temperature: 0, repetitionPenalty: 1, maxTokens: told.maxTokens });
          session.dispose();
          return { text, cleared: Boolean(cleared) };
        },
        { source: folder.url, told: TOLD.chat },
      );
      assert.deepEqual(found, { text: TOLD.chat.text, cleared: true });
      for (let load = 1; load <= 2; load++) assertGolden(await driver.load(page, folder), 'chat');
      const last = await driver.load(page, folder);
      assert.deepEqual([last.info.cache, last.bytes], ['reused', 0]);
      await end();
      return 'text';
    },
  },
];
