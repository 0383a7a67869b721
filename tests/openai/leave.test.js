// Clients that disconnect, and a server that is told to stop, measured at the engine with a model that
// records the start and end of its runs.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Model } from '../../www/lib/node/index.js';
import { listen } from '../../www/lib/node/http.js';
import { createHandler, until } from './handler.js';
import { request } from './raw.js';
import { folder, serving, start } from './server.js';

/** How soon a turn must be free after its client has disconnected. */
const FREE_MS = 250;

let model;
let server;
/** Each run of the engine: when it began, gave its first piece, and ended. */
const runs = [];
before(async () => {
  model = await Model.load(folder('chat'), { threads: 1 });
  server = await listen(createHandler({ models: { chat: watched(model) } }), { host: '127.0.0.1', port: 0 });
  await told('Hello!'); // as `fireside serve` does before it listens
});
after(async () => {
  await server.close();
  model.dispose();
});

/**
 * The model, whose chats are recorded. A chat ends when the engine says so, not when it is told to.
 * @param {Model} model
 */
function watched(model) {
  const wrap = (session) => new Proxy(session, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name === 'clone') return async () => wrap(await target.clone());
      if (name !== 'chat') return value.bind(target);
      return (...args) => {
        const run = target.chat(...args);
        const record = { began: performance.now(), text: JSON.stringify(args[0]) };
        runs.push(record);
        run.then(() => 'done', (error) => error.name).then((how) => Object.assign(record, { ended: performance.now(), how }));
        return run;
      };
    },
  });
  return new Proxy(model, { get: (target, name) => (name === 'session' ? () => wrap(target.session()) : typeof target[name] === 'function' ? target[name].bind(target) : target[name]) });
}

/** A request that takes seconds, on a socket that can be closed. */
function long({ stream, prompt = 'Hello!', tokens = 900 }) {
  const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content: prompt }], max_tokens: tokens, min_tokens: tokens, temperature: 2, stream });
  const socket = connect({ port: server.port, host: '127.0.0.1' });
  const received = { bytes: 0 };
  socket.on('data', (data) => (received.bytes += data.length)).on('error', () => {});
  socket.write(request('POST /v1/chat/completions HTTP/1.1', { Host: `localhost:${server.port}`, 'Content-Type': 'application/json', 'Content-Length': String(body.length) }, body));
  return { socket, received };
}

/** The answer to a short request. */
async function told(content) {
  const body = JSON.stringify({ model: 'chat', messages: [{ role: 'user', content }], max_tokens: 8 });
  const response = await fetch(`http://localhost:${server.port}/v1/chat/completions`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
  return (await response.json()).choices[0].message.content;
}

const running = async () => (await (await fetch(`http://localhost:${server.port}/health`)).json()).running;

for (const [title, ready, settings] of [
  ['while its prompt is read', () => runs.length === 1, { stream: true, prompt: 'Hello there, I have a long story to tell you. '.repeat(40), tokens: 400 }],
  ['before the first word of a whole answer', () => runs.length === 1, { stream: false }],
  ['in the middle of a stream', (received) => received.bytes > 2_000, { stream: true }],
  ['by half closing, then resetting', (received) => received.bytes > 500, { stream: true, reset: true }],
]) {
  // The minimum of three, because other programs on this machine can only add time.
  test(`a client that disconnects ${title} frees its turn within ${FREE_MS} ms`, async (context) => {
    const times = [];
    for (let i = 0; i < 3; i++) {
      runs.length = 0;
      const { socket, received } = long(settings);
      await until(() => ready(received));
      const cut = performance.now();
      if (settings.reset) socket.resetAndDestroy();
      else socket.destroy();
      await until(() => runs[0].ended);
      assert.equal(runs[0].how, 'AbortError');
      times.push(Math.round(runs[0].ended - cut));
      assert.equal(await running(), 0);
      assert.match(await told('Hi'), /\w/);
    }
    context.diagnostic(`${times} ms at the engine`);
    assert(Math.min(...times) < FREE_MS, `${times} ms`);
  });
}

test('a request whose client disconnects in the queue is not computed', async () => {
  runs.length = 0;
  const first = long({ stream: true });
  await until(() => first.received.bytes > 0);
  const second = long({ stream: true, prompt: 'The one who goes.' });
  await until(async () => true);
  await new Promise((resolve) => setTimeout(resolve, 50));
  second.socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  first.socket.destroy();
  await until(() => runs[0].ended);
  const third = long({ stream: true, tokens: 1 });
  await until(() => third.received.bytes > 0);
  assert(!runs.some(({ text }) => text.includes('The one who goes')));
  third.socket.destroy();
});

test('health is 503 when the engine has ended', async () => {
  const lost = await Model.load(folder('story'), { threads: 1 });
  const handler = createHandler({ models: { story: lost } });
  const health = async () => (await handler(new Request('http://localhost/health'))).status;
  assert.equal(await health(), 200);
  lost.dispose();
  assert.equal(await health(), 503);
});

/**
 * Runs in a server before its own code: at SIGUSR2 it prints how many engines were started, and ends them.
 */
const ENDING = `
  import threads from 'node:worker_threads';
  import { syncBuiltinESMExports } from 'node:module';
  const engines = [];
  threads.Worker = class extends threads.Worker {
    constructor(...args) {
      super(...args);
      engines.push(this);
    }
  };
  syncBuiltinESMExports();
  if (threads.isMainThread) process.on('SIGUSR2', () => (console.error(engines.length + ' started'), engines.forEach((engine) => engine.terminate())));
`;

test('a server starts its engine once; after it has ended, health and every request get 503', async () => {
  const program = await serving(['--model', folder('story'), '--threads', '1'], ['--import', `data:text/javascript,${encodeURIComponent(ENDING)}`]);
  const headers = { 'Content-Type': 'application/json' };
  const ask = (more) => fetch(`${program.url}/completions`, { method: 'POST', body: JSON.stringify({ model: 'story', prompt: 'Once upon a time', max_tokens: 4, ...more }), headers });
  const health = async () => (await fetch(program.url.replace('/v1', '/health'))).status;
  try {
    for (let seed = 0; seed < 10; seed++) assert.equal((await ask({ seed })).status, 200);
    assert.equal(await health(), 200);
    const running = await ask({ max_tokens: 500, min_tokens: 500, n: 4, stream: true });
    const waiting = ask();
    await new Promise((resolve) => setTimeout(resolve, 50));
    program.child.kill('SIGUSR2');
    assert.match(await running.text(), /"code":"engine_crashed"}}\n\n$/);
    for (const response of [await waiting, await ask()]) {
      assert.equal(response.status, 503);
      assert.equal((await response.json()).error.code, 'engine_crashed');
    }
    assert.equal(await health(), 503);
    assert.equal(program.errors, '1 started\n');
  } finally {
    assert.equal(await program.stop(), 0);
  }
});

