// A chat or a story continues with its own model after a reload, or the page asks. Another model never
// answers by itself.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { inEachBrowser, serveTests } from './harness.js';
import { GREEDY, visitor, withDatabase } from './visitor.js';

const CHAT = join(ROOT, 'models', 'chat');
const FILES = readdirSync(CHAT).filter((name) => /\.(json|safetensors)$/.test(name)).map((name) => join(CHAT, name));

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('a model that comes back', (browser) => {
  const visit = async (path) => visitor(await browser.open(server.url + path, { setup: withDatabase }));

  const modelName = (it) => it.text('model-name');

  const named = (it, name) =>
    it.until((name) => document.getElementById('loading').hidden && document.getElementById('model-name').textContent === name, name);

  /** Loads the chat model again, by its address; to the page that is another model than the bundled one. */
  async function byAddress(it, name = 'chat') {
    await it.loaded();
    await it.click('pick');
    await it.type('address', `/models/${name}/`);
    await it.page.keyboard.press('Enter');
    await named(it, name);
  }

  async function byFiles(it) {
    await it.loaded();
    await (await it.page.$('#files')).uploadFile(...FILES);
    await named(it, 'From this computer');
  }

  /** A chat of one turn with a model that is not bundled. */
  async function introduced(choose) {
    const it = await visit('#chat');
    await choose(it);
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    await it.kept(1);
    return it;
  }

  const emptyCache = (it) => it.page.evaluate(async () => (await import('/lib/index.js')).cache.delete());

  const buttons = (it, id) => it.page.evaluate((id) => [...document.querySelectorAll(`#${id} button`)].map((node) => node.textContent), id);

  const press = (it, id, index) => it.page.evaluate((id, index) => document.querySelectorAll(`#${id} button`)[index].click(), id, index);

  /** The lines of the transcript where another model continues. */
  const changes = (it) => it.page.evaluate(() => [...document.querySelectorAll('.goes-on')].map((node) => node.textContent));

  test('a chat with a model from an address continues with it after a reload', async () => {
    const it = await introduced(byAddress);
    await it.page.reload();
    await named(it, 'chat');
    assert.equal(await it.visible('chat-return'), false);
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    assert.match(await it.text('transcript'), /prompt tokens reused/);
    assert.deepEqual(await changes(it), []);
    await it.close();
  });

  test('the page asks for a model that this browser no longer stores, and sends nothing until then', async () => {
    const it = await introduced(byAddress);
    await emptyCache(it);
    await it.page.reload();
    await it.shown('chat-return');
    assert.match(await it.text('chat-return'), /This was written with chat, which is not loaded\./);
    assert.deepEqual(await buttons(it, 'chat-return'), ['Load chat', 'Continue with The companion']);
    await it.loaded();
    await it.type('message', 'What is my name?');
    await it.page.keyboard.press('Enter');
    assert.equal((await it.turns()).length, 2);
    assert.equal(await it.page.evaluate(() => document.getElementById('message').value), 'What is my name?');
    assert.equal(await it.page.evaluate(() => document.activeElement.textContent), 'Load chat');
    assert.deepEqual(await it.faults(), []);
    await press(it, 'chat-return', 0);
    await named(it, 'chat');
    assert.equal(await it.visible('chat-return'), false);
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('another model continues if the visitor says so, and the transcript shows that', async () => {
    const it = await introduced(byAddress);
    await emptyCache(it);
    await it.page.reload();
    await it.shown('chat-return');
    await it.loaded();
    await press(it, 'chat-return', 1);
    await it.until(() => document.getElementById('chat-return').hidden);
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    assert.deepEqual(await changes(it), ['The companion continues from here.']);
    await it.click('open-chats');
    assert.match(await it.text('chat-list'), /The companion/);
    await it.click('chats-close');
    await it.kept(1);
    await it.page.reload();
    await it.loaded();
    assert.equal(await modelName(it), 'The companion');
    assert.equal(await it.visible('chat-return'), false);
    assert.deepEqual(await changes(it), ['The companion continues from here.']);
    await it.close();
  });

  test('after a reload the page asks again for the files of a model', async () => {
    const it = await introduced(byFiles);
    await it.page.reload();
    await it.shown('chat-return');
    assert.match(await it.text('chat-return'), /From this computer, a model from files on this computer/);
    await it.click('open-chats');
    assert.match(await it.text('chat-list'), /From this computer/);
    await it.click('chats-close');
    await byFiles(it);
    await it.until(() => document.getElementById('chat-return').hidden);
    assert.equal((await it.turns()).length, 2);
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    assert.deepEqual(await changes(it), []);
    await it.close();
  });

  test('opening a chat brings back its model, even one whose files were chosen on this visit', async () => {
    const it = await introduced(byFiles);
    await it.click('pick');
    await it.page.click('#choices li:first-child button');
    await named(it, 'The storyteller');
    assert.deepEqual(await it.turns(), []);
    await it.click('open-chats');
    await it.page.click('#chat-list .chat-open');
    await named(it, 'From this computer');
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('if the load is cancelled, the page asks', async () => {
    const it = await introduced(byAddress);
    // A small model loads within the time between two questions from here, so the page itself presses the
    // button.
    await it.page.evaluateOnNewDocument(() => {
      const changes = new MutationObserver(() => {
        const button = document.getElementById('cancel-load');
        if (!button?.checkVisibility() || document.getElementById('model-name').textContent !== 'chat') return;
        changes.disconnect();
        button.click();
      });
      changes.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    });
    await it.page.reload();
    await it.shown('chat-return');
    assert.deepEqual(await buttons(it, 'chat-return'), ['Load chat', 'Continue with The companion']);
    await it.close();
  });

  test('a story continues with its own model, or with the one that the visitor chooses', async () => {
    const it = await visit('#story');
    await byAddress(it, 'story');
    await it.set('story', { ...GREEDY, maxTokens: 20 });
    const before = await it.tell('Once upon a time');
    await it.kept(1);
    await it.page.reload();
    await named(it, 'story');
    assert.equal(await it.text('tale'), before);
    assert.equal(await it.visible('continue'), true);
    await emptyCache(it);
    await it.page.reload();
    await it.shown('story-return');
    await it.loaded();
    assert.equal(await it.visible('continue'), false);
    assert.deepEqual(await buttons(it, 'story-return'), ['Load story', 'Continue with The storyteller']);
    await press(it, 'story-return', 1);
    await it.set('story', { ...GREEDY, maxTokens: 20 });
    await it.click('continue');
    await it.shown('again');
    assert((await it.text('tale')).length > before.length);
    await it.close();
  });
});
