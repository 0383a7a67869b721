// A page's `fetch('/v1/...')`, answered inside the browser: by plain fetch and by the official client,
// after stops of the service worker, and without any page that has a model.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { bundle } from '../../scripts/bundle.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { inEachBrowser, serveTests } from '../browser/harness.js';

/**
 * The files of a site besides the library: the service worker in its root, and the official client as a
 * bundler builds it.
 */
const files = new Map();
/** A site that sends no isolation headers. */
let server;
before(async () => {
  await bundle();
  files.set('/service-worker.js', await readFile(join(ROOT, 'www', 'lib', 'bundled', 'service-worker.js'), 'utf8'));
  files.set('/both.js', "importScripts('lib/isolation-worker.js', 'lib/bundled/service-worker.js');");
  const client = { contents: "export { default } from 'openai';", resolveDir: ROOT };
  const { outputFiles } = await build({ stdin: client, bundle: true, write: false, format: 'esm', platform: 'browser', logLevel: 'error' });
  files.set('/openai.js', outputFiles[0].text);
  const first = (request, response) => {
    const file = files.get(request.url);
    if (file) response.writeHead(200, { 'Content-Type': 'text/javascript', 'Cache-Control': 'no-store' }).end(file);
    return file !== undefined;
  };
  server = await serveTests({ isolation: false, first });
});
after(() => server.close());

