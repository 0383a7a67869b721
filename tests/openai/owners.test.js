// One client must not find out what another one sent. The attack guesses the beginning of another client's
// prompt and sees how much of it is cached. An earlier version revealed a door code of six digits this way,
// in 88 requests.

import assert from 'node:assert/strict';
import { Agent, request as ask } from 'node:http';
import { test } from 'node:test';
import { Model } from '../../www/lib/node/index.js';
import { listen } from '../../www/lib/node/http.js';
import { createHandler, post, until } from './handler.js';
import { fakeModel } from '../fake.js';
import { folder } from './server.js';

const house = (code) => [{ role: 'system', content: `You keep the house. The code of the door is ${code} and nobody else may know.` }, { role: 'user', content: 'Hello!' }];
const [CODE, OTHER] = ['4 7 1 9 0 3', '8 2 6 5 5 1'];

/** A client with its own connection. @param {number} port */
function client(port, headers = {}) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const chat = (messages, more) => new Promise((resolve, reject) => {
    const body = JSON.stringify({ model: 'chat', messages, max_tokens: 1, temperature: 0, ...more });
    const sent = ask({ port, agent, method: 'POST', path: '/v1/chat/completions', headers: { Host: `localhost:${port}`, 'Content-Type': 'application/json', ...headers } }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part) => (text += part)).on('end', () => (response.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text))));
    });
    sent.on('error', reject).end(body);
  });
  const cached = async (messages, more) => (await chat(messages, more)).usage.prompt_tokens_details.cached_tokens;
  return { cached, close: () => agent.destroy() };
}

/**
 * Guesses a code digit by digit, each time keeping the digit with the most reuse. Returns the code, and
 * everything that the attacker saw.
 * @param {(code: string) => Promise<number>} cached
 */
async function attack(cached) {
  const [found, seen] = [[], []];
  for (let place = 0; place < 6; place++) {
    const figures = [];
    for (let digit = 0; digit < 10; digit++) figures.push(await cached([...found, digit, '#'].join(' ')));
    seen.push(...figures);
    found.push(figures.indexOf(Math.max(...figures)));
  }
  return { found: found.join(' '), seen };
}

/**
 * What an attacker sees if the victim has this code. `prefilled`: how many tokens the engine computed for
 * each guess, by its own count.
 */
async function observed(code, { model, log = [] }, { victim = {}, attacker = {}, ...allowed }) {
  const server = await listen(createHandler({ models: { chat: model } }), { host: '127.0.0.1', port: 0, ...allowed });
  const [ada, eve] = [client(server.port, victim.headers), client(server.port, attacker.headers)];
  try {
    await ada.cached(house(code), victim.more);
    assert(await ada.cached(house(code), victim.more) >= 15, 'the victim itself has its prompt computed once');
    const begin = log.length;
    const result = await attack((guess) => eve.cached(house(guess), attacker.more));
    return { ...result, prefilled: log.slice(begin).filter(({ what }) => what === 'start').map(({ prefilled }) => prefilled) };
  } finally {
    ada.close();
    eve.close();
    await server.close();
  }
}

const bearer = (key) => ({ Authorization: `Bearer ${key}` });
const named = { user: 'ada', prompt_cache_key: 'house', safety_identifier: 'ada' };

/** Pairs of attacker and victim, as clients identify themselves and as the server knows them. */
const PAIRS = {
  'on another connection': {},
  'with the same user and cache key': { victim: { more: named }, attacker: { more: named } },
  'with the same unchecked key': { victim: { headers: bearer('none') }, attacker: { headers: bearer('none') } },
  'with another API key and the same user': { victim: { headers: bearer('one'), more: named }, attacker: { headers: bearer('two'), more: named }, apiKey: ['one', 'two'] },
  'with the same API key and another user': { victim: { headers: bearer('one'), more: { user: 'ada' } }, attacker: { headers: bearer('one'), more: { user: 'eve' } }, apiKey: 'one' },
  'with the same API key and another cache key': { victim: { headers: bearer('one'), more: { prompt_cache_key: 'ada' } }, attacker: { headers: bearer('one') }, apiKey: 'one' },
};

