// What the package does in every environment, as cases. They run in a page of each browser
// (tests/browser/api.test.js) and in Node (tests/node/api.test.js). `run` is sent to a page as text, so it
// can use only its arguments: the library, and the `args` given here.

import assert from 'node:assert/strict';
import { assertSame, decided, golden } from './golden.js';
import { sessions } from './session.js';

export const GREEDY = { temperature: 0, repetitionPenalty: 1 };

/**
 * `run(library, args)` resolves with the value that `check` examines; both are plain data. `expected`: what
 * a browser may write to its console meanwhile.
 * @typedef {{ name: string, args?: any, run: (library: any, args: any) => Promise<any>, check: (result:
 *   any) => void, expected?: RegExp }} Case
 */

/**
 * @param {(model: { url: string, folder: string }) => string} place where a model is in this environment
 * @param {string} page the URL of an HTML page
 * @param {string} [nowhere] a URL that a server answers with 404
 * @returns {Case[]}
 */
export function cases(place, page, nowhere) {
  const models = golden().map((model) => ({ ...model, at: place(model) }));
  const story = models.find(({ model }) => model === 'story');
  const chat = models.find(({ model }) => model === 'chat');
  return [...models.flatMap(goldenCases), ...runs(story.at, chat.at, story.cases[0]), ...sessions(story.at, chat.at, story.cases[0]), ...failures(story.at, page), ...misuses(chat.at), ...(nowhere ? [absent(nowhere)] : [])];
}

/**
 * What transformers wrote. It multiplies what MLX quantised as f32. With relaxed SIMD, our products with 4
 * bits take activations of 8 bits, which changes the text of such small models.
 */
function goldenCases({ model, at, cases, chats }) {
  const how = model.startsWith('mlx-') ? { dtype: 'f32' } : {};
  return [
    {
      name: `${model} writes what transformers writes`,
      args: { at, how, prompts: cases.map(({ prompt, greedy }) => ({ prompt, maxTokens: decided(greedy) })), options: GREEDY },
      run: async ({ Session }, { at, how, prompts, options }) => {
        const session = await Session.load(at, how);
        const results = [];
        for (const { prompt, maxTokens } of prompts) results.push(await session.generate(prompt, { ...options, maxTokens }));
        session.dispose();
        return results;
      },
      check: (results) => {
        for (const [index, { prompt, ids, greedy }] of cases.entries()) assertSame(results[index], greedy, ids, `after ${JSON.stringify(prompt)}`);
      },
    },
    ...chats.map(({ turns }, index) => {
      // If the reference was undecided, the history of later turns may differ.
      const firstOpen = turns.findIndex((turn) => decided(turn) < turn.tokens.length);
      const settled = firstOpen < 0 ? turns : turns.slice(0, firstOpen + 1);
      return {
        name: `${model} holds golden chat ${index + 1}, reusing the cache in each turn`,
        args: { at, how, inputs: settled.map((turn) => ({ user: turn.user, maxTokens: decided(turn) })), options: GREEDY },
        run: async ({ Session }, { at, how, inputs, options }) => {
          const session = await Session.load(at, how);
          const results = [];
          for (const { user, maxTokens } of inputs) results.push(await session.chat(user, { ...options, maxTokens }));
          session.dispose();
          return results;
        },
        check: (results) => {
          for (const [number, turn] of settled.entries()) {
            assertSame(results[number], turn, turn.ids, `in turn ${number + 1}`);
            assert.equal(results[number].usage.cachedTokens > 0, number > 0);
          }
        },
      };
    }),
  ];
}

