// The histories of the chat view: an edited message, a regenerated answer, a branch; and what a reload
// restores.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { inEachBrowser, serveTests } from './harness.js';
import { GREEDY, visitor, withDatabase } from './visitor.js';

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('chats', (browser) => {
  const visit = async (path = '#chat') => visitor(await browser.open(server.url + path, { setup: withDatabase }));
  /** A chat of two turns, greedy. */
  const introduced = async () => {
    const it = await visit();
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    await it.say('What is my name?');
    return it;
  };
  const edit = async (it, index, text) => {
    await it.press('edit', index);
    await it.page.evaluate(() => document.querySelector('.editor textarea').select());
    await it.page.keyboard.type(text);
  };

  test('an edited message is answered again, and later messages are replaced', async () => {
    const it = await introduced();
    await edit(it, 0, 'My name is Tom.');
    await it.page.keyboard.press('Enter');
    await it.answered();
    const turns = await it.turns();
    assert.deepEqual(turns.map(([who]) => who), ['you', 'model']);
    assert.equal(turns[0][1], 'My name is Tom.');
    assert.match(await it.say('What is my name?'), /Tom/);
    await it.close();
  });

  test('Escape and Cancel leave a message unchanged', async () => {
    const it = await introduced();
    const before = await it.turns();
    await edit(it, 1, 'Never mind.');
    await it.page.keyboard.press('Escape');
    assert.deepEqual(await it.turns(), before);
    assert.equal(await it.page.evaluate(() => document.activeElement.classList.contains('tool')), true, 'the button has the focus again');
    await edit(it, 0, 'Never mind.');
    await it.page.click('.editor button[type="button"]');
    assert.deepEqual(await it.turns(), before);
    await it.close();
  });

  test('an edit that is stopped or refused leaves the conversation unchanged, says so, and keeps the typed text', async () => {
    const it = await introduced();
    const before = await it.turns();
    await edit(it, 0, 'My name is Tom.');
    await it.page.evaluate(() => {
      document.querySelector('.editor button[type="submit"]').click();
      document.getElementById('chat-stop').click();
    });
    await it.answered();
    assert.match(await it.text('transcript'), /Stopped\. The conversation is unchanged\./);
    assert.equal(await it.page.evaluate(() => document.querySelector('.editor textarea').value), 'My name is Tom.');
    await it.page.keyboard.press('Escape');
    assert.deepEqual(await it.turns(), before);

    await it.set('chat', { temperature: -1 });
    await edit(it, 0, 'My name is Tom.');
    await it.page.keyboard.press('Enter');
    await it.shown('banner');
    assert.match(await it.banner(), /^BAD_OPTION: /);
    assert.match(await it.text('transcript'), /That failed\. The conversation is unchanged\./);
    await it.page.focus('.editor textarea');
    await it.page.keyboard.press('Escape');
    assert.deepEqual(await it.turns(), before);
    await it.set('chat', { temperature: 0 });
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('the last answer can be regenerated; if that is stopped, the old answer returns', async () => {
    const it = await introduced();
    const before = await it.turns();
    assert.equal(await it.page.evaluate(() => [...document.querySelectorAll('.again')].filter((node) => node.checkVisibility()).length), 1);
    await it.press('again', -1);
    await it.answered();
    assert.deepEqual(await it.turns(), before, 'greedy, it is the same');
    assert.equal(await it.page.evaluate(() => document.activeElement.classList.contains('again')), true, 'the button has the focus again');
    await it.page.evaluate(() => {
      [...document.querySelectorAll('.again')].at(-1).click();
      document.getElementById('chat-stop').click();
    });
    await it.answered();
    assert.deepEqual(await it.turns(), before);
    assert.match(await it.text('transcript'), /The conversation is unchanged\./);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('a branch is independent of the original', async () => {
    const it = await introduced();
    await it.press('branch', 0);
    await it.until(() => document.querySelectorAll('#transcript .turn').length === 2);
    await it.say('Now my name is Tom.');
    assert.match(await it.say('What is my name?'), /Tom/);
    await it.click('open-chats');
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#chat-list li').length), 2);
    assert.match(await it.text('chat-list'), /A branch of “My name is Ada\.”/);
    await it.until(() => /model: 2, with [1-9][\d.]* .B of KV cache/.test(document.getElementById('chats-memory').textContent));
    await it.page.click('#chat-list li:last-child .chat-open');
    await it.until(() => document.querySelectorAll('#transcript .turn').length === 4);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('opening another chat stops the answer, and the question stays in its own chat', async () => {
    const it = await introduced();
    await it.press('branch', -1);
    await it.until(() => document.getElementById('chats-count').textContent === '2');
    await it.page.evaluate(() => {
      document.getElementById('message').value = 'Tell me more.';
      document.getElementById('composer').requestSubmit();
      document.querySelector('#chat-list li:last-child .chat-open').click();
    });
    await it.answered();
    await it.until(() => document.getElementById('message').value === '');
    assert.equal((await it.turns()).length, 4);
    await it.page.evaluate(() => document.querySelector('#chat-list li:first-child .chat-open').click());
    await it.until(() => document.getElementById('message').value === 'Tell me more.');
    assert.equal((await it.turns()).length, 4);
    await it.close();
  });

  test('a deleted chat is also deleted from the browser\'s storage', async () => {
    const it = await introduced();
    await it.kept(1);
    await it.click('open-chats');
    await it.page.click('#chat-list .icon');
    await it.shown('chats-none');
    await it.kept(0);
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#transcript .turn').length), 0);
    await it.close();
  });

  test('a chat comes back after a reload, with its cache', async () => {
    const it = await introduced();
    const before = await it.turns();
    await it.kept(1);
    await it.page.reload();
    await it.set('chat', GREEDY);
    assert.deepEqual(await it.turns(), before);
    assert.match(await it.say('What is my name?'), /Ada/);
    const [, cached, prompt] = /(\d+) of (\d+) prompt tokens reused/.exec(await it.page.evaluate(() => document.querySelector('#transcript li:last-child .meta').textContent));
    assert(prompt - cached < 20, `${cached} of ${prompt}: no more than the new message was read`);
    await it.close();
  });

  for (const [what, spoil] of [
    ['damaged', (state) => state.fill(7, state.length >> 1)],
    ['cut off', (state) => state.slice(0, 40)],
    ['not a state at all', () => new TextEncoder().encode('<!doctype html>')],
  ]) {
    test(`a saved session that is ${what} costs the chat only its cache`, async () => {
      const it = await introduced();
      await it.kept(1);
      const [key] = await it.page.evaluate(() => window.database('fireside-states', 'states', 'getAllKeys'));
      const state = await it.page.evaluate(async (key) => [...(await window.database('fireside-states', 'states', 'get', key))], key);
      const spoilt = [...spoil(Uint8Array.from(state))];
      await it.page.evaluate((key, bytes) => window.database('fireside-states', 'states', 'put', Uint8Array.from(bytes), key), key, spoilt);
      await it.page.reload();
      await it.set('chat', GREEDY);
      assert.match(await it.say('What is my name?'), /Ada/);
      assert.equal(await it.banner(), '');
      await it.close();
    });
  }

  test('a record that is not a chat is skipped', async () => {
    const it = await introduced();
    await it.kept(1);
    for (const record of [{ kind: 'chat', id: 'a' }, { id: 'story', text: 7 }, 'no record', null]) {
      await it.page.evaluate((record) => window.database('fireside-work', 'records', 'put', record, record?.id ?? String(record)), record);
    }
    await it.page.reload();
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('a chat belongs to its model, and opening it brings that model back', async () => {
    const it = await introduced();
    await it.kept(1);
    await it.click('pick');
    await it.page.click('#choices li:first-child button');
    await it.until(() => document.querySelectorAll('#transcript .turn').length === 0 && /storyteller/.test(document.getElementById('model-name').textContent));
    await it.loaded();
    await it.click('open-chats');
    assert.match(await it.text('chat-list'), /The companion/);
    await it.page.click('#chat-list .chat-open');
    await it.until(() => /companion/.test(document.getElementById('model-name').textContent));
    await it.set('chat', GREEDY);
    assert.match(await it.say('What is my name?'), /Ada/);
    assert.equal((await it.turns()).length, 6);
    assert.equal(await it.banner(), '');
    await it.close();
  });

  test('chats beyond the live ones are stored, and answer when they are opened', async () => {
    const it = await visit();
    await it.set('chat', GREEDY);
    const names = ['Ada', 'Tom', 'Lily', 'Max', 'Sam', 'Ben'];
    for (const name of names) {
      await it.say(`My name is ${name}.`);
      await it.click('new-chat');
      await it.until(() => document.querySelectorAll('#transcript .turn').length === 0);
    }
    await it.click('open-chats');
    const facts = await it.page.evaluate(() => [...document.querySelectorAll('#chat-list .chat-open')].map((node) => node.textContent));
    assert.equal(facts.length, names.length);
    assert(facts.filter((text) => /in memory/.test(text)).length <= 4, facts.join('\n'));
    assert.match(facts.at(-1), /My name is Ada.*stored/);
    await it.page.click('#chat-list li:last-child .chat-open');
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('if memory is short, the other chats are stored, and a second attempt works', async () => {
    const it = await visit();
    await it.loaded();
    await it.page.evaluate(async () => {
      const { Model } = await import('/lib/index.js');
      const { load } = Model;
      Model.load = (source, options) => load.call(Model, source, { ...options, kvBytesMax: 700_000 });
    });
    await it.click('pick');
    await it.type('address', '/models/chat/');
    await it.page.keyboard.press('Enter');
    await it.until(() => document.getElementById('loading').hidden && document.getElementById('model-name').textContent === 'chat');
    await it.set('chat', GREEDY);
    const failed = [];
    for (const name of ['Ada', 'Tom', 'Lily', 'Max']) {
      await it.say(`My name is ${name}. I like apples and pears and plums, and I like to read by the fire.`);
      const banner = await it.banner();
      if (banner) {
        failed.push(banner);
        await it.click('send');
        await it.answered();
        assert.equal(await it.banner(), '');
      }
      assert.equal((await it.turns()).length, 2);
      await it.click('new-chat');
      await it.until(() => document.querySelectorAll('#transcript .turn').length === 0);
    }
    assert(failed.length > 0 && failed.every((banner) => /^OUT_OF_MEMORY/.test(banner)), `${failed}`);
    await it.close();
  });

  test('a reloaded engine brings back every live chat with its conversation', async () => {
    const it = await introduced();
    await it.press('branch', 0);
    await it.until(() => document.querySelectorAll('#transcript .turn').length === 2);
    await it.say('Now my name is Tom.');
    await it.page.evaluate(async () => {
      const { Model } = await import('/lib/index.js');
      const { stats } = Model.prototype;
      // Finds the chats' model: the dialog asks it for its memory.
      Model.prototype.stats = function () {
        window.model = this;
        return stats.call(this);
      };
    });
    await it.click('open-chats');
    await it.until(() => window.model !== undefined);
    await it.page.evaluate(() => window.model.reload());
    await it.click('chats-close');
    assert.match(await it.say('What is my name?'), /Tom/);
    await it.click('open-chats');
    await it.page.click('#chat-list li:last-child .chat-open');
    await it.until(() => document.querySelectorAll('#transcript .turn').length === 4);
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.close();
  });

  test('the story comes back after a reload and can be continued', async () => {
    const it = await visit('#story');
    await it.set('story', { ...GREEDY, maxTokens: 20 });
    const before = await it.tell('Once upon a time');
    await it.kept(1);
    await it.page.reload();
    await it.set('story', { ...GREEDY, maxTokens: 20 });
    assert.equal(await it.text('tale'), before);
    await it.click('continue');
    await it.shown('again');
    const after = await it.text('tale');
    assert(after.startsWith(before) && after.length > before.length);
    await it.close();
  });

  test('Delete everything deletes everything, after a confirmation', async () => {
    const it = await introduced();
    await it.click('to-story');
    await it.set('story', { maxTokens: 10 });
    await it.tell('Once upon a time');
    await it.kept(2);
    await it.click('to-chat');
    await it.click('open-chats');
    await it.click('forget');
    await it.click('forget-not');
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#chat-list li').length), 1);
    await it.click('forget');
    await it.click('forget-yes');
    await it.shown('chats-none');
    await it.kept(0);
    assert.deepEqual(await it.page.evaluate(() => window.database('fireside-work', 'records', 'getAllKeys')), []);
    await it.page.reload();
    await it.loaded();
    assert.deepEqual(await it.turns(), []);
    await it.click('to-story');
    await it.shown('opening');
    assert.equal(await it.visible('telling'), false);
    await it.close();
  });

  test('a browser that stores nothing says so, and the page works', async () => {
    const it = visitor(await browser.open(`${server.url}#chat`, { setup: () => Object.defineProperty(window, 'indexedDB', { value: undefined }) }));
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    assert.match(await it.say('What is my name?'), /Ada/);
    await it.click('open-chats');
    assert.match(await it.text('chats-private'), /stores nothing here/);
    await it.close();
  });
});