for (const signal of ['SIGINT', 'SIGTERM']) {
  test(`${signal} lets an answer end, then the server exits with 0`, async () => {
    const program = await serving(['--model', folder('story'), '--threads', '1']);
    const body = JSON.stringify({ model: 'story', prompt: 'Once upon a time', max_tokens: 200, min_tokens: 200, stream: true });
    const response = await fetch(`${program.url}/completions`, { method: 'POST', body, headers: { 'Content-Type': 'application/json' } });
    const ended = program.stop(signal);
    assert.match(await response.text(), /data: \[DONE\]\n\n$/);
    assert.equal(await ended, 0, program.errors);
    assert.equal(program.errors, '');
    await assert.rejects(fetch(`${program.url}/models`));
  });
}

test('wrong arguments are reported in a line, and the server exits with 2', async () => {
  for (const [args, said] of [
    [[], /^--model is missing\n\nusage: /],
    [['--model', folder('story'), '--port', '-1'], /--port/],
    [['--model', folder('story'), '--port', '70000'], /^--port must be a whole number from 0 to 65535, not "70000"\n$/],
    [['--model', folder('story'), '--queue', 'many'], /^--queue must be a whole number/],
    [['--model', folder('story'), '--allow-origin', '*'], /^--allow-origin must be a scheme, a host/],
    [['--model', folder('story'), '--allow-origin', 'https://app.example/path'], /^--allow-origin must be a scheme, a host/],
    [['--model', folder('story'), '--allow-origin', 'null'], /^--allow-origin null would let every website in/],
    [['--model', folder('story'), '--max-tokens', '0'], /^--max-tokens must be a whole number/],
    [['--model', folder('story'), '--public-prompt', 'no-such-file'], /^--public-prompt: /],
    [['--model', folder('story'), '--host', ''], /^--host must be an address .*, not ""\n$/],
    [['--model', folder('story'), '--allow-host', ''], /^--allow-host must be a name, .*, not ""\n$/],
    [['--model', folder('story'), '--allow-host', 'https://app.example'], /^--allow-host must be a name/],
    [['--model', folder('story'), '--allow-host', 'app.example/'], /^--allow-host must be a name/],
    [['--model', folder('story'), '--allow-host', 'app.example:70000'], /^--allow-host must be a name/],
    [['--model', folder('story'), '--allow-host', '*'], /^--allow-host must be a name/],
    [['--model', folder('story'), '--model', folder('story')], /^two models would be called story/],
    [['--model', folder('story'), '--wrong'], /--wrong/],
  ]) {
    const program = start(args);
    assert.equal(await program.ended, 2, args.join(' '));
    assert.match(program.errors, said);
    assert(!/\n {4}at /.test(program.errors), 'no stack');
  }
});

test('well-formed hosts are accepted', async () => {
  for (const args of [['--host', 'localhost'], ['--allow-host', 'app.example', '--allow-host', 'app.example:8443', '--allow-host', '[::1]:80']]) {
    const program = start([...args, '--model', folder('none')]);
    assert.equal(await program.ended, 1); // because there is no such model
    assert.match(program.errors, /^source: /);
  }
});

test('an invalid model and a port in use are reported in a line, and the server exits with 1', async () => {
  const none = start(['--model', folder('none')]);
  assert.equal(await none.ended, 1);
  assert.match(none.errors, /^source: .*none"\.\n$/);
  const other = createServer().listen(0, '127.0.0.1');
  await until(() => other.listening);
  const { port } = other.address();
  const taken = start(['--model', folder('story'), '--threads', '1', '--port', String(port)]);
  assert.equal(await taken.ended, 1);
  assert.equal(taken.errors, `port ${port} is in use: choose another by --port, or any free one by --port 0\n`);
  other.close();
});

test('--help lists the options', async () => {
  const program = start(['--help']);
  assert.equal(await program.ended, 0);
  for (const option of ['--model', '--port', '--host', '--threads', '--dtype', '--queue', '--allow-origin', '--allow-host', '--api-key']) assert(program.output.includes(option));
});