/** Runs and conversations, and aborting them. */
function runs(story, chat, { prompt, greedy }) {
  return [
    {
      name: 'joined pieces are the text, and a run can be iterated and awaited',
      args: { story },
      run: async ({ Session }, { story }) => {
        const session = await Session.load(story);
        const run = session.generate('Once upon a time', { temperature: 0, maxTokens: 40 });
        const pieces = [];
        for await (const piece of run) pieces.push(piece.text);
        const { text } = await run;
        session.dispose();
        return { joined: pieces.join(''), text, count: pieces.length };
      },
      check: ({ joined, text, count }) => {
        assert.equal(joined, text);
        assert(count > 1, `${count} pieces`);
      },
    },
    {
      name: 'a load aborted midway rejects with AbortError, and the next one works',
      args: { story },
      run: async ({ Model }, { story }) => {
        const controller = new AbortController();
        const onProgress = () => controller.abort();
        const first = await Model.load(story, { signal: controller.signal, onProgress }).catch((error) => error);
        const second = await Model.load(story);
        const family = second.info().family;
        second.dispose();
        return [first.name, family];
      },
      check: (names) => assert.deepEqual(names, ['AbortError', 'llama']),
    },
    {
      name: 'aborting during prefill or decode ends the run, and the session then writes the golden text',
      args: { story, prompt, maxTokens: greedy.tokens.length, options: GREEDY },
      run: async ({ Session }, { story, prompt, maxTokens, options }) => {
        const session = await Session.load(story);
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
        session.dispose();
        return { prefill: await prefill, decode: await decodeName, thrown, text };
      },
      check: (results) => assert.deepEqual(results, { prefill: 'AbortError', decode: 'AbortError', thrown: 'AbortError', text: greedy.text }),
    },
    {
      name: 'a chat turn that is aborted is not part of the conversation',
      args: { chat },
      run: async ({ Session }, { chat }) => {
        const session = await Session.load(chat);
        await session.chat('Hello!', { temperature: 0, maxTokens: 8 });
        const before = await session.messages();
        const controller = new AbortController();
        // Hot enough to continue for a third of a second, so the abort comes long before the end.
        const run = session.chat('My name is Ada.', { temperature: 50, topP: 1, seed: 1, maxTokens: 900, signal: controller.signal });
        const during = await (async () => {
          for await (const _ of run) controller.abort();
        })().catch((error) => error.name);
        const after = await session.messages();
        session.dispose();
        return { before, during, after };
      },
      check: ({ before, during, after }) => {
        assert.equal(before.length, 2);
        assert.equal(during, 'AbortError');
        assert.deepEqual(after, before);
      },
    },
  ];
}

/** Wrong use. */
function failures(story, page) {
  return [
    {
      name: 'every bad input gives an error with its code, and the session keeps working',
      args: { story, page },
      run: async ({ Session }, { story, page }) => {
        const codeOf = (promise) => Promise.resolve(promise).then(() => 'none', (error) => `${error.name} ${error.code}`);
        const session = await Session.load(story);
        const codes = {};
        codes.temperature = await codeOf(session.generate('Once', { temperature: -1 }));
        codes.misspelt = await codeOf(session.generate('Once', { temprature: 1 }));
        codes.empty = await codeOf(session.chat('', { maxTokens: 1 }).then(() => {}));
        codes.long = await codeOf(session.generate('Once upon a time '.repeat(2000), { maxTokens: 1 }));
        codes.html = await codeOf(Session.load({ config: new URL(page, globalThis.location?.href), tokenizer: new Uint8Array(), weights: new Uint8Array() }));
        const { text } = await session.generate('Once upon a time', { temperature: 0, maxTokens: 4 });
        session.dispose();
        codes.disposed = await codeOf(session.generate('Once'));
        return { codes, text };
      },
      check: ({ codes, text }) => {
        assert.deepEqual(codes, {
          temperature: 'FiresideError BAD_OPTION',
          misspelt: 'FiresideError BAD_OPTION',
          empty: 'FiresideError BAD_INPUT',
          long: 'FiresideError CONTEXT_OVERFLOW',
          html: 'FiresideError NOT_A_MODEL_FILE',
          disposed: 'FiresideError DISPOSED',
        });
        assert.notEqual(text, '');
      },
    },
  ];
}

/**
 * Each method, called wrongly.
 * @param {string} at a chat model
 * @returns {Case[]}
 */
