// The builds of the engine and their threads, in pages that are cross-origin isolated, that are not, and
// that a service worker isolates.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { golden, inEachBrowser, serveSite, serveTests } from './harness.js';

const [{ prompt, greedy }] = golden().find(({ model }) => model === 'story').cases;
const TOLD = { prompt, options: { temperature: 0, repetitionPenalty: 1, maxTokens: greedy.tokens.length } };

let isolated;
let plain;
let crippled;
before(async () => {
  // The library with threads that cannot start.
  crippled = mkdtempSync(join(tmpdir(), 'fireside-threads-'));
  cpSync(join(ROOT, 'www', 'lib'), join(crippled, 'lib'), { recursive: true });
  const worker = join(crippled, 'lib', 'worker.js');
  writeFileSync(worker, readFileSync(worker, 'utf8').replace('\nif (', "\nif (self.name === 'fireside-thread') throw new Error('it cannot start');\nif ("));
  isolated = await serveTests({ mounts: { '/crippled/': crippled } });
  plain = await serveTests({ isolation: false });
});
after(async () => {
  await Promise.all([isolated.close(), plain.close()]);
  rmSync(crippled, { recursive: true });
});

/** Runs in the page: loads the story model for each of `all` and resolves with each text and build. */
async function tell({ Session }, { all, url = '/models/story/', prompt, options }) {
  const told = [];
  for (const how of all) {
    const session = await Session.load(url, how);
    const { build, threads, threadsReason, kernels } = session.info();
    const { text } = await session.generate(prompt, options);
    session.dispose();
    told.push({ build, threads, threadsReason, kernels, text });
  }
  return told;
}

