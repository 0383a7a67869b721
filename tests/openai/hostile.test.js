// The server against malicious or faulty clients: each request by hand, with the status that it gets. After
// each of them the server answers as before.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { listen } from '../../www/lib/node/http.js';
import { refusals } from '../../www/lib/node/refusals.js';
import { createHandler, until } from './handler.js';
import { fakeModel } from '../fake.js';
import { raw, request } from './raw.js';

const BODY = JSON.stringify({ model: 'story', prompt: 'The fox ', max_tokens: 3 });
const CLOSED = 'closed';

/** A tenth of the real limits, so that the tests need not wait. */
const LIMITS = { headersTimeout: 1_000, requestTimeout: 2_000, connectionsCheckingInterval: 100 };

let server;
let model;
let port;
before(async () => {
  model = fakeModel();
  server = await listen(createHandler({ models: { story: model.model } }), { host: '127.0.0.1', port: 0, limits: LIMITS, allowOrigins: ['https://app.example'], allowHosts: ['proxy.example'] });
  ({ port } = server);
});
after(() => server.close());

const own = () => `localhost:${port}`;
const getRow = (path, headers = {}, version = '1.1') => () => [request(`GET ${path} HTTP/${version}`, { Host: own(), Connection: 'close', ...headers })];
const json = (body, headers = {}) => ({ Host: own(), 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)), Connection: 'close', ...headers });
const postRow = (body = BODY, headers = {}, path = '/v1/completions') => () => [request(`POST ${path} HTTP/1.1`, json(body, headers), body)];
const chunked = (chunks, headers = {}) => () => [request('POST /v1/completions HTTP/1.1', { ...json(''), 'Content-Length': undefined, 'Transfer-Encoding': 'chunked', ...headers }), ...chunks];
const numbers = (more) => postRow(`${BODY.slice(0, -1)},${more}}`);
const MEGABYTE = 'a'.repeat(2 ** 20);
const TEN = [...Array(10)].map(() => MEGABYTE);

/**
 * What the request is, its bytes, the expected status or statuses; `closed`: no response, and the
 * connection ends.
 */