for (const [title, pair] of Object.entries(PAIRS)) {
  test(`a client cannot find out the code in another's prompt: ${title}`, async () => {
    const told = [];
    for (const code of [CODE, OTHER]) {
      const { model, state } = fakeModel();
      told.push(await observed(code, { model, log: state.log }, pair));
      assert.notEqual(told.at(-1).found, code);
    }
    assert.equal(told[0].prefilled.length, 60);
    // The attacker sees the same, whatever the victim's code is.
    assert.deepEqual(told[0], told[1]);
  });
}

test('the attack finds the code if both are one owner', async () => {
  const { model } = fakeModel();
  const handler = createHandler({ models: { chat: model }, sessionsMax: 100 });
  const cached = async (code) => (await (await handler(post('/v1/chat/completions', { model: 'chat', messages: house(code), max_tokens: 1 }))).json()).usage.prompt_tokens_details.cached_tokens;
  await cached(CODE);
  assert.equal((await attack(cached)).found, CODE);
});

test('the real engine reveals nothing either', async () => {
  const model = await Model.load(folder('chat'), { threads: 1 });
  try {
    const told = [];
    for (const code of [CODE, OTHER]) told.push(await observed(code, { model }, {}));
    assert.deepEqual(told[0], told[1]);
  } finally {
    model.dispose();
  }
});

test('on a proxy\'s connection, which many clients share, nothing is reused', async () => {
  const server = await listen(createHandler({ models: { chat: fakeModel().model } }), { host: '127.0.0.1', port: 0, allowHosts: ['proxy.example'] });
  try {
    for (const headers of [{ 'X-Forwarded-For': '192.0.2.1' }, { Forwarded: 'for=192.0.2.1' }, { Via: '1.1 proxy' }, { Host: 'proxy.example' }]) {
      const proxy = client(server.port, headers);
      for (let i = 0; i < 3; i++) assert.equal(await proxy.cached(house(CODE)), 0, JSON.stringify(headers));
      proxy.close();
    }
  } finally {
    await server.close();
  }
});

test('the holder of a key reuses its prompts on any connection', async () => {
  const server = await listen(createHandler({ models: { chat: fakeModel().model } }), { host: '127.0.0.1', port: 0, apiKey: ['one', 'two'] });
  try {
    const [first, second] = [1, 2].map(() => client(server.port, bearer('two')));
    await first.cached(house(CODE));
    assert(await second.cached(house(CODE)) >= 15);
    first.close();
    second.close();
  } finally {
    await server.close();
  }
});

test('a prompt declared public is computed once for all, but nothing after it', async () => {
  const prompt = 'You are the assistant of this house, and answer in one sentence.';
  const told = [];
  for (const code of [CODE, OTHER]) {
    const { model, state } = fakeModel();
    const server = await listen(createHandler({ models: { chat: model }, publicPrompts: ['You are', prompt] }), { host: '127.0.0.1', port: 0 });
    const messages = (code) => [{ role: 'system', content: prompt }, { role: 'user', content: `The code of the door is ${code} and nobody else may know.` }];
    const [ada, eve] = [client(server.port), client(server.port)];
    assert.equal(await ada.cached(messages(code)), 13); // <system> and twelve words
    const seen = await attack((guess) => eve.cached(messages(guess)));
    assert(seen.seen.every((cached) => cached >= 13));
    assert.equal(state.log.filter(({ what }) => what === 'append').length, 1);
    told.push(seen);
    ada.close();
    eve.close();
    await server.close();
  }
  assert.deepEqual(told[0], told[1]);
});

test('a public prompt also begins completions', async () => {
  const handler = createHandler({ models: { story: fakeModel().model }, publicPrompts: ['Once upon a time there was a fox. '] });
  const cached = async (prompt, owner) => (await (await handler(post('/v1/completions', { model: 'story', prompt, max_tokens: 1 }), { owner })).json()).usage.prompt_tokens_details.cached_tokens;
  assert.equal(await cached('Once upon a time there was a fox. It slept. ', 'ada'), 8);
  assert.equal(await cached('Once upon a time there was a fox. It slept. ', 'eve'), 8);
  assert.equal(await cached('Once upon a time there was a bear. It slept. ', 'eve'), 7); // its own
  assert.equal(await cached('Once upon a time there was a bear. It slept. ', 'bob'), 0);
});

