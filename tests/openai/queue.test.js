// The queue, the sessions and the end: which requests wait, which are refused, what is reused, and that
// each answer is what it would be alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHandler, events, get, post, until } from './handler.js';
import { answerTo, fakeModel } from '../fake.js';

const text = (prompt, { init, ...more } = {}) => post('/v1/completions', { model: 'story', prompt, max_tokens: 6, seed: 1, ...more }, init);

/**
 * @param {any} [settings]
 * @param {object} [limits]
 */
function setUp(settings, limits) {
  const fake = fakeModel(settings);
  return { ...fake, handler: createHandler({ models: { story: fake.model }, ...limits }) };
}

test('requests are answered one at a time, in the order of their arrival', async () => {
  const { handler, state } = setUp({ tokenMs: 1 });
  await Promise.all(Array.from({ length: 10 }, (_, i) => handler(text(`Story ${i} `)).then((response) => response.json())));
  assert.equal(state.computingMax, 1);
  assert.deepEqual(state.log.filter(({ what }) => what === 'start').map(({ prompt }) => prompt), Array.from({ length: 10 }, (_, i) => `Story ${i} `));
});

test('with a concurrency of two, requests interleave', async () => {
  const { handler, state } = setUp({ tokenMs: 1 }, { concurrency: 2 });
  await Promise.all(Array.from({ length: 6 }, (_, i) => handler(text(`Story ${i} `)).then((response) => response.json())));
  assert.equal(state.computingMax, 2);
});

test('two concurrent requests that continue one conversation do not share its session', async () => {
  const { handler, state } = setUp({ tokenMs: 2 }, { concurrency: 2 });
  const prompt = 'The fox who kept a fire by the sea told this ';
  const { choices } = await (await handler(text(prompt))).json();
  const prompts = ['', ' and so'].map((more) => prompt + choices[0].text + more);
  const told = await Promise.all(prompts.map(async (prompt) => (await (await handler(text(prompt))).json()).choices[0].text));
  assert.deepEqual(told, prompts.map((prompt) => answerTo(prompt, 1, 6)));
  assert.equal(state.computingMax, 2);
});

test('a full queue refuses at once, and says when to retry', async () => {
  const { handler, state } = setUp({ tokenMs: 20 }, { queueMax: 2 });
  const under = [0, 1, 2].map((i) => handler(text(`Story ${i} `)));
  await until(() => state.computing === 1);
  const refused = await handler(text('One more '));
  assert(!state.log.some(({ what }) => what === 'end'), 'the refusal waited for no answer');
  assert.equal(refused.status, 429);
  assert.match(refused.headers.get('retry-after'), /^[1-9]\d?$/);
  const { error } = await refused.json();
  assert.deepEqual([error.type, error.code], ['requests', 'rate_limit_exceeded']);
  assert.equal((await (await handler(get('/health'))).json()).queue.length, 2);
  for (const response of await Promise.all(under)) assert.equal(response.status, 200);
  assert.equal((await handler(text('One more '))).status, 200);
});

for (const [when, prefillMs, tokenMs] of [['before its first token', 5_000, 1], ['in the middle of its answer', 0, 20]]) {
  for (const stream of [true, false]) {
    test(`a client that disconnects ${when} frees its turn, ${stream ? 'streaming' : 'waiting'}`, async () => {
      const { handler, state } = setUp({ prefillMs, tokenMs });
      const controller = new AbortController();
      const gone = handler(text('Long ', { max_tokens: 500, stream, init: { signal: controller.signal } }));
      await until(() => state.computing === 1);
      if (stream && !prefillMs) await (await gone).body.getReader().read();
      const next = handler(text('Next ', { max_tokens: 1 }));
      controller.abort();
      const aborted = performance.now();
      await until(() => state.log.some(({ what, prompt }) => what === 'start' && prompt === 'Next '));
      assert(state.log.find(({ prompt, what }) => what === 'start' && prompt === 'Next ').at - aborted < 250);
      assert(state.log.some(({ what, prompt }) => what === 'abort' && prompt === 'Long '));
      if (prefillMs) return;
      assert.equal((await next).status, 200);
    });
  }
}

test('cancelling the stream frees its turn', async () => {
  const { handler, state } = setUp({ tokenMs: 5 });
  const response = await handler(text('Long ', { max_tokens: 500, stream: true }));
  const reader = response.body.getReader();
  await reader.read();
  await reader.cancel();
  await until(() => state.computing === 0);
  assert.equal(state.log.at(-1).what, 'abort');
  assert.equal((await (await handler(get('/health'))).json()).running, 0);
});