inEachBrowser('service worker', (browser) => {
  /** A page with the library. */
  async function open(options) {
    const opened = await browser.open(`${server.url}tests/blank.html`, options);
    await opened.until(() => Boolean(window.fireside));
    return opened;
  }

  /** Runs in a page: loads a model and answers requests with it. */
  const answering = async (page, { id = 'chat', worker = '/service-worker.js', ...limits } = {}) =>
    page.evaluate(
      async ({ id, worker, limits }) => {
        const { answerRequests } = await import('/lib/integrations/service-worker.js');
        window.model = await window.fireside.Model.load(`/models/${id}/`, { threads: 1, deterministic: true });
        window.answers = await answerRequests({ models: { [id]: window.model }, worker, ...limits });
      },
      { id, worker, limits },
    );

  const status = (page, path = '/v1/models') => page.evaluate(async (path) => (await fetch(path)).status, path);

  /**
   * Reloads the engine. Returns the statuses of a short chat during the reload and afterwards, and with
   * `isBefore` also before it.
   */
  const aroundReload = (page, isBefore = false) =>
    page.evaluate(async (isBefore) => {
      const ask = async () => {
        const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 });
        return (await fetch('/v1/chat/completions', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })).status;
      };
      const statuses = isBefore ? [await ask()] : [];
      const reloading = window.model.reload(); // ends the engine at once
      statuses.push(await ask());
      await reloading;
      return [...statuses, await ask()];
    }, isBefore);

  test('a page calls its own model with fetch, and with the official client given only a base URL', async () => {
    const { page, close } = await open({ expected: /404/ });
    await answering(page);
    const told = await page.evaluate(async () => {
      const { default: OpenAI } = await import('/openai.js');
      const models = await (await fetch('/v1/models')).json();
      const client = new OpenAI({ baseURL: new URL('/v1', location.href).href, apiKey: 'none', dangerouslyAllowBrowser: true });
      const asked = { model: 'chat', messages: [{ role: 'user', content: 'My name is Ada.' }], temperature: 0, max_tokens: 24 };
      const whole = await client.chat.completions.create(asked);
      let streamed = '';
      for await (const { choices } of await client.chat.completions.create({ ...asked, stream: true })) streamed += choices[0]?.delta.content ?? '';
      const alone = window.model.session();
      const { text } = await alone.chat(asked.messages, { temperature: 0, maxTokens: 24 });
      const again = await client.chat.completions.create({ ...asked, messages: [...asked.messages, whole.choices[0].message, { role: 'user', content: 'What is my name?' }] });
      const error = await client.chat.completions.create({ ...asked, model: 'none' }).catch((error) => error);
      return { models: models.data.map(({ id }) => id), whole, streamed, text, again, error: [error.status, error.code, error.constructor.name] };
    });
    assert.deepEqual(told.models, ['chat']);
    assert.equal(told.whole.choices[0].message.content, told.text);
    assert.equal(told.streamed, told.text);
    assert.match(told.again.choices[0].message.content, /Ada/);
    assert(told.again.usage.prompt_tokens_details.cached_tokens > 10, JSON.stringify(told.again.usage));
    assert.deepEqual(told.error, [404, 'model_not_found', 'NotFoundError']);
    await close();
  });

  test('other requests go to the network, and a page of the same site without a model uses another page\'s', async () => {
    const { page, close } = await open({ expected: /404/ });
    await answering(page, { id: 'story' });
    assert.equal(await page.evaluate(async () => (await (await fetch('/tests/blank.html')).text()).includes('fireside-lm')), true);
    assert.equal(await status(page, '/v2/models'), 404);
    const other = await page.browserContext().newPage();
    await other.goto(`${server.url}tests/blank.html`);
    const text = await other.evaluate(async () => {
      const body = JSON.stringify({ model: 'story', prompt: 'Once upon a time', max_tokens: 8, temperature: 0 });
      return (await (await fetch('/v1/completions', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })).json()).choices[0].text;
    });
    assert(text.length > 10, text);
    await close();
  });

  test('a service worker that was stopped asks its page again', async () => {
    if (browser.name !== 'chrome') return; // only Chromium lets a test stop one
    const { page, close } = await open();
    await answering(page);
    assert.equal(await status(page), 200);
    for (let i = 0; i < 3; i++) {
      await stopWorkers(page);
      assert.equal(await status(page), 200);
    }
    const { sessions } = await page.evaluate(async () => {
      const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'Hello' }], max_tokens: 4 });
      for (let i = 0; i < 2; i++) await (await fetch('/v1/chat/completions', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })).text();
      return window.model.stats();
    });
    assert(sessions <= 2, `${sessions} sessions`);
    await close();
  });

  test('without a page that has a model the answer is 503 in OpenAI\'s format, and 200 as soon as there is one', async () => {
    const { page, close } = await open({ expected: /503/ });
    await answering(page);
    await page.evaluate(() => window.answers.stop());
    const refused = await page.evaluate(async () => {
      const response = await fetch('/v1/models');
      return [response.status, (await response.json()).error];
    });
    assert.deepEqual([refused[0], refused[1].code, refused[1].type, refused[1].param], [503, 'no_model_loaded', 'server_error', null]);
    await answering(page, { id: 'story' });
    assert.equal(await status(page), 200);
    await close();
  });

  test('a page that calls answerRequests twice offers the models of both, and each stop withdraws its own', async () => {
    const { page, close } = await open({ expected: /503/ });
    const told = await page.evaluate(async () => {
      const { answerRequests } = await import('/lib/integrations/service-worker.js');
      const ids = async () => (await (await fetch('/v1/models')).json()).data?.map(({ id }) => id);
      const [one, two] = await Promise.all([1, 2].map(() => window.fireside.Model.load('/models/story/', { threads: 1, deterministic: true })));
      const worker = '/service-worker.js';
      const told = [];
      const first = await answerRequests({ models: { one }, worker });
      told.push(await ids());
      const second = await answerRequests({ models: { two }, worker });
      told.push(await ids());
      for (const { stop } of [first, second]) {
        stop();
        // The service worker hears of it later.
        const before = String(told.at(-1));
        while (String(await ids()) === before) await new Promise((resolve) => setTimeout(resolve, 20));
        told.push(await ids());
      }
      return told;
    });
    assert.deepEqual(told.map((ids) => ids ?? null), [['one'], ['one', 'two'], ['two'], null]);
    await close();
  });

  test('the models of a closed page are withdrawn', async () => {
    const { page, close } = await open({ expected: /503/ });
    const other = await page.browserContext().newPage();
    await other.goto(`${server.url}tests/blank.html`);
    await other.waitForFunction('Boolean(window.fireside)', { polling: 50 }).catch(() => {});
    await answering(other, { id: 'story' });
    await page.reload();
    assert.equal(await status(page), 200);
    await other.close();
    assert.equal(await status(page), 503);
    await close();
  });

  test('a crashed engine gives 503, and answers again after it was reloaded and offered', async () => {
    const { page, close } = await open({ expected: /503/ });
    await answering(page);
    assert.equal(await status(page), 200);
    assert.equal((await aroundReload(page, true)).join(), '200,503,200');
    await close();
  });

  test('an engine that crashed after the service worker was stopped answers again after a reload', async () => {
    if (browser.name !== 'chrome') return; // only Chromium lets a test stop one
    const { page, close } = await open({ expected: /503/ });
    await answering(page);
    await stopWorkers(page);
    assert.equal(await status(page), 200);
    assert.equal((await aroundReload(page)).join(), '503,200');
    await close();
  });

  test('a client that aborts frees its turn, before and during the answer', async () => {
    const { page, close } = await open({ expected: /ServiceWorker intercepted the request/ }); // what Firefox writes about an abort
    await answering(page);
    const times = await page.evaluate(async () => {
      const send = (asked, signal) => fetch('/v1/chat/completions', { method: 'POST', body: JSON.stringify({ model: 'chat', ...asked }), headers: { 'Content-Type': 'application/json' }, signal });
      const long = { messages: [{ role: 'user', content: 'Hello' }], max_tokens: 1000, min_tokens: 1000, temperature: 2 };
      const short = { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 1 };
      // The minimum of three, because other programs on this machine can only add time.
      const least = { stream: Infinity, whole: Infinity };
      for (const stream of [true, false, true, false, true, false]) {
        const controller = new AbortController();
        const gone = send({ ...long, stream }, controller.signal);
        gone.catch(() => {});
        if (stream) await (await gone).body.getReader().read();
        else await new Promise((resolve) => setTimeout(resolve, 50));
        controller.abort();
        const begin = performance.now();
        await (await send(short)).text();
        const form = stream ? 'stream' : 'whole';
        least[form] = Math.min(least[form], performance.now() - begin);
      }
      return least;
    });
    assert(Object.values(times).every((ms) => ms < 400), JSON.stringify(times)); // a turn that is free within 250 ms, and a short answer
    await close();
  });

  test('it works together with the service worker that isolates a page', async () => {
    const { page, until, close } = await open();
    await page.evaluate(async () => {
      const { isolate } = await import('/lib/isolation.js');
      isolate({ worker: '/both.js' });
    });
    await until(() => window.crossOriginIsolated && Boolean(window.fireside));
    await answering(page, { id: 'story', worker: '/both.js' });
    assert.equal(await status(page), 200);
    assert.equal(await page.evaluate(() => window.crossOriginIsolated), true);
    await close();
  });

  test('a missing script is an error that says so', async () => {
    const { page, close } = await open({ expected: /404|nowhere/ });
    const error = await page.evaluate(async () => {
      const { answerRequests } = await import('/lib/integrations/service-worker.js');
      const model = await window.fireside.Model.load('/models/story/', { threads: 1, deterministic: true });
      return answerRequests({ models: model, worker: '/nowhere.js' }).then(() => 'none', ({ code, message }) => `${code} ${message}`);
    });
    assert.match(error, /^UNSUPPORTED_ENVIRONMENT .*nowhere\.js/);
    await close();
  });

  test('wrong options are errors in the page', async () => {
    const { page, close } = await open();
    const codes = await page.evaluate(async () => {
      const { answerRequests } = await import('/lib/integrations/service-worker.js');
      const model = await window.fireside.Model.load('/models/story/', { threads: 1, deterministic: true });
      const code = (options) => answerRequests({ models: model, worker: '/service-worker.js', ...options }).then(() => 'none', ({ code, details }) => `${code} ${details.option}`);
      return [await code({ models: {} }), await code({ models: { story: {} } }), await code({ queueMax: -1 }), await code({ wrong: 1 })];
    });
    assert.deepEqual(codes, ['BAD_OPTION models', 'BAD_OPTION models', 'BAD_OPTION queueMax', 'BAD_OPTION wrong']);
    await close();
  });

  /** Stops every service worker, as the browser may do at any time. */
  async function stopWorkers(page) {
    const session = await page.createCDPSession();
    await session.send('ServiceWorker.enable');
    await session.send('ServiceWorker.stopAllWorkers');
    await session.detach();
  }
});
