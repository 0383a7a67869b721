// The package, as a program in a page uses it: golden text, conversations, aborts and errors, under a strict Content-Security-Policy.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { golden, inEachBrowser, serveTests } from './harness.js';

const GREEDY = { temperature: 0, repetitionPenalty: 1 };

/** A lead of the best logit below this, relative to the largest, is within what is promised of logits: the reference itself is undecided there. */
const UNDECIDED = 1e-4;

/** How many of a continuation's tokens are beyond doubt. */
function decided({ tokens, margins }) {
  const first = margins.findIndex((margin) => margin < UNDECIDED);
  return first < 0 ? tokens.length : first;
}

/** Asserts that a run gave the reference's tokens, as far as they are decided. `text` is null where the tokens are no UTF-8. */
function assertSame({ text, finishReason, usage }, golden, promptIds, place) {
  const whole = decided(golden) === golden.tokens.length;
  assert.equal(usage.promptTokens, promptIds.length, place);
  if (whole) assert.equal(finishReason, golden.finish, place);
  if (golden.text === null) return;
  if (whole) assert.equal(text, golden.text, place);
  else assert.equal(text, golden.text.slice(0, text.length), place);
}

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('package', (browser) => {
  /** Runs `body(fireside, args)` in a fresh page and resolves with what it returns. */
  async function inPage(body, args, options) {
    const { page, until, close } = await browser.open(`${server.url}tests/blank.html`, options);
    await until(() => Boolean(window.fireside));
    const result = await page.evaluate(`(${body})(window.fireside, ${JSON.stringify(args ?? null)})`);
    await close();
    return result;
  }

  for (const { model, url, cases, chats } of golden()) {
    test(`${model} writes what transformers writes`, async () => {
      const prompts = cases.map(({ prompt, greedy }) => ({ prompt, maxTokens: decided(greedy) }));
      const results = await inPage(
        async ({ Session }, { url, prompts, options }) => {
          const session = await Session.load(url);
          const results = [];
          for (const { prompt, maxTokens } of prompts) results.push(await session.generate(prompt, { ...options, maxTokens }));
          return results;
        },
        { url, prompts, options: GREEDY },
      );
      for (const [index, { prompt, ids, greedy }] of cases.entries()) {
        assertSame(results[index], greedy, ids, `after ${JSON.stringify(prompt)}`);
      }
    });

    for (const [index, { turns }] of chats.entries()) {
      test(`${model} holds golden chat ${index + 1}, each turn on the cache of the last`, async () => {
        // Where the reference was undecided, the history of later turns is open.
        const firstOpen = turns.findIndex((turn) => decided(turn) < turn.tokens.length);
        const settled = firstOpen < 0 ? turns : turns.slice(0, firstOpen + 1);
        const results = await inPage(
          async ({ Session }, { url, inputs, options }) => {
            const session = await Session.load(url);
            const results = [];
            for (const { user, maxTokens } of inputs) results.push(await session.chat(user, { ...options, maxTokens }));
            return results;
          },
          { url, inputs: settled.map((turn) => ({ user: turn.user, maxTokens: decided(turn) })), options: GREEDY },
        );
        for (const [number, turn] of settled.entries()) {
          assertSame(results[number], turn, turn.ids, `in turn ${number + 1}`);
          assert.equal(results[number].usage.cachedTokens > 0, number > 0);
        }
      });
    }
  }

  test('pieces joined are the text, and a run can be iterated and awaited', async () => {
    const { joined, text, count } = await inPage(async ({ Session }) => {
      const session = await Session.load('/models/story/');
      const run = session.generate('Once upon a time', { temperature: 0, maxTokens: 40 });
      const pieces = [];
      for await (const piece of run) pieces.push(piece.text);
      return { joined: pieces.join(''), text: (await run).text, count: pieces.length };
    });
    assert.equal(joined, text);
    assert(count > 1, `${count} pieces`);
  });

  test('a load aborted midway rejects with AbortError, and the next one works', async () => {
    const names = await inPage(async ({ Model }) => {
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const first = await Model.load('/models/story/', { signal: controller.signal, onProgress }).catch((error) => error);
      const second = await Model.load('/models/story/');
      const family = second.info().family;
      second.dispose();
      return [first.name, family];
    });
    assert.deepEqual(names, ['AbortError', 'llama']);
  });

  test('aborting in prefill and in decode ends the run, and the session writes the golden text after it', async () => {
    const { cases } = golden().find(({ model }) => model === 'story');
    const [{ prompt, greedy }] = cases;
    const results = await inPage(
      async ({ Session }, { prompt, maxTokens, options }) => {
        const session = await Session.load('/models/story/');
        const name = (run) => run.then(() => 'ended', (error) => error.name);
        const long = 'Once upon a time there was a little boat. '.repeat(30);
        const early = new AbortController();
        const prefill = name(session.generate(long, { ...options, signal: early.signal }));
        early.abort();
        const late = new AbortController();
        const decode = session.generate(prompt, { ...options, maxTokens, signal: late.signal });
        const decodeName = name(decode);
        const thrown = await (async () => {
          for await (const _ of decode) late.abort();
        })().catch((error) => error.name);
        const { text } = await session.generate(prompt, { ...options, maxTokens });
        return { prefill: await prefill, decode: await decodeName, thrown, text };
      },
      { prompt, maxTokens: greedy.tokens.length, options: GREEDY },
    );
    assert.deepEqual(results, { prefill: 'AbortError', decode: 'AbortError', thrown: 'AbortError', text: greedy.text });
  });

  test('a chat turn that is aborted is not part of the conversation', async () => {
    const { before, during, after } = await inPage(async ({ Session }) => {
      const session = await Session.load('/models/chat/');
      await session.chat('Hello!', { temperature: 0, maxTokens: 8 });
      const before = await session.messages();
      const controller = new AbortController();
      // So hot that it babbles on for a third of a second: the abort comes long before its end.
      const run = session.chat('My name is Ada.', { temperature: 50, topP: 1, seed: 1, maxTokens: 900, signal: controller.signal });
      const during = await (async () => {
        for await (const _ of run) controller.abort();
      })().catch((error) => error.name);
      return { before, during, after: await session.messages() };
    });
    assert.equal(before.length, 2);
    assert.equal(during, 'AbortError');
    assert.deepEqual(after, before);
  });

  test('every bad input is an error with its code, and the session works on', async () => {
    const { codes, text } = await inPage(
      async ({ Session }) => {
        const codeOf = (promise) => Promise.resolve(promise).then(() => 'none', (error) => `${error.name} ${error.code}`);
        const session = await Session.load('/models/story/');
        const codes = {};
        codes.temperature = await codeOf(session.generate('Once', { temperature: -1 }));
        codes.misspelt = await codeOf(session.generate('Once', { temprature: 1 }));
        codes.empty = await codeOf(session.chat('', { maxTokens: 1 }).then(() => {}));
        codes.long = await codeOf(session.generate('Once upon a time '.repeat(2000), { maxTokens: 1 }));
        codes.missing = await codeOf(Session.load('/models/nowhere/'));
        codes.html = await codeOf(Session.load({ config: new URL('/index.html', location.href), tokenizer: new Uint8Array(), weights: new Uint8Array() }));
        const { text } = await session.generate('Once upon a time', { temperature: 0, maxTokens: 4 });
        session.dispose();
        codes.disposed = await codeOf(session.generate('Once'));
        return { codes, text };
      },
      undefined,
      { expected: /404/ },
    );
    assert.deepEqual(codes, {
      temperature: 'FiresideError BAD_OPTION',
      misspelt: 'FiresideError BAD_OPTION',
      empty: 'FiresideError BAD_INPUT',
      long: 'FiresideError CONTEXT_OVERFLOW',
      missing: 'FiresideError NETWORK',
      html: 'FiresideError NOT_A_MODEL_FILE',
      disposed: 'FiresideError DISPOSED',
    });
    assert.notEqual(text, '');
  });
});
