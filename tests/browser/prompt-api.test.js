// The Prompt API in both browsers with the real engine: every row of its table; as a polyfill for a page
// that uses only the browser's API; and the example of its docs.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { examples } from '../docs.js';
import { TABLE } from '../prompt-api/table.js';
import { inEachBrowser, serveTests } from './harness.js';

const CHAT = join(ROOT, 'models', 'chat');
const TYPES = { html: 'text/html', js: 'text/javascript' };

/** Files that exist only for these tests, by path. */
const made = {
  '/example.html': '<!doctype html><link rel="icon" href="data:," /><script type="importmap">{"imports": {"fireside-lm/prompt-api": "/lib/integrations/prompt-api.js"}}</script><script type="module" src="/example.js"></script>',
  '/example.js': examples('docs/prompt-api.md')[0].code,
};

let server;
before(async () => {
  server = await serveTests({
    mounts: { '/prompt-api/': join(ROOT, 'tests', 'prompt-api'), '/fresh/': CHAT, '/chat/': CHAT },
    first(request, response) {
      const text = made[request.url];
      if (text === undefined) return false;
      response.writeHead(200, { 'Content-Type': TYPES[request.url.split('.').at(-1)] }).end(text);
      return true;
    },
  });
});
after(() => server?.close());

inEachBrowser('Prompt API', (browser) => {
  const open = (path, options) => browser.open(`${server.url}${path}`, options);

  describe('its table', () => {
    let opened;
    before(async () => {
      // Browsers report the URLs that the rows expect to be missing.
      opened = await open('tests/blank.html', { expected: /404 .*\/missing\// });
      await opened.page.evaluate(async () => {
        const { createLanguageModel } = await import('/lib/integrations/prompt-api.js');
        const { Model } = await import('/lib/index.js');
        const { TABLE } = await import('/prompt-api/table.js');
        const at = (name) => `/${name}/`;
        const make = (settings) => createLanguageModel({ source: at('chat'), ...settings });
        const LanguageModel = make();
        (await LanguageModel.create()).destroy();
        // The engine's own answer, from a new session.
        const model = await Model.load(at('chat'));
        const reference = async (messages) => {
          const session = model.session();
          const { text } = await session.chat(messages, { temperature: 0, maxTokens: session.contextWindow });
          session.dispose();
          return text;
        };
        window.row = (group, index) => TABLE[group].rows[index].test({ LanguageModel, make, at, reference });
      });
    });
    after(() => opened?.close());

    for (const [group, { title, rows }] of TABLE.entries()) {
      for (const [index, { behaviour, only }] of rows.entries()) {
        if (only !== 'fake') test(`${title}: ${behaviour}`, () => opened.page.evaluate((group, index) => window.row(group, index), group, index));
      }
    }
  });

  test('a page written for the browser\'s LanguageModel works with one added line', async () => {
    const { page, until, close } = await open('prompt-api/page.html', { setup: () => delete globalThis.LanguageModel });
    await until(() => document.querySelector('#state').textContent === 'ready');
    await page.evaluate(() => {
      document.querySelector('input').value = 'My name is Ada.';
      document.querySelector('form').requestSubmit();
    });
    await until(() => /Ada/.test(document.querySelector('#answer').textContent) && document.querySelector('#state').textContent === 'ready');
    const { share, used, own } = await page.evaluate(() => ({
      share: document.querySelector('progress').value,
      used: document.querySelector('#used').textContent,
      own: Object.getOwnPropertyDescriptor(globalThis, 'LanguageModel').enumerable,
    }));
    assert.equal(share, 1);
    assert.match(used, /^\d+ of 1024$/);
    assert.equal(own, false);
    await close();
  });

  test('install() does not replace an existing LanguageModel unless told to', async () => {
    const { page, close } = await open('tests/blank.html', { setup: () => Object.defineProperty(globalThis, 'LanguageModel', { value: class Own {}, configurable: true, writable: true }) });
    const names = await page.evaluate(async () => {
      const { install } = await import('/lib/integrations/prompt-api.js');
      const kept = install({ source: '/chat/' });
      const before = [kept.name, kept === globalThis.LanguageModel, 'prompt' in globalThis.LanguageModel.prototype];
      const replaced = install({ source: '/chat/', replace: true });
      return [...before, replaced === globalThis.LanguageModel, 'prompt' in globalThis.LanguageModel.prototype, typeof globalThis.QuotaExceededError];
    });
    assert.deepEqual(names, ['Own', true, false, true, true, 'function']);
    await close();
  });

  test('the example of docs/prompt-api.md runs', async () => {
    const { until, close } = await open('example.html');
    await until(() => /Ada/.test(document.body.innerText));
    await close();
  });
});