test('a request whose client disconnects in the queue is never computed', async () => {
  const { handler, state } = setUp({ tokenMs: 5 });
  const first = handler(text('First '));
  const controller = new AbortController();
  const second = handler(text('Second ', { init: { signal: controller.signal } }));
  const third = handler(text('Third '));
  await until(() => state.computing === 1);
  controller.abort();
  assert.equal((await second).status, 499);
  await Promise.all([first, third]);
  assert.deepEqual(state.log.filter(({ what }) => what === 'start').map(({ prompt }) => prompt), ['First ', 'Third ']);
});

test('a reader that reads nothing blocks nobody', async () => {
  const { handler } = setUp();
  const unread = await handler(text('Unread ', { max_tokens: 400, stream: true }));
  const { choices } = await (await handler(text('Next '))).json();
  assert.equal(choices[0].text, answerTo('Next ', 1, 6));
  const all = await events(unread);
  assert.equal(all.at(-1), '[DONE]');
});

test('a conversation continues in its session, undisturbed by others', async () => {
  const { handler, state } = setUp();
  const histories = ['Ada', 'Bob', 'Cyd'].map((name) => [{ role: 'user', content: `I am ${name}, and this is what I have to say today.` }]);
  for (let turn = 0; turn < 4; turn++) {
    for (const messages of histories) {
      const { choices, usage } = await (await handler(post('/v1/chat/completions', { model: 'story', messages, max_tokens: 5 }))).json();
      if (turn) assert(usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 5, `turn ${turn}: ${JSON.stringify(usage)}`);
      messages.push(choices[0].message, { role: 'user', content: 'Go on' });
    }
  }
  assert(state.sessions.size <= 8);
});

test('a common prefix is computed once: the second request gets a clone', async () => {
  const { handler, state } = setUp();
  const system = { role: 'system', content: 'You are a very long instruction that all have in common.' };
  const usages = [];
  for (const content of ['One', 'Two', 'Three']) {
    const response = await handler(post('/v1/chat/completions', { model: 'story', messages: [system, { role: 'user', content }], max_tokens: 5 }));
    usages.push((await response.json()).usage.prompt_tokens_details.cached_tokens);
  }
  assert.equal(usages[0], 0);
  assert(usages[1] >= 11 && usages[2] >= 11, String(usages));
  assert.equal(state.clones, 2);
});

test('a conversation stays after another one was cloned from it', async () => {
  const { handler, state } = setUp();
  const talk = async (messages) => (await handler(post('/v1/chat/completions', { model: 'story', messages, max_tokens: 5 }))).json();
  const first = [{ role: 'user', content: 'This is how all of these conversations begin, word for word.' }];
  const { choices } = await talk(first);
  await talk([...first, { role: 'assistant', content: 'Another answer' }, { role: 'user', content: 'And now?' }]);
  assert.equal(state.clones, 1);
  const { usage } = await talk([...first, choices[0].message, { role: 'user', content: 'Go on' }]);
  assert(usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 5, JSON.stringify(usage));
  assert.equal(state.clones, 1);
});

test('with several answers, the session continues from the first', async () => {
  const { handler, state } = setUp();
  const messages = [{ role: 'user', content: 'Which of these answers do I like best of all?' }];
  const { choices } = await (await handler(post('/v1/chat/completions', { model: 'story', messages, max_tokens: 5, n: 3 }))).json();
  const more = [...messages, choices[0].message, { role: 'user', content: 'Go on' }];
  const { usage } = await (await handler(post('/v1/chat/completions', { model: 'story', messages: more, max_tokens: 5 }))).json();
  assert(usage.prompt_tokens_details.cached_tokens >= usage.prompt_tokens - 5, JSON.stringify(usage));
  assert.equal(state.clones, 0);
});

test('the number of sessions is limited', async () => {
  const { handler, state } = setUp({}, { sessionsMax: 3 });
  for (let i = 0; i < 12; i++) await (await handler(text(`${i} is the number of this story `))).json();
  assert.equal(state.sessions.size, 3);
});

test('the bytes of sessions are limited, except for the latest', async () => {
  const { handler, state } = setUp({}, { kvBytesMax: 32 * 25 });
  for (let i = 0; i < 6; i++) await (await handler(text(`${i} a b c `))).json(); // 11 tokens each, of 32 bytes
  assert.equal(state.sessions.size, 2);
  await (await handler(text(`z ${'a '.repeat(30)}`))).json();
  assert.equal(state.sessions.size, 1);
});

test('a single session serves all requests', async () => {
  const { handler, state } = setUp({}, { sessionsMax: 1 });
  for (const prompt of ['The fox went home ', 'The fox went home again ', 'The sea ', 'The fox went home ']) {
    const { choices } = await (await handler(text(prompt))).json();
    assert.equal(choices[0].text, answerTo(prompt, 1, 6));
  }
  assert.equal(state.sessions.size, 1);
});

