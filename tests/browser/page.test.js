// The page as a visitor uses it: a story, a chat, mistakes, languages, the keyboard, and a host without
// special headers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { golden, inEachBrowser, serveSite, serveTests } from './harness.js';
import { GREEDY, visitor } from './visitor.js';

const STORY = golden().find(({ model }) => model === 'story').cases[0];

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('page', (browser) => {
  const visit = async (path = '', options) => visitor(await browser.open(server.url + path, options));

  test('the page tells the golden story with the bundled model', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    assert.equal(await it.tell(STORY.prompt), STORY.prompt + STORY.greedy.text);
    assert(await it.visible('ornament'), 'the story has an end');
    assert.match(await it.text('story-figures'), /SIMD · \d threads? .*f16/);
    await it.close();
  });

  test('the page is isolated, so that threads are possible', async () => {
    const it = await visit();
    assert.equal(await it.page.evaluate(() => crossOriginIsolated), true);
    await it.loaded();
    await it.close();
  });

  test('a chat remembers its earlier turns', async () => {
    const it = await visit('#chat');
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    assert.match(await it.say('What is my name?'), /Ada/);
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#transcript li').length), 4);
    assert.match(await it.text('transcript'), /[1-9]\d* of \d+ prompt tokens reused/);
    await it.close();
  });

  test('Stop keeps the text, and Continue continues it', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 400 });
    await it.type('opening', 'Once upon a time');
    // The page presses its own button at the first word. A click from outside would come after the end of
    // such a short story.
    await it.page.evaluate(() => {
      const told = document.getElementById('told');
      new MutationObserver((_, observer) => {
        observer.disconnect();
        document.getElementById('story-stop').click();
      }).observe(told, { childList: true });
    });
    await it.click('tell');
    await it.shown('continue');
    const before = await it.text('tale');
    await it.click('continue');
    await it.shown('again');
    const after = await it.text('tale');
    assert.equal(after, STORY.prompt + STORY.greedy.text);
    assert(after.startsWith(before) && after.length > before.length, `stopped at ${JSON.stringify(before)}`);
    await it.close();
  });

  test('an engine that crashed comes back by itself, and the chat remembers', async () => {
    const setup = () => {
      window.workers = [];
      const { Worker } = window;
      window.Worker = function (...args) {
        const worker = new Worker(...args);
        window.workers.push(worker);
        return worker;
      };
    };
    const it = await visit('#chat', { setup });
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    await it.page.evaluate(() => window.workers.splice(0).forEach((worker) => worker.terminate()));
    await it.type('message', 'Are you there?');
    await it.click('send');
    await it.shown('banner');
    assert.match(await it.banner(), /^CRASHED: /);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('stored models are listed with their size and can be removed', async () => {
    const it = await visit();
    await it.loaded();
    await it.click('pick');
    await it.shown('kept');
    assert.match(await it.text('kept-list'), /[1-9][\d.]* MB/);
    await it.page.click('#kept-list button');
    await it.until(() => document.getElementById('kept').hidden);
    await it.click('picker-close');
    assert.equal(await it.tell(STORY.prompt).then((text) => text.startsWith(STORY.prompt)), true, 'a loaded model keeps working');
    await it.close();
  });

  test('a missing folder is reported in the banner, and the page keeps working', async () => {
    const it = await visit('', { expected: /404/ });
    await it.loaded();
    await it.click('pick');
    await it.type('address', '/models/nowhere/');
    await it.page.keyboard.press('Enter');
    await it.shown('banner');
    assert.match(await it.banner(), /^NETWORK: .*models\/nowhere/);
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    assert.equal(await it.tell(STORY.prompt), STORY.prompt + STORY.greedy.text);
    assert.equal(await it.banner(), '');
    await it.close();
  });

  test('a temperature of -1 is refused at its control, and the page keeps working', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 200, temperature: -1 });
    await it.type('opening', STORY.prompt);
    await it.click('tell');
    await it.shown('banner');
    assert.match(await it.banner(), /^BAD_OPTION: .*temperature/i);
    assert.equal(await it.page.evaluate(() => document.activeElement.id), 'story-controls-temperature');
    await it.type('story-controls-temperature', '0');
    assert.equal(await it.tell(STORY.prompt), STORY.prompt + STORY.greedy.text);
    await it.close();
  });

  test('every text changes with the language, and the choice is remembered', async () => {
    const it = await visit();
    await it.loaded();
    const texts = () => it.page.evaluate(() => [...document.querySelectorAll('[data-i18n]')].map((node) => node.textContent));
    const english = await texts();
    await it.click('language');
    const chinese = await texts();
    assert.equal(await it.page.evaluate(() => document.documentElement.lang), 'zh-CN');
    const same = english.filter((text, index) => text === chinese[index] && /[a-z]/i.test(text) && text !== 'Fireside');
    assert.deepEqual(same, []);
    await it.page.reload();
    assert.equal(await it.page.evaluate(() => document.documentElement.lang), 'zh-CN');
    await it.loaded();
    assert.deepEqual(await texts(), chinese);
    await it.close();
  });

  for (const hash of ['#story', '#chat']) {
    test(`Tab reaches every control of ${hash}`, async () => {
      const it = await visit(hash);
      await it.loaded();
      const all = await it.page.evaluate(() => {
        const controls = [...document.querySelectorAll('a[href], button, input, select, textarea, summary')];
        const reachable = controls.filter((node) => node.checkVisibility({ visibilityProperty: true }) && !node.disabled && node.tabIndex >= 0);
        for (const [index, node] of reachable.entries()) node.dataset.stop = String(index);
        document.activeElement.blur();
        return reachable.length;
      });
      const reached = new Set();
      for (let press = 0; press < all + 5; press += 1) {
        await it.page.keyboard.press('Tab');
        reached.add(await it.page.evaluate(() => document.activeElement?.dataset.stop));
      }
      const missed = await it.page.evaluate(
        (reached) => [...document.querySelectorAll('[data-stop]')].filter((node) => !reached.includes(node.dataset.stop)).map((node) => node.outerHTML),
        [...reached],
      );
      assert.deepEqual(missed, []);
      await it.close();
    });

    test(`axe finds no fault in ${hash}, in either language and theme`, async () => {
      const it = await visit(hash);
      await it.loaded();
      for (const press of [[], ['language'], ['theme'], ['language']]) {
        for (const id of press) await it.click(id);
        assert.deepEqual(await it.faults(), []);
      }
      await it.close();
    });
  }

  test('a story can be told with the keyboard alone', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    await it.page.focus('#opening');
    await it.page.keyboard.type(STORY.prompt);
    await it.page.keyboard.press('Enter');
    await it.shown('again');
    assert.equal(await it.text('tale'), STORY.prompt + STORY.greedy.text);
    await it.close();
  });

  test('the static site works in a sub-folder without special headers, and offline afterwards', async (context) => {
    const site = await serveSite();
    context.after(() => site.close());
    const it = visitor(await browser.open(`${site.url}some/where/`));
    assert.equal(await it.page.evaluate(() => crossOriginIsolated), false);
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    await it.click('to-chat');
    await it.set('chat', GREEDY);
    await site.close();
    await it.say('My name is Ada.');
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.click('to-story');
    assert.equal(await it.tell(STORY.prompt), STORY.prompt + STORY.greedy.text);
    await it.close();
  });
});
