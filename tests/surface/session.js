// Sessions that are cloned, saved and edited, and what they report, in every environment: cases for
// cases.js.

import assert from 'node:assert/strict';

/** @import { Case } from './cases.js' */

const GREEDY = { temperature: 0, repetitionPenalty: 1 };
const FEW = { ...GREEDY, maxTokens: 24 };

/**
 * @param {string} story
 * @param {string} chat
 * @param {{ prompt: string, greedy: any }} golden of the story model
 * @returns {Case[]}
 */
export function sessions(story, chat, { prompt, greedy }) {
  return [
    {
      name: 'a clone is independent: both sessions write what a new one does, with a shared cache',
      args: { chat, few: FEW },
      run: async ({ Session }, { chat, few }) => {
        const session = await Session.load(chat);
        await session.chat('My name is Ada.', few);
        const clone = await session.clone();
        const { sharedBytes } = await clone.stats();
        const [first, second] = [await session.chat('What is my name?', few), await clone.chat('Tell me about the sea.', few)];
        const histories = [await session.messages(), await clone.messages()];
        const fresh = session.model.session();
        const again = [await fresh.chat(histories[0].slice(0, -1), few), await fresh.chat(histories[1].slice(0, -1), few)];
        session.dispose(); // the model stays for the clone
        const { text } = await clone.chat('Hello!', few);
        clone.dispose();
        const texts = [first, second].map(({ text }) => text);
        return { sharedBytes, cached: [first, second].map(({ usage }) => usage.cachedTokens), texts, fresh: again.map(({ text }) => text), text };
      },
      check: ({ sharedBytes, cached, texts, fresh, text }) => {
        assert(sharedBytes > 0);
        assert(cached.every((tokens) => tokens > 0), cached.join());
        assert.deepEqual(texts, fresh);
        assert.notEqual(text, '');
      },
    },
    {
      name: 'a session is saved and restored, with or without its cache, and continues as the original would',
      args: { chat, few: FEW },
      run: async ({ Session }, { chat, few }) => {
        const session = await Session.load(chat);
        await session.chat('My name is Ada.', few);
        const [whole, small] = [await session.save(), await session.save({ cache: false })];
        const expected = await session.chat('What is my name?', few);
        const results = [];
        for (const bytes of [whole, small]) {
          const restored = await Session.restore(session.model, bytes);
          const messages = (await restored.messages()).length;
          const { text, usage } = await restored.chat('What is my name?', few);
          results.push({ messages, isSame: text === expected.text, isCached: usage.cachedTokens > 0 });
        }
        session.model.dispose();
        return { results, isSmaller: small.length * 10 < whole.length };
      },
      check: ({ results, isSmaller }) => {
        assert.deepEqual(results, [{ messages: 2, isSame: true, isCached: true }, { messages: 2, isSame: true, isCached: false }]);
        assert(isSmaller);
      },
    },
    {
      name: 'a system prompt begins the history and survives a reset, and text parts are joined',
      args: { chat, few: FEW },
      run: async ({ Session }, { chat, few }) => {
        const system = 'You are kind.';
        const session = await Session.load(chat, { system });
        const { text } = await session.chat('My name is Ada.', few);
        const plain = session.model.session();
        const parts = [{ type: 'text', text: 'My name ' }, { type: 'text', text: 'is Ada.' }];
        const again = await plain.chat([{ role: 'system', content: system }, { role: 'user', content: parts }], few);
        const histories = [await session.messages(), await plain.messages()];
        await session.reset();
        const left = await session.messages();
        session.model.dispose();
        return { texts: [text, again.text], histories, left };
      },
      check: ({ texts, histories, left }) => {
        assert.equal(texts[0], texts[1]);
        assert.deepEqual(histories[0], histories[1]);
        assert.deepEqual(left, [{ role: 'system', content: 'You are kind.' }]);
      },
    },
    {
      name: 'bytes that are damaged, truncated, no session, or of another model are refused, and the model keeps working',
      args: { story, chat },
      run: async ({ Model, Session }, { story, chat }) => {
        const [model, other] = [await Model.load(story), await Model.load(chat)];
        const session = model.session();
        const { text } = await session.generate('Once', { temperature: 0, maxTokens: 4 });
        const bytes = await session.save();
        const flipped = bytes.slice();
        flipped[bytes.length >> 1] ^= 4;
        const codeOf = (promise) => promise.then(() => 'none', (error) => error.code);
        const bad = [flipped, bytes.slice(0, -1), new Uint8Array(), new Uint8Array(100), 'text', null];
        const codes = [];
        for (const state of bad) codes.push(await codeOf(Session.restore(model, state)));
        codes.push(await codeOf(Session.restore(other, bytes)), await codeOf(Session.restore({}, bytes)));
        const isSame = (await (await Session.restore(model, bytes)).generate('Once', { temperature: 0, maxTokens: 4 })).text === text;
        model.dispose();
        other.dispose();
        return { codes, isSame };
      },
      check: ({ codes, isSame }) => {
        assert.deepEqual(codes, Array(8).fill('BAD_INPUT'));
        assert(isSame);
      },
    },
    {
      name: 'regenerate, append and setMessages reuse the valid part of the cache',
      args: { chat, few: FEW },
      run: async ({ Session }, { chat, few }) => {
        const session = await Session.load(chat);
        const first = await session.chat('My name is Ada.', few);
        const second = await session.regenerate(few);
        await session.append([{ role: 'user', content: 'What is my name?' }]);
        const answer = await session.regenerate(few);
        const history = await session.messages();
        const fresh = session.model.session();
        const alone = await fresh.chat(history.slice(0, -1), few);
        const edited = [...history.slice(0, -2), { role: 'user', content: 'Tell me about the sea.' }];
        await session.setMessages(edited.slice(0, -1));
        const other = await session.chat('Tell me about the sea.', few);
        const otherAlone = await fresh.chat(edited, few);
        session.model.dispose();
        const cached = [second, answer, other].map(({ usage }) => usage.cachedTokens);
        return { pairs: [[first, second], [answer, alone], [other, otherAlone]].map((pair) => pair.map(({ text }) => text)), cached, roles: history.map(({ role }) => role) };
      },
      check: ({ pairs, cached, roles }) => {
        for (const [one, two] of pairs) assert.equal(one, two);
        assert(cached.every((tokens) => tokens > 0), cached.join());
        assert.deepEqual(roles, ['user', 'assistant', 'user', 'assistant']);
      },
    },
    {
      name: 'two long texts stream at the same time, each the same as alone',
      args: { story, prompts: [prompt, 'The little'], options: { ...GREEDY, maxTokens: 400, minTokens: 400 } },
      run: async ({ Model }, { story, prompts, options }) => {
        const model = await Model.load(story);
        const alone = [];
        for (const prompt of prompts) alone.push((await model.session().generate(prompt, options)).text);
        const order = [];
        const read = async (prompt, index) => {
          let text = '';
          for await (const piece of model.session().generate(prompt, options)) {
            order.push(index);
            text += piece.text;
          }
          return text;
        };
        const together = await Promise.all(prompts.map(read));
        const stats = await model.stats();
        model.dispose();
        const turns = order.filter((index, at) => at > 0 && index !== order[at - 1]).length;
        return { alone, together, turns, sessions: stats.sessions, kvBytes: stats.kvBytes };
      },
      check: ({ alone, together, turns, sessions, kvBytes }) => {
        assert.deepEqual(together, alone);
        assert(turns >= 2, `${turns} turns`);
        assert.equal(sessions, 4);
        assert(kvBytes > 0);
      },
    },
    {
      name: 'the caches of all sessions together stay within kvBytesMax',
      args: { story },
      run: async ({ Model }, { story }) => {
        const model = await Model.load(story, { kvBytesMax: 300_000 });
        const codes = [];
        for (let session = 0; session < 8; session++) {
          const run = model.session().generate('Once upon a time', { temperature: 0, maxTokens: 40 });
          codes.push(await run.then(() => 'none', (error) => error.code));
        }
        const { kvBytes, kvBytesMax } = await model.stats();
        model.dispose();
        return { codes, kvBytes, kvBytesMax };
      },
      check: ({ codes, kvBytes, kvBytesMax }) => {
        assert.equal(kvBytesMax, 300_000);
        assert(kvBytes <= kvBytesMax, `${kvBytes}`);
        assert.deepEqual([codes[0], codes.at(-1)], ['none', 'OUT_OF_MEMORY']);
      },
    },
    {
      name: 'a chat that outgrows the context is refused or drops its oldest turns and says so; a story continues',
      args: { story, chat, few: FEW },
      run: async ({ Session }, { story, chat, few }) => {
        const session = await Session.load(chat);
        const { contextWindow } = session;
        const filler = 'The fox walks along the shore and looks at the sea. '.repeat(20);
        const history = [{ role: 'system', content: 'You are kind.' }];
        const question = { role: 'user', content: 'Hello!' };
        while ((await session.measureContextUsage([...history, question])) < contextWindow) history.push({ role: 'user', content: filler }, { role: 'assistant', content: 'Yes.' });
        const refused = await session.chat([...history, question], few).catch((error) => error);
        const unchanged = (await session.messages()).length;
        const events = [];
        session.oncontextoverflow = ({ detail }) => events.push(detail);
        await session.chat([...history, question], { ...few, overflow: 'drop-oldest' });
        const [first, ...others] = await session.messages();
        session.dispose();
        const tale = await Session.load(story);
        const { text, usage, finishReason } = await tale.generate('Once upon a time', { temperature: 0, minTokens: 700, maxTokens: 700, overflow: 'shift' });
        const long = { tokens: usage.completionTokens, finishReason, window: tale.contextWindow, length: text.length };
        tale.dispose();
        return { refused: { code: refused.code, ...refused.details }, unchanged, events, first, kept: others.length, sent: history.length, contextWindow, long };
      },
      check: ({ refused, unchanged, events, first, kept, sent, contextWindow, long }) => {
        assert.equal(refused.code, 'CONTEXT_OVERFLOW');
        assert.equal(refused.contextWindow, contextWindow);
        assert(refused.requested > contextWindow);
        assert.equal(unchanged, 0);
        assert.equal(events.length, 1);
        assert(events[0].droppedMessages > 0 && events[0].droppedTokens > 0);
        assert.equal(first.role, 'system');
        assert.equal(kept, sent - events[0].droppedMessages + 1); // plus the question and its answer, minus the system message
        assert(long.tokens > long.window, JSON.stringify(long));
        assert(long.length > 2000);
      },
    },
    {
      name: 'tokens have their probabilities, and n texts come from one prompt',
      args: { story, prompt, tokens: greedy.tokens.slice(0, 8) },
      run: async ({ Session }, { story, prompt, tokens }) => {
        const session = await Session.load(story);
        const options = { temperature: 0, repetitionPenalty: 1, maxTokens: tokens.length };
        const run = session.generate(prompt, { ...options, logprobs: 3 });
        const pieces = [];
        for await (const piece of run) pieces.push(piece);
        const { logprobs, text } = await run;
        const many = session.generate(prompt, { temperature: 1, seed: 5, maxTokens: 12, n: 3 });
        const heard = ['', '', ''];
        for await (const { choice, text } of many) heard[choice] += text;
        const { choices, usage } = await many;
        session.dispose();
        return { logprobs, text, streamed: pieces.flatMap(({ logprobs }) => logprobs ?? []), heard, choices, usage };
      },
      check: ({ logprobs, text, streamed, heard, choices, usage }) => {
        assert.deepEqual(logprobs.map(({ id }) => id), greedy.tokens.slice(0, 8));
        assert.deepEqual(streamed, logprobs);
        assert.equal(new TextDecoder().decode(Uint8Array.from(logprobs.flatMap(({ bytes }) => bytes))), text);
        for (const { id, logprob, top } of logprobs) {
          assert.equal(top.length, 3);
          assert.deepEqual([top[0].id, top[0].logprob], [id, logprob]); // greedy takes the likeliest
          assert(logprob <= 0 && top[0].logprob >= top[1].logprob && top[1].logprob >= top[2].logprob);
        }
        assert.deepEqual(heard, choices.map(({ text }) => text));
        assert.equal(new Set(heard).size, 3);
        assert.equal(usage.completionTokens, 36);
      },
    },
    {
      name: 'stop, minTokens and logitBias work with strings and with token ids',
      args: { story, prompt, tokens: greedy.tokens.slice(0, 12), greedy: GREEDY },
      run: async ({ Session }, { story, prompt, tokens, greedy }) => {
        const session = await Session.load(story);
        const write = (options) => session.generate(prompt, { ...greedy, maxTokens: tokens.length, ...options });
        const { text } = await write({});
        const [byText, byId] = [await write({ stop: text.slice(6, 9) }), await write({ stop: [tokens[3]] })];
        const head = await session.detokenize(tokens.slice(0, 3));
        const biased = await write({ logitBias: { [tokens[0]]: -100 }, logprobs: true });
        const long = await write({ minTokens: 300, maxTokens: 300 });
        session.dispose();
        return { text, byText, byId, head, other: biased.logprobs[0].id, long: long.usage.completionTokens };
      },
      check: ({ text, byText, byId, head, other, long }) => {
        assert.deepEqual([byText.text, byText.finishReason], [text.slice(0, text.indexOf(text.slice(6, 9))), 'stop']);
        assert.deepEqual([byId.text, byId.finishReason], [head, 'stop']);
        assert.notEqual(other, greedy.tokens[0]);
        assert.equal(long, 300);
      },
    },
    {
      name: 'tokenize and detokenize round-trip, with pieces and offsets',
      args: { story, text: 'Once upon a time, 火 and 🦊 sat.' },
      run: async ({ Session }, { story, text }) => {
        const session = await Session.load(story);
        const ids = Array.from(await session.tokenize(text));
        const pieces = await session.pieces(text);
        const back = await session.detokenize(ids);
        session.dispose();
        return { ids, pieces, back };
      },
      check: ({ ids, pieces, back }) => {
        const text = 'Once upon a time, 火 and 🦊 sat.';
        assert.deepEqual(pieces.map(({ id }) => id), ids);
        assert.equal(back, text);
        assert.deepEqual([pieces[0].start, pieces.at(-1).end], [0, text.length]);
        for (const [at, { start, end }] of pieces.entries()) assert(start <= end && (at === 0 || start <= pieces[at - 1].end), `piece ${at}`);
      },
    },
    {
      name: 'another context uses the engine through a port, with its own sessions, and learns when the engine is gone',
      args: { story, prompt, maxTokens: greedy.tokens.length, options: GREEDY },
      run: async ({ Model }, { story, prompt, maxTokens, options }) => {
        const model = await Model.load(story);
        const attached = await Model.attach(await model.port());
        const [here, there] = [model.session(), attached.session()];
        const texts = await Promise.all([here, there].map((session) => session.generate(prompt, { ...options, maxTokens }).then(({ text }) => text)));
        const { sessions } = await model.stats();
        const same = attached.info().parameters === model.info().parameters;
        attached.dispose();
        const codeOf = (promise) => Promise.resolve(promise).then(() => 'none', (error) => error.code);
        const left = [await codeOf(there.generate('Once')), await codeOf(here.generate('Once', { maxTokens: 2 }))];
        const orphan = (await Model.attach(await model.port())).session();
        const last = codeOf(orphan.generate(prompt, { maxTokens: 400, minTokens: 400 }));
        model.dispose();
        return { texts, sessions, same, left, orphan: [await last, await codeOf(orphan.generate(prompt))] };
      },
      check: ({ texts, sessions, same, left, orphan }) => {
        assert.deepEqual(texts, [greedy.text, greedy.text]);
        assert.deepEqual([sessions, same, left, orphan], [2, true, ['DISPOSED', 'none'], ['CRASHED', 'CRASHED']]);
      },
    },
  ];
}
