// Servers that do not respond, and bodies that stall or never end. Every wait of a load has an end, and
// every small file has a limit. `stallMs` is a minute where a cached model must not wait for it, and each
// test has a limit of seconds.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';

import { estimate } from '../../www/lib/client/estimate.js';
import { load } from '../../www/lib/client/load.js';
import { BYTES_MAX } from '../../www/lib/client/names.js';
import { Disk } from './disk.js';
import { fakePlatform } from './fake.js';

const MINUTE = { stallMs: 60_000 };
const QUICK = { stallMs: 150 };
const SECONDS = { timeout: 15_000 };

const pin = (bytes) => ({ size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') });

let site = {};
/**
 * What happens to a request: `(method, file) => 'swallow' | 'stop' | 'endless' | { redirect } | { late:
 * Promise } | undefined`.
 */
let fate = () => undefined;
let requests = [];
let sent = 0;
let disk = new Disk();
let base = '';

const server = createServer(async (request, response) => {
  const file = new URL(request.url, 'http://x').pathname.split('/').at(-1);
  requests.push(`${request.method} ${file}`);
  const what = fate(request.method, file);
  if (what === 'swallow') return;
  await what?.late;
  if (what?.redirect) return void response.writeHead(302, { location: what.redirect }).end();
  if (what === 'endless') return endless(response);
  if (site[file] === undefined) return void response.writeHead(404).end();
  const bytes = Buffer.from(site[file]);
  response.writeHead(200, { etag: `"${bytes.length}"`, 'content-length': bytes.length });
  if (request.method === 'HEAD') return void response.end();
  if (what === 'stop') return void response.write(bytes.subarray(0, bytes.length >> 1));
  response.end(bytes);
});

/** A response of spaces that ends only when the reader stops. */
function endless(response) {
  response.writeHead(200, { 'content-type': 'application/json' });
  const piece = Buffer.alloc(1 << 18, ' ');
  const more = () => {
    while (!response.destroyed && (sent += piece.length) && response.write(piece));
  };
  response.on('drain', more);
  more();
}

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}/model/`;
});
after(() => (server.closeAllConnections(), server.close()));
beforeEach(() => {
  site = { 'config.json': '{}', 'tokenizer.json': '{}', 'model.safetensors': Buffer.alloc(300_000, 1) };
  fate = () => undefined;
  disk = new Disk();
  sent = 0;
});

async function loading(options = {}, source = base) {
  requests = [];
  Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
  const platform = fakePlatform();
  try {
    const { client, info } = await load(source, options, platform);
    return { info, end: () => client.close(new Error('done')) };
  } finally {
    if (platform.workers.size) for (const port of platform.workers) port.unref();
  }
}
const loaded = async (options, source) => {
  const { info, end } = await loading(options, source);
  end();
  return info;
};

/** The requests that get no response. */
const SILENCES = {
  'every request': () => 'swallow',
  'every HEAD': (method) => (method === 'HEAD' ? 'swallow' : undefined),
  'every request about the weights': (_, file) => (file.endsWith('.safetensors') ? 'swallow' : undefined),
  'every request about optional files': (_, file) => (/chat_template|generation_config|tokenizer_config/.test(file) ? 'swallow' : undefined),
};
for (const [what, silence] of Object.entries(SILENCES)) {
  test(`a cached model loads if ${what} gets no response`, SECONDS, async () => {
    await loaded();
    fate = silence;
    assert.equal((await loaded(MINUTE)).cache, 'reused');
    assert.equal(requests.filter((line) => line.startsWith('GET')).length, 0);
  });
}

for (const stop of ['swallow', 'stop']) {
  test(`a cached model loads if the response to the lock file is: ${stop}`, SECONDS, async () => {
    site['fireside.lock.json'] = JSON.stringify({ files: Object.fromEntries(Object.entries(site).map(([name, bytes]) => [name, pin(bytes)])) });
    await loaded();
    fate = (_, file) => (file === 'fireside.lock.json' ? stop : 'swallow');
    assert.equal((await loaded({ ...MINUTE, lock: true })).cache, 'reused');
  });
}

test("a cached model of the hub loads if the hub's list gets no response, or if nothing does", SECONDS, async () => {
  const hub = new URL(base).origin;
  const sha = '0123456789abcdef0123456789abcdef01234567';
  site.main = JSON.stringify({ sha, siblings: Object.keys(site).map((rfilename) => ({ rfilename, blobId: rfilename, size: site[rfilename].length })) });
  await loaded({ hub }, 'hf:owner/name');
  for (const silence of [(_, file) => (file === 'main' ? 'swallow' : undefined), () => 'swallow']) {
    fate = silence;
    assert.equal((await loaded({ ...MINUTE, hub }, 'hf:owner/name')).cache, 'reused');
  }
});

test('a response that is too late for one load counts for the next', SECONDS, async () => {
  await loaded();
  site['tokenizer.json'] = '{"new": true}';
  let release;
  const late = new Promise((resolve) => (release = resolve));
  fate = (method) => (method === 'HEAD' ? { late } : undefined);
  const { info, end } = await loading(MINUTE);
  assert.equal(info.cache, 'reused');
  release();
  const journal = () => [...disk.files].find(([path]) => path.endsWith('tokenizer.json.journal'))[1];
  while (!new TextDecoder().decode(journal()).includes('stale')) await wait(5);
  end();
  fate = (method) => (method === 'HEAD' ? 'swallow' : undefined);
  await loaded({ stallMs: 300 });
  assert.deepEqual(requests.filter((line) => line.startsWith('GET')), ['GET tokenizer.json']);
});

test('without a stored model and a responding server, a load ends with NETWORK, whatever it requests first', SECONDS, async () => {
  fate = () => 'swallow';
  await assert.rejects(loaded(QUICK), { code: 'NETWORK' });
  await assert.rejects(loaded({ ...QUICK, lock: true }), { code: 'NETWORK', details: { file: 'fireside.lock.json', url: `${base}fireside.lock.json` } });
  await assert.rejects(loaded({ ...QUICK, hub: base }, 'hf:owner/name'), { code: 'NETWORK' });
  Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
  await assert.rejects(estimate(base, QUICK, fakePlatform()), { code: 'NETWORK' });
});

for (const file of ['fireside.lock.json', 'config.json', 'tokenizer.json', 'generation_config.json', 'model.safetensors']) {
  test(`a body of ${file} that stalls once is requested again`, SECONDS, async () => {
    site['fireside.lock.json'] = JSON.stringify({ files: Object.fromEntries(Object.entries({ ...site, 'generation_config.json': '{}' }).map(([name, bytes]) => [name, pin(bytes)])) });
    site['generation_config.json'] = '{}';
    let stops = 1;
    fate = (_, asked) => (asked === file && stops-- > 0 ? 'stop' : undefined);
    assert.equal((await loaded({ ...QUICK, lock: true })).cache, 'stored');
    assert.equal(requests.filter((line) => line === `GET ${file}`).length, 2);
  });
}

test('a redirect to a server that does not respond ends with NETWORK', SECONDS, async () => {
  for (const file of ['fireside.lock.json', 'config.json']) {
    fate = (_, asked) => (asked === file ? { redirect: `${base}elsewhere` } : asked === 'elsewhere' ? 'swallow' : undefined);
    await assert.rejects(loaded({ ...QUICK, lock: file === 'fireside.lock.json' }), { code: 'NETWORK', details: { file, url: base + file } });
  }
});

test('a Response or a stream that stalls has the same limit', SECONDS, async () => {
  const still = () => new ReadableStream({ start: (controller) => controller.enqueue(new TextEncoder().encode('{')) });
  const given = { config: new Blob(['{}']), tokenizer: new Blob(['{}']), weights: new Uint8Array(10) };
  for (const [key, input] of [['config', new Response(still())], ['tokenizer', still()], ['weights', still()]]) {
    await assert.rejects(loaded(QUICK, { ...given, [key]: input }), { code: 'NETWORK', message: /stood still for 150 ms after 1 bytes/ });
  }
});

const small = { 'config.json': 'config', 'generation_config.json': 'generationConfig', 'chat_template.jinja': 'chatTemplate' };
for (const [file, key] of Object.entries(small)) {
  test(`an endless ${file} stops at its limit and is not stored`, SECONDS, async () => {
    fate = (_, asked) => (asked === file ? 'endless' : undefined);
    await assert.rejects(loaded(), { code: 'BAD_FILE', details: { file, max: BYTES_MAX[key], url: base + file } });
    assert(sent < BYTES_MAX[key] + (16 << 20), `${sent} bytes were sent`);
    assert.deepEqual([...disk.files.keys()].filter((path) => path.includes(`/${file}`)), []);
    const before = sent;
    await wait(50);
    assert.equal(sent, before, 'the connection is closed');
  });
}

test("file lists have limits: the lock file's is an error, and so is the hub's", SECONDS, async () => {
  fate = (_, file) => (file === 'fireside.lock.json' || file === 'main' ? 'endless' : undefined);
  await assert.rejects(loaded({ lock: true }), { code: 'BAD_FILE', message: /fireside\.lock\.json has more than 1 MiB/ });
  await assert.rejects(loaded({ hub: new URL(base).origin }, 'hf:owner/name'), { code: 'BAD_FILE', message: /the hub's list of files has more than 16 MiB/ });
  assert(sent < 64 << 20, `${sent} bytes were sent`);
});

test('a file from the page has the limit too, whatever its type', SECONDS, async () => {
  const pulled = { count: 0 };
  const stream = () => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array((pulled.count++, 1 << 18))) });
  const given = { config: new Blob(['{}']), tokenizer: new Blob(['{}']), weights: new Uint8Array(10) };
  for (const input of [stream(), new Response(stream()), new Uint8Array(2 << 20), new Blob([new Uint8Array(2 << 20)])]) {
    await assert.rejects(loaded({}, { ...given, config: input }), { code: 'BAD_FILE', message: /config\.json has more than 1 MiB/ });
  }
  assert(pulled.count < 20, `${pulled.count} pieces were taken`);
  await assert.rejects(loaded({}, { ...given, chatTemplate: ' '.repeat((256 << 10) + 1) }), { code: 'BAD_FILE', message: /256 KiB/ });
});

test('a file ends at the size that its publisher lists, even if the body does not', SECONDS, async () => {
  const files = { 'config.json': pin('{}'), 'tokenizer.json': pin('{}'), 'model.safetensors': { ...pin('weights'), size: 3 << 20 } };
  site['fireside.lock.json'] = JSON.stringify({ files });
  fate = (_, file) => (file === 'model.safetensors' ? 'endless' : undefined);
  await assert.rejects(loaded({ lock: true }), ({ code, details }) => code === 'INTEGRITY' && details.file === 'model.safetensors');
  assert(sent < 64 << 20, `${sent} bytes were sent`);
});

test('a missing lock file that was requested is an error that says what to do', SECONDS, async () => {
  await assert.rejects(loaded({ lock: true }), ({ code, message, details }) => code === 'NETWORK' && details.status === 404 && /fireside lock/.test(message));
  await assert.rejects(loaded({ lock: 7 }), { code: 'BAD_OPTION' });
  await assert.rejects(loaded({ lock: 'http://' }), { code: 'BAD_OPTION' });
  await assert.rejects(loaded({ lock: true }, { config: new Blob(), tokenizer: new Blob(), weights: new Blob() }), { code: 'BAD_OPTION' });
});
