// Pages of other origins in real browsers, which check before they allow access. An allowed page uses the
// official client. Another page reads nothing and starts nothing.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { build } from 'esbuild';
import { ROOT } from '../../scripts/tools.mjs';
import { inEachBrowser, launch, serveTests } from '../browser/harness.js';
import { listen } from '../../www/lib/node/http.js';
import { createHandler } from './handler.js';
import { answerTo, fakeModel } from '../fake.js';

const HTML = '<!doctype html><link rel="icon" href="data:," /><script type="module">import OpenAI from "/openai.js"; window.OpenAI = OpenAI;</script>';

let site;
let model;
let server;
before(async () => {
  const client = { contents: "export { default } from 'openai';", resolveDir: ROOT };
  const { outputFiles } = await build({ stdin: client, bundle: true, write: false, format: 'esm', platform: 'browser', logLevel: 'error' });
  const files = { '/page.html': ['text/html', HTML], '/openai.js': ['text/javascript', outputFiles[0].text] };
  const first = (request, response) => {
    const [type, text] = files[request.url] ?? [];
    if (type) response.writeHead(200, { 'Content-Type': type }).end(text);
    return type !== undefined;
  };
  site = await serveTests({ first, isolation: false });
  model = fakeModel();
  server = await listen(createHandler({ models: { story: model.model } }), { host: '127.0.0.1', port: 0, allowOrigins: [new URL(site.url).origin] });
});
after(async () => {
  await server.close();
  await site.close();
});

inEachBrowser('origin', (browser) => {
  /** Opens a page of an origin, which may or may not use our server. @param {string} url */
  async function open(url) {
    const opened = await browser.open(url, { expected: /request: |CORS|ERR_FAILED|403|400|nosniff|Cross-Origin Request Blocked/ }); // what browsers write about requests that they forbid
    await opened.until(() => Boolean(window.OpenAI));
    return opened;
  }

  test('a page of an allowed origin uses the official client, and can read errors too', async () => {
    const { page, close } = await open(`${site.url}page.html`);
    const told = await page.evaluate(async (baseURL) => {
      const client = new window.OpenAI({ baseURL, apiKey: 'none', dangerouslyAllowBrowser: true, maxRetries: 0 });
      const asked = { model: 'story', prompt: 'The fox ', max_tokens: 5, seed: 3 };
      let streamed = '';
      for await (const { choices } of await client.completions.create({ ...asked, stream: true })) streamed += choices[0].text;
      const { choices } = await client.completions.create(asked);
      const error = await client.completions.create({ ...asked, n: 99 }).catch(({ status, param }) => [status, param]);
      return [streamed, choices[0].text, error];
    }, `${server.url}/v1`);
    const text = answerTo('The fox ', 3, 5);
    assert.deepEqual(told, [text, text, [400, 'n']]);
    await close();
  });

  test('a page of another origin reads nothing and starts nothing, whatever it tries', async () => {
    // The same site under another name is another origin.
    const { page, close } = await open(`${site.url.replace('localhost', '127.0.0.1')}page.html`);
    const before = model.state.log.length;
    const results = await page.evaluate(async (base) => {
      const body = JSON.stringify({ model: 'story', prompt: 'The fox ', max_tokens: 5 });
      const outcome = (promise) => promise.then(({ type, status }) => `${type} ${status}`, ({ name }) => name);
      const form = () => {
        // A form can send text that looks like JSON.
        const frame = Object.assign(document.createElement('iframe'), { name: 'answer' });
        const form = Object.assign(document.createElement('form'), { action: `${base}/v1/completions`, method: 'POST', enctype: 'text/plain', target: 'answer' });
        form.append(Object.assign(document.createElement('input'), { name: body.slice(0, -1), value: '"}' }));
        document.body.append(frame, form);
        return new Promise((resolve) => {
          frame.addEventListener('load', () => resolve('loaded'));
          form.submit();
        });
      };
      const script = () => new Promise((resolve) => {
        const element = Object.assign(document.createElement('script'), { src: `${base}/v1/models` });
        for (const type of ['load', 'error']) element.addEventListener(type, () => resolve(type));
        document.body.append(element);
      });
      return [
        await outcome(fetch(`${base}/v1/models`)),
        await outcome(fetch(`${base}/v1/completions`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } })),
        await outcome(fetch(`${base}/v1/completions`, { method: 'POST', body, headers: { 'Content-Type': 'text/plain' } })),
        await outcome(fetch(`${base}/v1/completions`, { method: 'POST', body, mode: 'no-cors' })),
        await form(),
        await script(),
      ];
    }, server.url);
    assert.deepEqual(results, ['TypeError', 'TypeError', 'TypeError', 'opaque 0', 'loaded', 'error']);
    assert.equal(model.state.log.length, before, 'the engine got no request');
    await close();
  });
});

test('a page whose name was made to point to the server gets nothing', async () => {
  const rebound = await launch('chrome', { args: [...(process.getuid?.() === 0 ? ['--no-sandbox', '--disable-dev-shm-usage'] : []), '--host-resolver-rules=MAP evil.example 127.0.0.1'] });
  try {
    const page = await rebound.newPage();
    const response = await page.goto(`http://evil.example:${server.port}/v1/models`);
    assert.equal(response.status(), 403);
    assert.equal((await response.json()).error.code, 'host_not_allowed');
    // To a browser, a page with that name would have the same origin as the server.
    const status = await page.evaluate(async () => (await fetch('/v1/models')).status);
    assert.equal(status, 403);
  } finally {
    await rebound.close();
  }
});
