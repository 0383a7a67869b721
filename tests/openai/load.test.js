// A hundred clients at once, with the bundled models: no answer is lost, mixed up or repeated, and each is
// the one that the engine gives on its own.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Model } from '../../www/lib/node/index.js';
import { folder, serving } from './server.js';

const [CLIENTS, REQUESTS] = [100, 10];

const OPENINGS = ['Once upon a time', 'One day, a little fox', 'In the forest there was', 'Tom had a red boat', 'The sun was warm'];
const SAYINGS = ['Hello!', 'My name is Ada.', 'What can you do?', 'Tell me about the sea.', 'I like apples.'];

/** The `k`th request of client `i`: texts and chats, streamed or not, all different by their seeds. */
function wish(i, k) {
  const common = { max_tokens: 8, temperature: 1, seed: 1000 * i + k };
  return (i + k) % 3 === 0
    ? { model: 'chat', messages: [{ role: 'user', content: SAYINGS[k % 5] }, { role: 'assistant', content: `I see, ${i % 10}.` }, { role: 'user', content: SAYINGS[i % 5] }], ...common }
    : { model: 'story', prompt: `${OPENINGS[i % 5]} ${OPENINGS[k % 5]}`, ...common };
}

/** Answers each request with a new session, one after another. */
async function alone(models, { model, messages, prompt, max_tokens: maxTokens, temperature, seed }) {
  const session = models[model].session();
  const options = { maxTokens, temperature, seed };
  const { text } = await (messages ? session.chat(messages, options) : session.generate(prompt, options));
  session.dispose();
  return text;
}

/** @param {OpenAI} client */
async function ask(client, asked, stream) {
  if (asked.messages) {
    if (!stream) return (await client.chat.completions.create(asked)).choices[0].message.content;
    let text = '';
    for await (const { choices } of await client.chat.completions.create({ ...asked, stream })) text += choices[0].delta.content ?? '';
    return text;
  }
  if (!stream) return (await client.completions.create(asked)).choices[0].text;
  let text = '';
  for await (const { choices } of await client.completions.create({ ...asked, stream })) text += choices[0].text;
  return text;
}

const models = {};
const expected = new Map();
before(async () => {
  for (const id of ['chat', 'story']) models[id] = await Model.load(folder(id), { threads: 1 });
  for (let i = 0; i < CLIENTS; i++) for (let k = 0; k < REQUESTS; k++) expected.set(`${i} ${k}`, await alone(models, wish(i, k)));
});
after(() => Object.values(models).forEach((model) => model.dispose()));

for (const [concurrency, threads] of [[1, 1], [3, 1], [1, 2]]) {
  test(`${CLIENTS} clients send ${REQUESTS} requests each, ${concurrency} answered at a time by ${threads} ${threads === 1 ? 'thread' : 'threads'}`, async () => {
    const server = await serving(['--model', folder('chat'), '--model', folder('story'), '--threads', String(threads), '--queue', '200', '--concurrency', String(concurrency)]);
    try {
      let answers = 0;
      await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
        const client = new OpenAI({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
        for (let k = 0; k < REQUESTS; k++) {
          assert.equal(await ask(client, wish(i, k), (i + k) % 2 === 0), expected.get(`${i} ${k}`), `client ${i}, request ${k}`);
          answers++;
        }
      }));
      assert.equal(answers, CLIENTS * REQUESTS);
      const health = await (await fetch(server.url.replace('/v1', '/health'))).json();
      assert.deepEqual([health.running, health.queue.length], [0, 0]);
    } finally {
      assert.equal(await server.stop(), 0);
    }
  });
}

test('clients that disconnect at any time change no other answer and leave nothing behind', async () => {
  const server = await serving(['--model', folder('chat'), '--model', folder('story'), '--threads', '1', '--queue', '200', '--concurrency', '2']);
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  try {
    let [told, left] = [0, 0];
    await Promise.all(Array.from({ length: 40 }, async (_, i) => {
      const client = new OpenAI({ baseURL: server.url, apiKey: 'none', maxRetries: 0 });
      for (let k = 0; k < 5; k++) {
        const asked = wish(i, k);
        if (i % 2) {
          const text = await ask(client, asked, k % 2 === 0);
          assert.equal(text, expected.get(`${i} ${k}`), `client ${i}, request ${k}`);
          told++;
          continue;
        }
        const path = asked.messages ? 'chat/completions' : 'completions';
        const body = JSON.stringify({ ...asked, max_tokens: 300, min_tokens: 300, stream: k % 2 === 0 });
        const response = fetch(`${server.url}/${path}`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' }, signal: AbortSignal.timeout(Math.round(random() * 80)) });
        await response.then((response) => response.text()).catch(() => left++);
      }
    }));
    assert.equal(told, 100);
    assert(left > 50, `${left} left`);
    const health = await (await fetch(server.url.replace('/v1', '/health'))).json();
    assert.deepEqual([health.running, health.queue.length], [0, 0]);
  } finally {
    assert.equal(await server.stop(), 0);
  }
});

test('a small queue refuses at once with 429, and clients that retry all get their answer', async () => {
  const server = await serving(['--model', folder('story'), '--threads', '1', '--queue', '2']);
  try {
    const asked = { model: 'story', prompt: 'Once upon a time', max_tokens: 400, min_tokens: 400, temperature: 1, n: 3 };
    const statuses = [];
    const body = (seed) => JSON.stringify({ ...asked, seed });
    const times = await Promise.all(Array.from({ length: 20 }, async (_, seed) => {
      const begin = performance.now();
      const response = await fetch(`${server.url}/completions`, { method: 'POST', body: body(seed), headers: { 'Content-Type': 'application/json' } });
      const ms = performance.now() - begin;
      await response.text();
      statuses.push(response.status);
      if (response.status === 429) assert.match(response.headers.get('retry-after'), /^[1-9]\d?$/);
      return { status: response.status, ms };
    }));
    assert.equal(statuses.filter((status) => status === 200).length, 3);
    assert.equal(statuses.filter((status) => status === 429).length, 17);
    const slowest = Math.max(...times.filter(({ status }) => status === 200).map(({ ms }) => ms));
    assert(times.every(({ status, ms }) => status === 200 || ms < slowest), 'no refused client waited');

    const texts = await Promise.all(Array.from({ length: 8 }, async (_, seed) => {
      const client = new OpenAI({ baseURL: server.url, apiKey: 'none', maxRetries: 20 });
      return (await client.completions.create({ ...asked, n: 1, max_tokens: 20, min_tokens: 0, seed })).choices[0].text;
    }));
    for (const [seed, text] of texts.entries()) assert.equal(text, await alone(models, { ...asked, max_tokens: 20, seed }));
  } finally {
    assert.equal(await server.stop(), 0);
  }
});