test('sessions are freed when memory is short', async () => {
  const { handler, state } = setUp({ kvBytesMax: 32 * 25 });
  for (let i = 0; i < 8; i++) {
    const response = await handler(text(`${i} a b c `));
    assert.equal(response.status, 200, await response.clone().text());
  }
  assert(state.sessions.size <= 3);
  const tooMuch = await handler(text('a '.repeat(40)));
  assert.equal(tooMuch.status, 503);
  assert.equal((await tooMuch.json()).error.code, 'out_of_memory');
});

for (const limits of [{ queueMax: 1000 }, { queueMax: 1000, concurrency: 4 }, { queueMax: 1000, sessionsMax: 1 }, { queueMax: 1000, kvBytesMax: 0, concurrency: 3 }]) {
  test(`each of a hundred clients gets the answer that it would get alone: ${JSON.stringify(limits)}`, async () => {
    const { handler, state } = setUp({}, limits);
    await Promise.all(Array.from({ length: 100 }, async (_, client) => {
      for (let i = 0; i < 10; i++) {
        const prompt = `Client ${client % 7} asks for story ${i} `;
        const stream = (client + i) % 2 === 0;
        const response = await handler(text(prompt, { seed: client, stream }));
        assert.equal(response.status, 200);
        const told = stream
          ? (await events(response)).filter((event) => event !== '[DONE]').map(({ choices }) => choices[0].text).join('')
          : (await response.json()).choices[0].text;
        assert.equal(told, answerTo(prompt, client, 6));
      }
    }));
    assert.equal(state.log.filter(({ what }) => what === 'end').length, 1000);
    assert(state.sessions.size <= 8);
    assert(state.computingMax <= (limits.concurrency ?? 1));
  });
}

test('closing refuses new and waiting requests, lets an answer end, and frees every session', async () => {
  const { handler, state } = setUp({ tokenMs: 5 });
  const running = handler(text('Running '));
  const waiting = handler(text('Waiting '));
  await until(() => state.computing === 1);
  const closed = handler.close({ graceMs: 5_000 });
  const late = await handler(text('Late '));
  assert.equal(late.status, 503);
  assert.equal((await late.json()).error.code, 'shutting_down');
  assert.equal((await waiting).status, 503);
  assert.equal((await (await running).json()).choices[0].text, answerTo('Running ', 1, 6));
  await closed;
  assert.equal(state.sessions.size, 0);
});

test('closing does not wait for finished runs', async () => {
  const { handler } = setUp();
  await (await handler(text('Whole '))).json();
  await events(await handler(text('Streaming ', { stream: true })));
  await (await handler(text(''))).text(); // which fails
  const begin = performance.now();
  await handler.close({ graceMs: 10_000 });
  assert(performance.now() - begin < 5_000);
});

test('closing without grace aborts running answers and tells their readers', async () => {
  const { handler, state } = setUp({ tokenMs: 5 });
  const streaming = await handler(text('Streaming ', { stream: true, max_tokens: 400 }));
  const waiting = handler(text('Waiting ', { max_tokens: 400 }));
  await handler.close();
  assert.equal((await waiting).status, 503);
  const all = await events(streaming);
  assert.equal(all.at(-1).error?.code, 'shutting_down');
  await until(() => state.computing === 0);
  assert.equal(state.sessions.size, 0);
});

for (const [what, isHeld] of [['ignores the abort of its run', 'run'], ['does not report its sessions', 'stats']]) {
  test(`closing does not wait for an engine that ${what}, and frees its session when it responds`, async () => {
    const { model, state } = fakeModel();
    let release;
    const held = new Promise((resolve) => (release = resolve));
    let isReached = false;
    const reach = async () => ((isReached = true), held);
    const session = () => {
      const made = model.session();
      const run = made.generate.bind(made);
      if (isHeld === 'stats') made.stats = async () => (await reach(), { kvBytes: 0 });
      else made.generate = (prompt, { signal, ...options }) => ({ [Symbol.asyncIterator]: async function* () { await reach(); }, then: (resolve, reject) => run(prompt, options).then(resolve, reject) });
      return made;
    };
    const handler = createHandler({ models: { story: { ...model, session } } });
    const under = handler(text('Stuck '));
    await until(() => isReached);
    const begin = performance.now();
    await handler.close();
    const ms = performance.now() - begin;
    assert(ms > 900 && ms < 3_000, `${ms} ms`);
    assert.equal(state.sessions.size, 0);
    release();
    await under;
    assert.equal(state.sessions.size, 0);
  });
}