inEachBrowser('threads', (browser) => {
  /** Runs `body(fireside, args)` in a new page of a server and resolves with its result. */
  async function inPage(server, body, args, options) {
    const { page, until, close } = await browser.open(`${server.url}tests/blank.html`, options);
    await until(() => Boolean(window.fireside));
    const result = await page.evaluate(`(${body})(window.fireside, ${JSON.stringify(args ?? null)})`);
    await close();
    return result;
  }

  /** The kernels of the fastest build that the browser can run: Firefox has relaxed SIMD only since 145. */
  const fastest = () => inPage(plain, async () => {
    const { RELAXED } = await import('/lib/client/builds.js');
    return WebAssembly.validate(RELAXED) ? 'relaxed' : 'simd128';
  });

  test('every build, with one thread and with several, writes the golden text', async () => {
    const all = [{ threads: 1 }, { threads: 2 }, { threads: 3 }, { threads: 1, deterministic: true }, { threads: 2, deterministic: true }];
    const [fast, told] = [await fastest(), await inPage(isolated, tell, { all, ...TOLD })];
    assert.deepEqual(
      told.map(({ build, threads, threadsReason }) => [build, threads, threadsReason]),
      [[fast, 1], [`${fast}-threads`, 2], [`${fast}-threads`, 3], ['simd128', 1], ['simd128-threads', 2]].map((row) => [...row, undefined]),
    );
    for (const { build, text } of told) assert.equal(text, greedy.text, build);
  });

  test('by default the fastest build and number of threads are used and reported', async () => {
    const [{ build, threads, threadsReason, text }] = await inPage(isolated, tell, { all: [{}], ...TOLD });
    assert.equal(text, greedy.text);
    assert.match(build, /-threads$/);
    if (threads === 1) assert.equal(threadsReason, 'not-faster');
    else assert.equal(threadsReason, undefined);
  });

  test('a page that is not isolated gets one thread, the reason, and the same text', async () => {
    const all = [{}, { threads: 4 }, { threads: 1 }];
    const [fast, told] = [await fastest(), await inPage(plain, tell, { all, ...TOLD })];
    assert.deepEqual(
      told.map(({ build, threads, threadsReason }) => [build, threads, threadsReason]),
      [[fast, 1, 'not-isolated'], [fast, 1, 'not-isolated'], [fast, 1, undefined]],
    );
    for (const { text } of told) assert.equal(text, greedy.text);
  });

  test('threads that cannot start are skipped without waiting', async () => {
    const [{ build, threads, threadsReason, text }] = await inPage(
      isolated,
      `async (_, args) => (${tell})(await import('/crippled/lib/index.js'), args)`,
      { all: [{ threads: 3 }], ...TOLD },
      { expected: /thread\.js/ },
    );
    assert.deepEqual({ build, threads, threadsReason, text }, { build: `${await fastest()}-threads`, threads: 1, threadsReason: 'not-started', text: greedy.text });
  });

  test('a wrong number of threads is an error that says which are right', async () => {
    const messages = await inPage(isolated, async ({ Session }) => {
      const message = (options) => Session.load('/models/story/', options).then(() => 'none', (error) => `${error.code}: ${error.message}`);
      return [await message({ threads: 0 }), await message({ threads: 'many' }), await message({ deterministic: 1 })];
    });
    assert.deepEqual(messages, [
      'BAD_OPTION: option `threads`: expected "auto" or a whole number from 1 to 32, got 0.',
      'BAD_OPTION: option `threads`: expected "auto" or a whole number from 1 to 32, got "many".',
      'BAD_OPTION: option `deterministic`: expected true or false, got 1.',
    ]);
  });

  test('an abort or dispose during a threaded run ends it, and the next model works', async () => {
    const result = await inPage(
      isolated,
      async ({ Session }, { prompt, options }) => {
        const session = await Session.load('/models/story/', { threads: 2 });
        const controller = new AbortController();
        const first = session.generate(prompt, { ...options, signal: controller.signal });
        const aborted = (async () => {
          for await (const _ of first) controller.abort();
        })().catch((error) => error.name);
        const after = aborted.then(() => session.generate(prompt, options));
        const { text } = await after;
        const second = session.generate(prompt, { temperature: 9, maxTokens: 400 });
        const disposed = (async () => {
          for await (const _ of second) session.dispose();
        })().catch((error) => error.code);
        const names = [await aborted, await disposed];
        const next = await Session.load('/models/story/', { threads: 2 });
        const again = await next.generate(prompt, options);
        next.dispose();
        return { names, texts: [text, again.text] };
      },
      TOLD,
    );
    assert.deepEqual(result, { names: ['AbortError', 'DISPOSED'], texts: [greedy.text, greedy.text] });
  });

  test('a service worker isolates the page of a host that sends no headers, with one reload', async (context) => {
    const site = await serveSite();
    context.after(() => site.close());
    const { page, until, close } = await browser.open(`${site.url}some/where/`);
    await until(() => crossOriginIsolated && document.getElementById('model-facts').textContent !== '');
    const visits = () => site.requests.filter((url) => url === '/some/where/').length;
    assert.equal(visits(), 2);
    await until(() => /thread/.test(document.getElementById('story-figures').textContent));
    assert.doesNotMatch(await page.evaluate(() => document.getElementById('story-figures').textContent), /not cross-origin isolated/);
    const args = { all: [{ threads: 2 }], url: 'models/story/', ...TOLD };
    const told = await page.evaluate(`(async () => (${tell})(await import('./lib/index.js'), ${JSON.stringify(args)}))()`);
    assert.deepEqual(told.map(({ threads, text }) => ({ threads, text })), [{ threads: 2, text: greedy.text }]);
    // A range of bytes arrives as requested.
    const range = await page.evaluate(async () => {
      const response = await fetch('models/story/model.safetensors', { headers: { Range: 'bytes=2-5' } });
      return [response.status, (await response.arrayBuffer()).byteLength];
    });
    assert.deepEqual(range, [206, 4]);
    await page.goto(page.url());
    await until(() => crossOriginIsolated);
    assert.equal(visits(), 3);
    await close();
  });

  test('without the service worker\'s script the page still works, with one thread and without a reload', async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'fireside-site-'));
    cpSync(join(ROOT, 'dist', 'site'), folder, { recursive: true });
    rmSync(join(folder, 'isolation-worker.js'));
    const site = await serveSite(folder);
    context.after(() => Promise.all([site.close(), rmSync(folder, { recursive: true })]));
    const { page, until, close } = await browser.open(`${site.url}some/where/`, { expected: /404|isolation-worker/ });
    await until(() => /not cross-origin isolated/.test(document.getElementById('story-figures').textContent));
    assert.equal(await page.evaluate(() => crossOriginIsolated), false);
    assert.equal(site.requests.filter((url) => url === '/some/where/').length, 1);
    await close();
  });

  test('a host that sends the headers gets no service worker', async () => {
    const { page, until, close } = await browser.open(isolated.url);
    await until(() => /thread/.test(document.getElementById('story-figures').textContent));
    assert.deepEqual(await page.evaluate(async () => [crossOriginIsolated, (await navigator.serviceWorker.getRegistrations()).length]), [true, 0]);
    await close();
  });
});