function misuses(at) {
  return [
    {
      name: 'wrong calls reject with BAD_INPUT or BAD_OPTION and change nothing',
      args: { at },
      run: async ({ Model, Session }, { at }) => {
        const model = await Model.load(at);
        const session = model.session();
        const history = [{ role: 'user', content: 'Hello!' }, { role: 'assistant', content: 'Hello.' }];
        await session.setMessages(history);
        const empty = model.session();
        const calls = {
          BAD_INPUT: [
            ...[null, 5, '', '  ', [], 'ftp://x/y', 'hf:bad'].map((source) => () => Model.load(source)),
            ...[null, 5].map((options) => () => Model.load(at, options)),
            ...[undefined, {}, null].map((port) => () => Model.attach(port)),
            () => Session.restore(model, new Uint8Array(8)),
            () => session.generate(5),
            () => session.chat(5),
            () => empty.regenerate(),
            ...['x', [], [1], [{ role: 'user' }], null].map((messages) => () => session.append(messages)),
            ...['x', [1], [{ role: 'user' }], null].map((messages) => () => session.setMessages(messages)),
            ...['name', 'images', 'tool_calls', 'reasoning_content', 'prefix', 'contents'].flatMap((field) => {
              const more = [{ ...history[0], [field]: 'x' }];
              return [() => session.chat(more), () => session.append(more), () => session.setMessages(more), () => session.measureContextUsage(more)];
            }),
            ...[null, 5, {}, [{ type: 'image' }], ['x']].map((content) => () => session.chat([{ role: 'user', content }])),
            () => session.measureContextUsage(5),
            () => session.tokenize(5),
            () => session.pieces(null),
            ...[[1.5], [-1], [2 ** 31], 'x', null].map((ids) => () => session.detokenize(ids)),
          ],
          BAD_OPTION: [
            ...[{ x: 1 }, { kvBytesMax: 0 }, { kvBytesMax: 'x' }, { threads: 0 }, { signal: {} }].map((options) => () => Model.load(at, options)),
            ...[{ x: 1 }, { cache: 'x' }].map((options) => () => session.save(options)),
            () => session.append([{ role: 'user', content: 'x' }], { x: 1 }),
            ...[{ unread: 1 }, { messages: [] }, 'x', [1]].map((chatTemplateKwargs) => () => session.chat('x', { chatTemplateKwargs })),
            ...[{ sytem: 'x' }, { system: 5 }].map((options) => () => model.session(options)),
            () => session.tokenize('x', { x: 1 }),
            ...[{ n: 0 }, { n: 17 }, { n: 1.5 }, { logprobs: 21 }, { logprobs: -1 }, { logitBias: { x: 1 } }, { logitBias: { 5: 101 } }, { logitBias: [1] }, { logitBias: { 99999999: 1 } }].map((options) => () => session.generate('x', options)),
            ...[{ stop: {} }, { stop: [-1] }, { stop: '' }, { overflow: 'x' }, { minTokens: 9, maxTokens: 5 }, { temperature: NaN }, { typicalP: 2 }, { seed: -1 }].map((options) => () => session.chat('x', options)),
          ],
        };
        const wrong = [];
        for (const [code, list] of Object.entries(calls)) {
          for (const call of list) {
            const got = await Promise.resolve().then(call).then(() => 'nothing', (error) => error.code ?? String(error));
            if (got !== code) wrong.push(`${call}: ${got}`);
          }
        }
        const isSame = JSON.stringify(await session.messages()) === JSON.stringify(history);
        model.dispose();
        return { wrong, isSame };
      },
      check: ({ wrong, isSame }) => {
        assert.deepEqual(wrong, []);
        assert(isSame);
      },
    },
    {
      name: 'an abort midway leaves no trace, and dispose midway rejects with DISPOSED',
      args: { at },
      run: async ({ Model }, { at }) => {
        const model = await Model.load(at);
        const session = model.session();
        const endOf = (promise) => Promise.resolve(promise).then(() => 'ended', (error) => error.code || error.name);
        const stop = new AbortController();
        const appended = session.append([{ role: 'user', content: 'The sea. '.repeat(120) }], { signal: stop.signal }).catch((error) => error.name);
        stop.abort();
        const names = [await appended, (await session.messages()).length];
        const first = session.generate('x', { minTokens: 400, maxTokens: 400 });
        const second = session.generate('y', { maxTokens: 4 }); // queued behind it, as are the calls below
        const ends = [first, second, session.clone(), session.save(), session.stats()].map(endOf);
        session.dispose();
        const other = model.session();
        const last = [other.generate('x', { minTokens: 400, maxTokens: 400 }), other.clone(), model.stats(), model.port()].map(endOf);
        model.dispose();
        return { names, ends: await Promise.all(ends), last: await Promise.all(last) };
      },
      check: ({ names, ends, last }) => {
        assert.deepEqual(names, ['AbortError', 0]);
        assert.deepEqual([...ends, ...last], Array(9).fill('DISPOSED'));
      },
    },
  ];
}

/** @param {string} nowhere @returns {Case} */
function absent(nowhere) {
  return {
    name: 'a model that is not at its URL gives a NETWORK error with the status',
    args: { nowhere },
    run: async ({ Session }, { nowhere }) => {
      const error = await Session.load(nowhere).catch((error) => error);
      return { code: error.code, status: error.details.status };
    },
    check: (error) => assert.deepEqual(error, { code: 'NETWORK', status: 404 }),
    expected: /404/,
  };
}
