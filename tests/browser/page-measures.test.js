// How the page shows the model's work: the probabilities of tokens, the context meter, what the full window
// has dropped, the chart of speed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { golden, inEachBrowser, serveTests } from './harness.js';
import { GREEDY, visitor, withDatabase } from './visitor.js';

const STORY = golden().find(({ model }) => model === 'story').cases[0];

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('measures', (browser) => {
  const visit = async (path = '') => visitor(await browser.open(server.url + path, { setup: withDatabase }));
  /** A story with its tokens shown. */
  const told = async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    await it.tell(STORY.prompt);
    await it.page.click('#view-story .show-tokens');
    return it;
  };
  const card = (it) => it.page.evaluate(() => {
    const node = document.getElementById('token-card');
    if (node.hidden) return undefined;
    const { left, right, top, bottom } = node.getBoundingClientRect();
    const rows = [...node.querySelectorAll('.likely li')];
    return {
      token: node.querySelector('strong').textContent,
      rows: rows.map((row) => row.querySelector('.name').textContent),
      drawn: rows.findIndex((row) => row.className === 'drawn'),
      inside: left >= 0 && top >= 0 && right <= innerWidth && bottom <= innerHeight,
    };
  });

  /** Moves the mouse to the larger part of a token, because a line may break within its space. */
  const point = async (it, token) => {
    const { x, y } = await token.evaluate((node) => {
      node.scrollIntoView({ block: 'center' }); // the length of a page depends on the fonts of the machine
      const [{ left, top, width, height }] = [...node.getClientRects()].sort((a, b) => b.width - a.width);
      return { x: left + width / 2, y: top + height / 2 };
    });
    await it.page.mouse.move(x, y);
  };

  /**
   * Sets the size of the page. Firefox 140 does so too, but does not know the orientation of the screen, which
   * puppeteer sets together with the size.
   */
  const resize = async (it, width, height) => {
    await it.page.setViewport({ width, height }).catch((error) => {
      if (!/setScreenOrientationOverride.*unknown command/.test(error.message)) throw error;
    });
    await it.until((width) => innerWidth === width, width);
  };

  test('every token of a story is an element, and together they are the text', async () => {
    const it = await told();
    assert.equal(await it.text('tale'), STORY.prompt + STORY.greedy.text);
    const tokens = await it.page.evaluate(() => [...document.querySelectorAll('#told .token')].map((node) => node.textContent));
    assert.equal(tokens.join(''), STORY.greedy.text);
    assert(tokens.length > 50, `${tokens.length} tokens`);
    assert.match(await it.text('story-figures'), new RegExp(`Tokens${tokens.length}`));
    await it.close();
  });

  test('a token shows its probability and its alternatives by mouse, by keyboard and by touch', async () => {
    const it = await told();
    const tokens = await it.page.$$('#told .token');
    assert.equal(await card(it), undefined);
    await point(it, tokens[5]);
    await it.until(() => !document.getElementById('token-card').hidden);
    const hovered = await card(it);
    assert.equal(hovered.token.replaceAll('␣', ' '), await tokens[5].evaluate((node) => node.textContent));
    assert.equal(hovered.rows.length, 5);
    assert.equal(hovered.drawn, 0, 'greedy: the likeliest was drawn');
    assert(hovered.inside);
    await it.page.mouse.move(1, 1);
    await it.until(() => document.getElementById('token-card').hidden);

    await it.page.focus('#told [tabindex="0"]');
    assert.deepEqual(await card(it), hovered, 'the Tab key returns to the same token');
    await it.page.keyboard.press('ArrowRight');
    assert.notDeepEqual(await card(it), hovered);
    await it.page.keyboard.press('ArrowLeft');
    assert.deepEqual(await card(it), hovered);
    const described = await it.page.evaluate(() => document.getElementById(document.activeElement.getAttribute('aria-describedby')).textContent);
    assert.match(described, /\d% likely/);
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#told [tabindex="0"]').length), 1, 'one stop of the Tab key');
    await it.page.keyboard.press('Escape');
    assert.equal(await card(it), undefined);

    await resize(it, 390, 700);
    const last = tokens.at(-1);
    await last.evaluate((node) => {
      node.scrollIntoView({ block: 'center' });
      node.click();
    });
    await it.until(() => !document.getElementById('token-card').hidden);
    assert((await card(it)).inside);
    await it.page.evaluate(() => document.body.click());
    assert.equal(await card(it), undefined);
    await it.close();
  });

  test('shown tokens stay shown, also in a chat of an earlier visit', async () => {
    const it = await visit('#chat');
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    await it.page.click('#view-chat .show-tokens');
    const before = await it.page.evaluate(() => document.querySelectorAll('#transcript .token').length);
    assert(before > 3);
    await it.kept(1);
    await it.page.reload();
    await it.loaded();
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('#transcript .token').length), before);
    assert.equal(await it.page.evaluate(() => document.querySelector('#view-chat .show-tokens').getAttribute('aria-pressed')), 'true');
    await it.page.focus('#transcript .token');
    assert((await card(it)).rows.length > 0);
    await it.close();
  });

  test('tokens that share a character are one element, and markup is text', async () => {
    const it = await visit();
    await it.loaded();
    const shown = await it.page.evaluate(async () => {
      const { TokenText } = await import('/page/tokens.js');
      const node = document.createElement('p');
      const text = new TokenText(node, { trim: true });
      const token = (bytes, logprob = -1) => ({ id: bytes[0] ?? 0, text: '\ufffd', bytes, logprob, top: [{ id: 0xf0, text: '\ufffd', bytes: [0xf0, 0x9f], logprob }] });
      const utf8 = (string) => [...new TextEncoder().encode(string)];
      text.push(' Hi', [token(utf8(' Hi'))]);
      text.push('', [token([0xf0, 0x9f]), token([0x94])]);
      text.push('🔥<b>', [token([0xa5]), token(utf8('<b>')), token(utf8('</s>'))]);
      text.push('&amp; rest');
      text.end();
      return { parts: text.parts, html: node.innerHTML, children: [...node.children].map((child) => child.textContent) };
    });
    assert.deepEqual(shown.children, ['Hi', '🔥', '<b>']);
    assert.deepEqual(shown.parts.map((part) => part.text ?? part), ['Hi', '🔥', '<b>', '&amp; rest']);
    assert.equal(shown.parts[1].count, 3);
    assert.equal(shown.parts[1].logprob, -3);
    assert.deepEqual(shown.parts[1].top, [['F0 9F', -1]], 'half a character is shown as its bytes');
    assert(!/<b>|<\/s>/.test(shown.html), shown.html);
    await it.close();
  });

  test('the meter shows how much the typed message would add, and how much is used afterwards', async () => {
    const it = await visit('#chat');
    await it.set('chat', GREEDY);
    await it.type('message', 'My name is Ada.');
    await it.until(() => /^0 of 1,024 tokens; this adds [1-9]\d*$/.test(document.querySelector('#chat-meter .amount').textContent));
    const adds = Number(/adds (\d+)/.exec(await it.text('chat-meter'))[1]);
    await it.click('send');
    await it.answered();
    await it.until(() => /^[1-9]\d* of 1,024 tokens$/.test(document.querySelector('#chat-meter .amount').textContent));
    const used = Number(await it.page.evaluate(() => document.getElementById('chat-meter').getAttribute('aria-valuenow')));
    assert(used > adds, `${used} after a message of ${adds} and its answer`);
    await it.close();
  });

  test('when the window is full, the chat continues and shows what it no longer remembers', async () => {
    const it = await visit('#chat');
    await it.set('chat', { ...GREEDY, maxTokens: 30 });
    const long = 'I like apples and pears and plums. '.repeat(12);
    const say = async (text) => {
      await it.page.evaluate((text) => {
        const area = document.getElementById('message');
        area.value = text;
        area.dispatchEvent(new Event('input'));
        document.getElementById('composer').requestSubmit();
      }, text);
      await it.answered();
    };
    const levels = new Set();
    for (let count = 0; count < 20 && !(await it.page.evaluate(() => document.querySelector('.horizon') !== null)); count += 1) {
      await say(long);
      assert.equal(await it.banner(), '');
      levels.add(await it.page.evaluate(() => document.getElementById('chat-meter').dataset.level));
    }
    assert(levels.has('near'), `${[...levels]}`);
    assert.match(await it.text('transcript'), /The window is full\. The model no longer remembers the messages above\./);
    const [forgotten, all] = await it.page.evaluate(() => [document.querySelectorAll('.turn.forgotten').length, document.querySelectorAll('.turn').length]);
    assert(forgotten > 0 && forgotten % 2 === 0 && forgotten < all, `${forgotten} of ${all} turns`);
    assert.deepEqual(await it.faults(), []);
    await it.page.reload();
    await it.loaded();
    assert.equal(await it.page.evaluate(() => document.querySelectorAll('.turn.forgotten').length), forgotten, 'also after a reload');
    await it.close();
  });

  test('a story continues past the window, and the page says that its middle is forgotten', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 10 });
    // Almost a full window, and the beginning of another story.
    const opening = `${`${STORY.prompt}${STORY.greedy.text}\n\n`.repeat(4)}Once upon a time`;
    await it.page.evaluate((opening) => {
      document.getElementById('opening').value = opening;
      document.getElementById('tell').click();
    }, opening);
    await it.shown('again');
    for (let count = 0; count < 20 && !(await it.visible('story-shifted')); count += 1) {
      await it.click('continue');
      await it.shown('again');
      assert.equal(await it.banner(), '');
    }
    const before = await it.text('told');
    assert(await it.visible('story-shifted'));
    await it.click('continue');
    await it.shown('again');
    assert.equal(await it.banner(), '');
    const told = await it.text('told');
    assert(told.startsWith(before) && told.length > before.length, told);
    await it.page.click('#view-story .show-tokens');
    for (const press of [[], ['theme']]) {
      for (const id of press) await it.click(id);
      assert.deepEqual(await it.faults(), []);
    }
    await it.close();
  });

  test('the speed chart uses the current colours and has a description', async () => {
    const it = await visit();
    await it.set('story', { ...GREEDY, maxTokens: 200 });
    assert.equal(await it.visible('story-chart'), false);
    await it.tell(STORY.prompt);
    await it.until(() => document.querySelector('#story-chart canvas') !== null);
    const label = await it.page.evaluate(() => document.querySelector('#story-chart [role="img"]').getAttribute('aria-label'));
    assert.match(label, /Between [\d,]+ and [\d,]+ while writing\. The last answer: [\d,]+ on average\. Its prompt was read at [\d,]+\./);
    const drawn = () => it.page.evaluate(() => {
      const canvas = document.querySelector('#story-chart canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const colours = new Set();
      for (let at = 0; at < data.length; at += 4) if (data[at + 3] > 250) colours.add(`${data[at]} ${data[at + 1]} ${data[at + 2]}`);
      return [...colours];
    });
    assert((await drawn()).includes('179 65 15'), 'the line, in the colour of embers');
    await it.click('theme');
    await it.until(() => document.querySelector('#story-chart canvas') !== null);
    assert((await drawn()).includes('240 150 84'), 'and in the colour of the dark theme');
    await it.close();
  });

  test('axe finds no fault while a message is edited, tokens are shown and the chats are open, in either theme', async () => {
    const it = await visit('#chat');
    await it.set('chat', GREEDY);
    await it.say('My name is Ada.');
    await it.say('What is my name?');
    await it.page.click('#view-chat .show-tokens');
    await it.press('branch', -1);
    await it.until(() => document.getElementById('chats-count').textContent === '2');
    await it.press('edit', 0);
    for (const press of [[], ['theme']]) {
      for (const id of press) await it.click(id);
      // The editor that has just opened takes a moment to get the focus.
      await it.until(() => {
        document.activeElement.blur();
        document.querySelector('#transcript .token').focus();
        return !document.getElementById('token-card').hidden;
      });
      assert.deepEqual(await it.faults(), []);
      await it.click('open-chats');
      await it.click('forget');
      assert.deepEqual(await it.faults(), []);
      await it.click('chats-close');
    }
    await it.close();
  });
});