test('a public prompt that a model cannot read alone is computed for each owner', async () => {
  const { model, state } = fakeModel({ refusesSystem: true });
  const handler = createHandler({ models: { chat: model }, publicPrompts: ['Be brief, whatever you are asked.'] });
  const messages = [{ role: 'system', content: 'Be brief, whatever you are asked.' }, { role: 'user', content: 'Hello!' }];
  const cached = async (owner) => (await (await handler(post('/v1/chat/completions', { model: 'chat', messages, max_tokens: 1 }), { owner })).json()).usage.prompt_tokens_details.cached_tokens;
  assert.deepEqual([await cached('ada'), await cached('eve')], [0, 0]);
  assert(await cached('ada') > 0);
  assert.equal(state.log.filter(({ what }) => what === 'append').length, 1);
});

for (const publicPrompts of ['text', [''], [3], {}]) {
  test(`public prompts must be a list of strings, not ${JSON.stringify(publicPrompts)}`, () => {
    assert.throws(() => createHandler({ models: fakeModel().model, publicPrompts }), (error) => error.code === 'BAD_OPTION' && error.details.option === 'publicPrompts');
  });
}

test('without a context the program is the owner; without an owner nothing is reused', async () => {
  const handler = createHandler({ models: { chat: fakeModel().model } });
  const cached = async (...context) => (await (await handler(post('/v1/chat/completions', { model: 'chat', messages: house(CODE), max_tokens: 1 }), ...context)).json()).usage.prompt_tokens_details.cached_tokens;
  await cached();
  assert(await cached() >= 15);
  // The second argument of Deno.serve and Bun.serve names no owner.
  for (const context of [{ remoteAddr: { hostname: '127.0.0.1', port: 1 } }, { requestIP() {} }, { owner: '' }, { owner: undefined }]) {
    for (let i = 0; i < 2; i++) assert.equal(await cached(context), 0);
  }
});

test('a client with many conversations pushes out its own sessions, not those of others', async () => {
  const { model, state } = fakeModel();
  const handler = createHandler({ models: { chat: model }, sessionsMax: 4 });
  const cached = async (owner, text, more) => (await (await handler(post('/v1/chat/completions', { model: 'chat', messages: [{ role: 'user', content: text }], max_tokens: 1, ...more }), { owner })).json()).usage.prompt_tokens_details.cached_tokens;
  await cached('ada', 'The conversation that Ada has with this model goes on.');
  await cached('bob', 'And here is the one that Bob has, about something else.');
  for (let i = 0; i < 20; i++) await cached('eve', `${i} is the number of this story of Eve`, { user: `eve ${i}` });
  assert.equal(state.sessions.size, 4);
  assert(await cached('ada', 'The conversation that Ada has with this model goes on.') > 5);
  assert(await cached('bob', 'And here is the one that Bob has, about something else.') > 5);
});

test('the owner of the most bytes makes room, too', async () => {
  const { model } = fakeModel();
  const handler = createHandler({ models: { chat: model }, kvBytesMax: 32 * 60 });
  const cached = async (owner, text) => (await (await handler(post('/v1/chat/completions', { model: 'chat', messages: [{ role: 'user', content: text }], max_tokens: 1 }), { owner })).json()).usage.prompt_tokens_details.cached_tokens;
  await cached('ada', 'The conversation that Ada has with this model goes on.'); // 13 tokens, of 32 bytes
  for (let i = 0; i < 5; i++) await cached('eve', `${i} ${'a '.repeat(20)}`);
  assert(await cached('ada', 'The conversation that Ada has with this model goes on.') > 5);
});

test('when a connection ends, its sessions are freed', async () => {
  const { model, state } = fakeModel();
  const server = await listen(createHandler({ models: { chat: model } }), { host: '127.0.0.1', port: 0 });
  const ada = client(server.port);
  await ada.cached(house(CODE));
  assert.equal(state.sessions.size, 1);
  ada.close();
  await until(() => state.sessions.size === 0);
  await server.close();
});