const ROWS = [
  ['an ordinary request', postRow(), 200],
  ['an ordinary request to the address', postRow(BODY, { Host: undefined }), 400],
  ['a Host of 127.0.0.1', () => getRow('/v1/models', { Host: `127.0.0.1:${port}` })(), 200],
  ['a Host of [::1]', () => getRow('/v1/models', { Host: `[::1]:${port}` })(), 200],
  ['a Host in capitals', () => getRow('/v1/models', { Host: `LOCALHOST:${port}` })(), 200],
  ['the Host of a proxy', getRow('/v1/models', { Host: 'proxy.example' }), 200],
  // DNS rebinding: somebody else's name that points here.
  ['a Host with another name', () => getRow('/v1/models', { Host: `evil.example:${port}` })(), 403],
  ['a Host that begins like ours', () => getRow('/v1/models', { Host: `localhost.evil.example:${port}` })(), 403],
  ['a Host that ends like ours', () => getRow('/v1/models', { Host: `evillocalhost:${port}` })(), 403],
  ['a Host with a user', () => getRow('/v1/models', { Host: `localhost:${port}@evil.example` })(), 403],
  ['a Host with another address', () => getRow('/v1/models', { Host: `192.168.0.1:${port}` })(), 403],
  ['the Host 0.0.0.0', () => getRow('/v1/models', { Host: `0.0.0.0:${port}` })(), 403],
  ['a Host without its port', getRow('/v1/models', { Host: 'localhost' }), 403],
  ['a Host with another port', getRow('/v1/models', { Host: 'localhost:1' }), 403],
  ['a Host with a dot at its end', () => getRow('/v1/models', { Host: `localhost.:${port}` })(), 403],
  ['two Hosts', () => [request('GET /v1/models HTTP/1.1', { Host: [own(), 'evil.example'], Connection: 'close' })], 400],
  ['an empty Host', getRow('/v1/models', { Host: '' }), 403],
  ['HTTP/1.0 without Host', getRow('/v1/models', { Host: undefined }, '1.0'), 403],
  ['HTTP/1.0 with Host', getRow('/v1/models', {}, '1.0'), 200],
  ['HTTP/1.1 without Host', getRow('/v1/models', { Host: undefined }), 400],
  ['HTTP/0.9', () => ['GET /v1/models\r\n\r\n'], 403],
  ['the preface of HTTP/2.0', () => ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'], 400],
  // Pages.
  ['our own Origin', () => postRow(BODY, { Origin: `http://${own()}` })(), 200],
  ['an Origin that is allowed', postRow(BODY, { Origin: 'https://app.example' }), 200],
  ['a foreign Origin', postRow(BODY, { Origin: 'https://evil.example' }), 403],
  ['an Origin that begins like an allowed one', postRow(BODY, { Origin: 'https://app.example.evil.example' }), 403],
  ['an allowed Origin with another scheme', postRow(BODY, { Origin: 'http://app.example' }), 403],
  ['an Origin of this machine at another port', postRow(BODY, { Origin: 'http://localhost:1' }), 403],
  ['the Origin null', postRow(BODY, { Origin: 'null' }), 403],
  ['a foreign Origin that only reads', getRow('/v1/models', { Origin: 'https://evil.example' }), 403],
  ['a script element of a foreign page', getRow('/v1/models', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' }), 403],
  ['a script of a page at another port', getRow('/v1/models', { 'Sec-Fetch-Site': 'same-site', 'Sec-Fetch-Mode': 'no-cors' }), 403],
  ['a link of a foreign page', getRow('/v1/models', { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate' }), 200],
  ['a preflight of a foreign page', () => [request('OPTIONS /v1/completions HTTP/1.1', { Host: own(), Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST', Connection: 'close' })], 403],
  ['a preflight of an allowed page', () => [request('OPTIONS /v1/completions HTTP/1.1', { Host: own(), Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST', Connection: 'close' })], 204],
  ['OPTIONS that is not a preflight', () => [request('OPTIONS /v1/completions HTTP/1.1', { Host: own(), Connection: 'close' })], 405],
  ['JSON as text/plain', postRow(BODY, { 'Content-Type': 'text/plain' }), 415],
  ['JSON as a form', postRow(BODY, { 'Content-Type': 'application/x-www-form-urlencoded' }), 415],
  ['JSON without a type', postRow(BODY, { 'Content-Type': undefined }), 415],
  // Numbers.
  ['a negative number of tokens', postRow(BODY.replace('3}', '-3}')), 400],
  ['no tokens', postRow(BODY.replace('3}', '0}')), 400],
  ['NaN', numbers('"temperature":NaN'), 400],
  ['infinity', numbers('"temperature":1e999'), 400],
  ['a negative temperature', numbers('"temperature":-1'), 400],
  ['a huge number of answers', numbers('"n":1000000'), 400],
  ['a negative n', numbers('"n":-1'), 400],
  ['a huge number of tokens', postRow(BODY.replace('3}', '99999999999999999999}')), 400],
  ['a number with 100,000 digits', postRow(BODY.replace('3}', `1${'0'.repeat(100_000)}}`)), 400],
  // Bodies.
  ['an empty body', postRow(''), 400],
  ['10 MiB with a length', () => [request('POST /v1/completions HTTP/1.1', json('', { 'Content-Length': String(10 * 2 ** 20) })), ...TEN], 413],
  ['10 MiB in chunks', chunked([...TEN.map((part) => `${part.length.toString(16)}\r\n${part}\r\n`), '0\r\n\r\n']), 413],
  ['a length of 10 MiB without a body', () => [request('POST /v1/completions HTTP/1.1', json('', { 'Content-Length': String(10 * 2 ** 20) }))], 413],
  ['a length of 2 to the 64', postRow(BODY, { 'Content-Length': '18446744073709551616' }), 400],
  ['a negative length', postRow(BODY, { 'Content-Length': '-1' }), 400],
  ['two lengths', postRow(BODY, { 'Content-Length': [String(BODY.length), '3'] }), 400],
  ['a length and chunks', postRow(BODY, { 'Transfer-Encoding': 'chunked' }), 400],
  ['a body that ends early', () => [[...postRow(BODY, { 'Content-Length': '500' })()].join('')], 408],
  ['chunks that are garbage', chunked(['zz\r\nhello\r\n0\r\n\r\n']), 400],
  ['a chunk longer than it says', chunked(['3\r\nabcdef\r\n0\r\n\r\n']), 400],
  ['an unknown transfer coding', chunked(['0\r\n\r\n'], { 'Transfer-Encoding': 'gzip, chunked, foo' }), 400],
  ['a gzipped body', postRow(BODY, { 'Content-Encoding': 'gzip' }), 415],
  ['JSON with a hundred thousand levels', postRow(`{"model":"story","prompt":${'['.repeat(100_000)}${']'.repeat(100_000)}}`), 400],
  ['JSON that never closes', postRow('{"a":'.repeat(100_000)), 400],
  ['a repeated name', postRow(BODY.replace('"max_tokens":3', '"max_tokens":3,"max_tokens":-3')), 400],
  ['__proto__ as a name', postRow(BODY.replace('{', '{"__proto__":{"stream":true},')), 400],
  ['constructor as a name', postRow(BODY.replace('{', '{"constructor":{"prototype":1},')), 400],
  ['__proto__ as a model', postRow(BODY.replace('story', '__proto__')), 404],
  ['toString as a model', postRow(BODY.replace('story', 'toString')), 404],
  ['a NUL in the prompt', postRow(BODY.replace('fox', 'f\\u0000x')), 200],
  ['half a surrogate in the prompt', postRow(BODY.replace('fox', 'f\\ud800x')), 200],
  ['bytes that are not UTF-8', () => [Buffer.concat([Buffer.from(request('POST /v1/completions HTTP/1.1', json('123'))), Buffer.from([0xff, 0xfe, 0x7d])])], 400],
  ['a prompt of a million spaces', postRow(BODY.replace('The fox ', ' '.repeat(1_000_000))), 400],
  // Heads and paths.
  ['a header of 64 KiB', getRow('/v1/models', { Cookie: 'a'.repeat(65_536) }), 431],
  ['five thousand headers', () => [request('GET /v1/models HTTP/1.1', { Host: own(), ...Object.fromEntries([...Array(5_000).keys()].map((i) => [`X-${i}`, 'a'])) })], 431],
  ['a path of 64 KiB', getRow(`/${'a'.repeat(65_536)}`), 431],
  ['a header that continues on the next line', getRow('/v1/models', { 'X-A': 'b\r\n c' }), 400],
  ['a header with a bare CR', getRow('/v1/models', { 'X-A': 'b\rc' }), 400],
  ['a header without a name', () => [`GET /v1/models HTTP/1.1\r\nHost: ${own()}\r\n: x\r\n\r\n`], 400],
  ['a path with dots', getRow('/../../../etc/passwd'), 404],
  ['a path with encoded dots', getRow('/v1/models/..%2f..%2f..%2fetc%2fpasswd'), 404],
  ['a path with dots that ends inside', getRow('/v1/../health'), 200],
  ['a path with backslashes', getRow('/v1\\..\\..\\etc'), 400],
  ['a path with a NUL', getRow('/v1/models/%00'), 404],
  ['a path that is wrongly encoded', getRow('/v1/models/%E0%A4%A'), 404],
  ['a target that is a whole URL', getRow('http://evil.example/v1/models'), 400],
  ['a target that is an asterisk', () => [request('OPTIONS * HTTP/1.1', { Host: own() })], 400],
  ['two slashes and a name', getRow('//evil.example/v1/models'), 404],
  ['CONNECT', () => [request('CONNECT evil.example:443 HTTP/1.1', { Host: own() })], CLOSED],
  ['TRACE', () => [request('TRACE /v1/models HTTP/1.1', { Host: own(), Connection: 'close' })], 405],
  ['an unknown method', () => [request('FOO /v1/models HTTP/1.1', { Host: own() })], 400],
  ['an upgrade to a WebSocket', getRow('/v1/models', { Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': 'AAAAAAAAAAAAAAAAAAAAAA==', 'Sec-WebSocket-Version': '13' }), 200],
  ['an upgrade from a foreign page', getRow('/v1/models', { Upgrade: 'websocket', Connection: 'Upgrade', Origin: 'https://evil.example' }), 403],
  ['TLS', () => [Buffer.from('160301020001000001fc0303', 'hex')], 400],
  ['meaningless bytes', () => [Buffer.from([...Array(512).keys()].map((i) => (i * 73) % 256))], 400],
  ['three requests at once', () => [[1, 2, 3].map((i) => request('GET /v1/models HTTP/1.1', { Host: own(), Connection: i === 3 ? 'close' : 'keep-alive' })).join('')], [200, 200, 200]],
  ['a bad request after a good one', () => [request('GET /v1/models HTTP/1.1', { Host: own() }) + request('GET /v1/models HTTP/1.1', { Host: 'evil.example' })], [200, 403]],
  ['a request hidden in a body', () => [request('POST /v1/completions HTTP/1.1', json(request('GET /health HTTP/1.1', { Host: own() })), request('GET /health HTTP/1.1', { Host: own() }))], 400],
  ['a head that never ends', () => [`GET /v1/models HTTP/1.1\r\nHost: ${own()}\r\n`], 408],
  ['a body that never comes', () => [request('POST /v1/completions HTTP/1.1', json(BODY))], 408],
];

for (const [title, bytes, expected] of ROWS) {
  test(`${title}: ${[expected].flat().join(', ')}`, async () => {
    const { statuses, text, closed } = await raw(port, bytes(), { patienceMs: 10_000 });
    if (expected === CLOSED) assert.deepEqual([statuses, closed], [[], true]);
    else assert.deepEqual(statuses, [expected].flat(), text.slice(0, 500));
    assert(!/evil/.test(text.split('\r\n\r\n')[0]), 'no response head contains their text');
    assert(!/Access-Control-Allow-Origin: \*/i.test(text));
    const good = await fetch(`http://localhost:${port}/v1/completions`, { method: 'POST', body: BODY, headers: { 'Content-Type': 'application/json' } });
    assert.equal(good.status, 200);
    await good.text();
  });
}

test('the origins of extensions and apps are allowed as browsers send them, and no others with their scheme', async (context) => {
  const origins = ['chrome-extension://abcdefghijklmnopabcdefghijklmnop', 'moz-extension://1b2c3d4e-0000-4000-8000-0123456789ab', 'app://obsidian.md', 'tauri://localhost', 'capacitor://localhost', 'ionic://localhost', 'vscode-webview://x', 'http://x', 'http://x:8080'];
  const refused = [];
  const apps = await listen(createHandler({ models: { story: fakeModel().model } }), { host: '127.0.0.1', port: 0, allowOrigins: origins.map((origin, i) => (i % 2 ? origin : `${origin}/`)), refused: (...args) => refused.push(args) });
  context.after(() => apps.close());
  const answer = (origin) => raw(apps.port, [request('GET /v1/models HTTP/1.1', { Host: `localhost:${apps.port}`, Origin: origin, Connection: 'close' })]);
  for (const origin of origins) {
    const { statuses, text } = await answer(origin);
    assert.deepEqual(statuses, [200], origin);
    assert(text.toLowerCase().includes(`access-control-allow-origin: ${origin}\r\n`), text);
  }
  assert.equal(refused.length, 0);
  for (const origin of ['chrome-extension://bbcdefghijklmnopabcdefghijklmnop', 'app://localhost', 'tauri://obsidian.md', 'https://x', 'null', 'file://']) {
    assert.deepEqual((await answer(origin)).statuses, [403], origin);
  }
  assert.deepEqual(refused.map(([status]) => status), [403, 403, 403, 403, 403, 403]);
  assert.match(refused[0][1], /Start it with --allow-origin chrome-extension:\/\/bbcdefghijklmnopabcdefghijklmnop to let it/);
});

test('refusals are printed with a rate limit and without control characters', () => {
  const lines = [];
  const tell = refusals((line) => lines.push(line));
  tell(403, 'Not you.', { method: 'GET', url: `/\u001b[2J${'a'.repeat(500)}`, headers: { origin: 'https://evil.example\n200 OK' } });
  assert.match(lines[0], /^403 GET \/\?\[2Ja{100,120}\.\.\. from https:\/\/evil\.example\?200 OK: Not you\.$/);
  for (let i = 0; i < 1_000; i++) tell(404, 'Nothing.', {});
  assert(lines.length <= 25, `${lines.length}`);
});

test('only an allowed page is told that it may read', async () => {
  const allowed = await raw(port, postRow(BODY, { Origin: 'https://app.example' })());
  assert.match(allowed.text, /Access-Control-Allow-Origin: https:\/\/app\.example\r\n/i);
  assert.match(allowed.text, /Vary: Origin\r\n/i);
  const refused = await raw(port, postRow(BODY, { Origin: 'https://evil.example' })());
  assert(!/access-control/i.test(refused.text));
});

test('no request of a forbidden page reaches the engine', async () => {
  const seen = model.state.log.length;
  for (const headers of [{ Origin: 'https://evil.example' }, { Host: `evil.example:${port}` }, { 'Content-Type': 'text/plain' }, { Origin: 'null' }]) await raw(port, postRow(BODY, headers)());
  assert.equal(model.state.log.length, seen);
});

test('five hundred slow sockets do not delay a normal client, and are closed', async (context) => {
  const slow = [...Array(500)].map((_, i) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    // Sends a byte now and then, as clients do that keep a server waiting.
    const part = i % 2 ? `GET /v1/models HTTP/1.1\r\nHost: ${own()}\r\nX-A: ` : request('POST /v1/completions HTTP/1.1', json('', { 'Content-Length': '1000' }));
    socket.on('connect', () => socket.write(part));
    const drip = setInterval(() => socket.writable && socket.write('a'), 100);
    context.after(() => (clearInterval(drip), socket.destroy()));
    return socket;
  });
  await until(() => slow.every((socket) => !socket.connecting));
  const times = [];
  for (let i = 0; i < 10; i++) {
    const begin = performance.now();
    const response = await fetch(`http://localhost:${port}/v1/completions`, { method: 'POST', body: BODY, headers: { 'Content-Type': 'application/json' } });
    assert.equal(response.status, 200);
    await response.text();
    times.push(performance.now() - begin);
  }
  assert(times.sort((a, b) => a - b)[5] < 1_000, `${times.map(Math.round)} ms`);
  await until(() => slow.every((socket) => socket.destroyed || socket.readableEnded));
});

test('the number of connections is limited, and closed ones make room', async (context) => {
  const small = await listen(createHandler({ models: { story: fakeModel().model } }), { host: '127.0.0.1', port: 0, limits: { ...LIMITS, connectionsMax: 4 } });
  context.after(() => small.close());
  const idle = [...Array(4)].map(() => connect({ port: small.port, host: '127.0.0.1' }).on('error', () => {}));
  context.after(() => idle.forEach((socket) => socket.destroy()));
  await until(() => idle.every(({ connecting }) => !connecting));
  await new Promise((resolve) => setTimeout(resolve, 50));
  const head = request('GET /v1/models HTTP/1.1', { Host: `localhost:${small.port}`, Connection: 'close' });
  assert.deepEqual((await raw(small.port, [head])).statuses, []);
  for (const socket of idle) socket.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual((await raw(small.port, [head])).statuses, [200]);
});

test('a server on all addresses accepts itself by address only, and by the names given to it', async (context) => {
  const wide = await listen(createHandler({ models: { story: fakeModel().model } }), { host: '0.0.0.0', port: 0, allowHosts: ['fireside.example'] });
  context.after(() => wide.close());
  const status = async (host) => (await raw(wide.port, [request('GET /v1/models HTTP/1.1', { Host: host, Connection: 'close' })])).statuses[0];
  for (const host of ['127.0.0.1', '192.168.1.7', '[::1]', 'localhost']) assert.equal(await status(`${host}:${wide.port}`), 200, host);
  assert.equal(await status('fireside.example'), 200);
  for (const host of ['evil.example', '192.168.1.7.evil.example', '192.168.1', '0x7f.1']) assert.equal(await status(`${host}:${wide.port}`), 403, host);
  assert.equal(await status('192.168.1.7:1'), 403);
});

test('an allowed page is told that its key is wrong', async (context) => {
  const keyed = await listen(createHandler({ models: { story: fakeModel().model } }), { host: '127.0.0.1', port: 0, apiKey: 'secret', allowOrigins: ['https://app.example'] });
  context.after(() => keyed.close());
  const ask = async (origin) => (await raw(keyed.port, [request('GET /v1/models HTTP/1.1', { Host: `localhost:${keyed.port}`, Origin: origin, Connection: 'close' })])).text;
  assert.match(await ask('https://app.example'), /^HTTP\/1\.1 401 [^]*Access-Control-Allow-Origin: https:\/\/app\.example\r\n/i);
  assert.doesNotMatch(await ask('https://evil.example'), /access-control/i);
});

test('a client that pipelines too many requests is disconnected, and its run ends', async () => {
  const slow = fakeModel({ tokenMs: 20 });
  const other = await listen(createHandler({ models: { story: slow.model } }), { host: '127.0.0.1', port: 0 });
  const long = BODY.replace('3}', '500}');
  const headers = { Host: `localhost:${other.port}`, 'Content-Type': 'application/json', 'Content-Length': String(long.length) };
  const more = request('GET /v1/models HTTP/1.1', { Host: headers.Host });
  for (const count of [8, 5_000]) {
    const { closed, statuses } = await raw(other.port, [request('POST /v1/completions HTTP/1.1', headers, long) + more.repeat(count)], { patienceMs: 10_000 });
    assert.deepEqual([closed, statuses], [true, []]);
    await until(() => slow.state.computing === 0);
  }
  // As many as allowed, from a client that disconnects.
  const socket = connect({ port: other.port, host: '127.0.0.1' }).on('error', () => {});
  socket.write(request('POST /v1/completions HTTP/1.1', headers, long) + more.repeat(7));
  await until(() => slow.state.computing === 1);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(slow.state.computing, 1);
  socket.destroy();
  const left = performance.now();
  await until(() => slow.state.computing === 0);
  assert(performance.now() - left < 1_000);
  await other.close();
});

test('a kept connection may send any number of requests, one after another', async () => {
  const socket = connect({ port, host: '127.0.0.1' });
  let text = '';
  socket.setEncoding('latin1').on('data', (data) => (text += data));
  for (let i = 1; i <= 20; i++) {
    socket.write(request('GET /v1/models HTTP/1.1', { Host: own() }));
    await until(() => text.split('HTTP/1.1 200 ').length === i + 1 && text.endsWith('}'));
  }
  socket.destroy();
});

test('a key is required if there is one, but not for health', async (context) => {
  const keyed = await listen(createHandler({ models: { story: fakeModel().model } }), { host: '127.0.0.1', port: 0, apiKey: 'secret' });
  context.after(() => keyed.close());
  const status = async (path, authorization) => {
    const response = await fetch(`http://localhost:${keyed.port}${path}`, { headers: authorization ? { authorization } : {} });
    const body = await response.json();
    return [response.status, body.error?.code ?? null];
  };
  assert.deepEqual(await status('/v1/models'), [401, 'invalid_api_key']);
  assert.deepEqual(await status('/v1/models', 'Bearer wrong'), [401, 'invalid_api_key']);
  assert.deepEqual(await status('/v1/models', 'Basic secret'), [401, 'invalid_api_key']);
  assert.deepEqual(await status('/v1/models', 'Bearer secret'), [200, null]);
  assert.deepEqual(await status('/health'), [200, null]);
});
