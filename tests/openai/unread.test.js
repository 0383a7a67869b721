// Clients that do not read their answers: the engine waits for them, others are answered meanwhile, and
// they are disconnected. An earlier version used 800 MB for two of them.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { listen } from '../../www/lib/node/http.js';
import { createHandler, events, post, until } from './handler.js';
import { answerTo, fakeModel } from '../fake.js';
import { request } from './raw.js';
import { folder, serving } from './server.js';

const text = (prompt, more) => post('/v1/completions', { model: 'story', prompt, max_tokens: 4, seed: 1, ...more });
const LONG = { max_tokens: 400, logprobs: 5, stream: true };

/** @param {object} [limits] */
function setUp(limits) {
  const fake = fakeModel();
  return { ...fake, handler: createHandler({ models: { story: fake.model }, bufferBytesMax: 4_096, ...limits }) };
}

const tokens = ({ log }) => log.filter(({ what }) => what === 'token').length;
const settled = async (count) => {
  for (let last = -1; last !== count(); ) {
    last = count();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return count();
};

test('the engine pauses for a client that does not read, and continues when it does', async () => {
  const { handler, state } = setUp();
  const response = await handler(text('Unread ', LONG));
  const computed = await settled(() => tokens(state));
  assert(computed < 40, `${computed} tokens`); // 4 KiB hold ten of them
  const all = await events(response);
  assert.equal(all.at(-1), '[DONE]');
  assert.equal(all.slice(0, -1).map(({ choices }) => choices[0].text).join(''), answerTo('Unread ', 1, 400));
});

test('others are answered while one client does not read, and it gets its whole answer in the end', async () => {
  const { handler, state } = setUp();
  const unread = [await handler(text('First ', LONG)), await handler(text('Second ', LONG))];
  for (let i = 0; i < 5; i++) {
    const { choices } = await (await handler(text(`Story ${i} `))).json();
    assert.equal(choices[0].text, answerTo(`Story ${i} `, 1, 4));
  }
  assert(tokens(state) < 100);
  for (const [i, prompt] of ['First ', 'Second '].entries()) {
    assert.equal((await events(unread[i])).slice(0, -1).map(({ choices }) => choices[0].text).join(''), answerTo(prompt, 1, 400));
  }
  assert.equal(state.computing, 0);
});

test('a client that reads nothing for a time is disconnected, and its run ends', async () => {
  const { handler, state } = setUp({ stallMs: 300 });
  const response = await handler(text('Unread ', LONG));
  await until(() => state.computing === 0);
  assert.equal(state.log.at(-1).what, 'abort');
  await assert.rejects(response.text());
});

test('a client that reads slowly is not disconnected', async () => {
  const { handler } = setUp({ stallMs: 300 });
  const reader = (await handler(text('Slow ', { ...LONG, max_tokens: 40 }))).body.getReader();
  let bytes = 0;
  for (let i = 0; ; i++) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    if (i < 5) await new Promise((resolve) => setTimeout(resolve, 200));
  }
  assert(bytes > 10_000);
});

test('each client that does not read has one session, and their number is limited', async () => {
  const { handler, state } = setUp({ sessionsMax: 3 });
  const unread = [];
  for (let i = 0; i < 6; i++) unread.push(await handler(text(`Unread ${i} `, LONG)));
  await until(() => state.computing <= 3);
  assert(state.sessions.size <= 4);
  // The last ones are still there.
  assert.equal((await events(unread[5])).at(-1), '[DONE]');
  await assert.rejects(unread[0].text());
});

test('a long non-streamed answer is sent as fast as it is read, and cut off if it is not read', async () => {
  const { handler, state } = setUp({ stallMs: 300 });
  const asked = { ...LONG, stream: false };
  const whole = await (await handler(text('Whole ', asked))).json();
  assert.equal(whole.choices[0].text, answerTo('Whole ', 1, 400));
  const response = await handler(text('Whole ', asked));
  assert.equal(state.computing, 0);
  await new Promise((resolve) => setTimeout(resolve, 900));
  await assert.rejects(response.text());
});

test('closing ends runs that wait for their client', async () => {
  const { handler, state } = setUp();
  await handler(text('Unread ', LONG));
  await settled(() => tokens(state));
  await handler.close();
  await until(() => state.computing === 0);
  assert.equal(state.sessions.size, 0);
});

test('a socket whose client reads nothing is closed', async (context) => {
  const { handler, state } = setUp({ stallMs: 500 });
  const server = await listen(handler, { host: '127.0.0.1', port: 0 });
  context.after(() => server.close());
  // About 20 MB, of which the kernel buffers four.
  const asked = { model: 'story', messages: [{ role: 'user', content: 'Unread' }], n: 16, max_tokens: 500, logprobs: true, top_logprobs: 20, stream: true };
  const body = JSON.stringify(asked);
  const socket = connect({ port: server.port, host: '127.0.0.1' }).on('error', () => {}).pause();
  socket.write(request('POST /v1/chat/completions HTTP/1.1', { Host: `localhost:${server.port}`, 'Content-Type': 'application/json', 'Content-Length': String(body.length) }, body));
  await until(() => state.log.some(({ what }) => what === 'abort'));
  assert.equal(state.log.at(-1).what, 'abort');
  socket.destroy();
});

const memory = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

test('two sockets that are never read cost a server little memory, and a normal client is answered', { skip: process.platform !== 'linux' && 'reads /proc' }, async (context) => {
  const server = await serving(['--model', folder('chat'), '--threads', '1']);
  const { host, port } = new URL(server.url);
  const sockets = [];
  try {
    const ask = (more) => fetch(`${server.url}/chat/completions`, { method: 'POST', body: JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: 'Hello!' }], ...more }), headers: { 'Content-Type': 'application/json' } });
    await (await ask({ max_tokens: 4 })).text();
    const before = memory(server.child.pid);
    let most = before;
    for (let i = 0; i < 2; i++) {
      const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: `Hello ${i}!` }], n: 16, max_tokens: 900, min_tokens: 900, temperature: 1, logprobs: true, top_logprobs: 20, stream: true });
      const socket = connect({ port: Number(port), host: '127.0.0.1' }).on('error', () => {}).pause();
      socket.write(request('POST /v1/chat/completions HTTP/1.1', { Host: host, 'Content-Type': 'application/json', 'Content-Length': String(body.length) }, body));
      sockets.push(socket);
    }
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      most = Math.max(most, memory(server.child.pid));
    }
    assert.equal((await ask({ max_tokens: 4 })).status, 200, server.errors);
    most = Math.max(most, memory(server.child.pid));
    context.diagnostic(`${Math.round(before)} MB before, ${Math.round(most)} MB at most`);
    assert(most - before < 120, `${Math.round(before)} MB before, ${Math.round(most)} MB at most`);
  } catch (error) {
    throw new Error(`${error.cause ?? error}\n${server.errors}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    await server.stop();
  }
});
