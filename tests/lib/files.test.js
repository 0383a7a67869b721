// The model cache and the downloads into it, with a disk in memory and a local server. tests/faults tests
// how browsers treat both.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';

import { modelCache as cache } from '../../www/lib/client/model-cache.js';
import { load } from '../../www/lib/client/load.js';
import { CHUNK_BYTES } from '../../www/lib/shared/store.js';
import { Disk } from './disk.js';
import { fakePlatform } from './fake.js';

const WEIGHTS = randomBytes(5 * CHUNK_BYTES + 1234);
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const pin = (bytes) => ({ size: bytes.length, sha256: sha256(bytes) });

/** The folder on the server, and its other responses. */
let site = {};
/** `METHOD file [range]` of every request that got content. */
let requests = [];
/** Changes a response: `({ status, headers, body, file, from }) => ...`; the returned value is sent. */
let meddle = (answer) => answer;
let disk = new Disk();
let base = '';

const server = createServer((request, response) => {
  const file = new URL(request.url, 'http://x').pathname.split('/').at(-1);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  requests.push(`${request.method} ${file}${range ? ` ${range[1]}` : ''}`);
  const whole = site[file];
  if (whole === undefined) return response.writeHead(404).end();
  const from = range ? Number(range[1]) : 0;
  const to = range?.[2] ? Math.min(Number(range[2]), whole.length - 1) : whole.length - 1;
  const headers = { etag: `"${sha256(whole).slice(0, 8)}"` };
  if (range) headers['content-range'] = `bytes ${from}-${to}/${whole.length}`;
  const answer = meddle({ status: range ? 206 : 200, headers, body: Buffer.from(whole).subarray(from, to + 1), file, from, range });
  response.writeHead(answer.status, { 'content-length': answer.body.length, ...answer.headers });
  if (request.method === 'HEAD') return response.end();
  if (answer.cut === undefined) return response.end(answer.body);
  response.write(answer.body.subarray(0, answer.cut), () => setTimeout(() => response.destroy(), 5));
});

before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}/model/`;
});
after(() => (server.closeAllConnections(), server.close()));
beforeEach(() => {
  site = { 'config.json': Buffer.from('{}'), 'tokenizer.json': Buffer.from('{}'), 'model.safetensors': WEIGHTS };
  meddle = (answer) => answer;
  disk = new Disk();
  atHome(true);
});

/** Sets whether the server is the page's own site, from which alone some headers are trusted. */
const atHome = (isOwn) => Object.defineProperty(globalThis, 'location', { value: isOwn ? new URL(base) : undefined, configurable: true });
after(() => atHome(false));

/**
 * Loads the model. Resolves with what the engine received, where it came from, and the requests to the
 * server.
 */
async function loading(options = {}) {
  requests = [];
  Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
  const pushed = [];
  const platform = fakePlatform({ onPush: (chunk) => pushed.push(Buffer.from(chunk)) });
  const { client, info } = await load(base, { stallMs: 500, ...options }, platform);
  client.close(new Error('done'));
  return { info, weights: Buffer.concat(pushed), asked: requests.filter((line) => line.includes('model.safetensors')) };
}

test('a second load takes everything from the disk and only checks for changes', async () => {
  const first = await loading();
  assert.ok(first.weights.equals(WEIGHTS));
  assert.equal(first.info.cache, 'stored');
  const second = await loading();
  assert.ok(second.weights.equals(WEIGHTS));
  assert.equal(second.info.cache, 'reused');
  assert.deepEqual(requests.filter((line) => !line.startsWith('HEAD')), []);
});

test('with a lock file nothing is requested twice, and unlisted files are never requested', async () => {
  site['fireside.lock.json'] = JSON.stringify({ files: Object.fromEntries(Object.entries(site).map(([name, bytes]) => [name, pin(bytes)])) });
  await loading({ lock: true });
  assert.deepEqual(requests.sort(), ['GET config.json', 'GET fireside.lock.json', 'GET model.safetensors', 'GET tokenizer.json']);
  assert.equal((await loading({ lock: new URL('fireside.lock.json', base) })).info.cache, 'reused');
  assert.deepEqual(requests, ['GET fireside.lock.json']);
});

test('after a crash at any write, the next load has every byte and fetches at most one extra chunk', async () => {
  await loading();
  const total = 5 * 2 + 20; // more than the number of writes of a load
  for (let writes = 1; writes <= 2 * total; writes++) {
    if (writes > total) atHome(false); // another site's Content-Length may be that of a compressed response
    disk = new Disk();
    disk.writes = ((writes - 1) % total) + 1;
    const first = await loading();
    assert.ok(first.weights.equals(WEIGHTS), `${writes}: a load goes on without its cache`);
    disk.revive();
    const journal = [...disk.files].find(([path]) => path.endsWith('model.safetensors.journal'))?.[1] ?? new Uint8Array();
    const chunks = new TextDecoder().decode(journal).split('\n').slice(0, -1).filter((line) => line.includes('"bytes"')).length;
    const second = await loading();
    assert.ok(second.weights.equals(WEIGHTS), `${writes}`);
    const from = Number(second.asked.find((line) => line.startsWith('GET'))?.split(' ')[2] ?? (second.info.cache === 'reused' || chunks === 6 ? WEIGHTS.length : 0));
    assert.ok(from >= Math.min(chunks * CHUNK_BYTES, WEIGHTS.length), `${writes}: ${chunks} chunks were there, fetched from ${from}`);
    assert.equal((await loading()).info.cache, 'reused', `${writes}: and the one after that is whole`);
  }
});

test('a damaged chunk is fetched again by itself and stored', async () => {
  await loading();
  const path = [...disk.files.keys()].find((path) => path.endsWith('/model.safetensors'));
  disk.files.get(path)[2 * CHUNK_BYTES + 77] ^= 1;
  assert.deepEqual((await cache.verify(base)).filter(({ ok }) => !ok), [{ file: 'model.safetensors', ok: false }]);
  const mended = await loading();
  assert.ok(mended.weights.equals(WEIGHTS));
  assert.deepEqual(mended.asked.filter((line) => line.startsWith('GET')), [`GET model.safetensors ${2 * CHUNK_BYTES}`]);
  assert.ok((await cache.verify(base)).every(({ ok }) => ok));
});

test('a change on the server is noticed, before the load and during it', async () => {
  await loading();
  const other = randomBytes(2 * CHUNK_BYTES);
  site['model.safetensors'] = other;
  assert.ok((await loading()).weights.equals(other));

  disk = new Disk();
  let changed = false;
  meddle = (answer) => {
    if (changed || answer.file !== 'model.safetensors') return answer;
    changed = true;
    site['model.safetensors'] = WEIGHTS;
    return { ...answer, cut: CHUNK_BYTES + 5 };
  };
  assert.ok((await loading()).weights.subarray(-WEIGHTS.length).equals(WEIGHTS), 'the engine started again');
});

test('a server without ranges starts from the beginning, and stored bytes are compared', async () => {
  let cut = 3 * CHUNK_BYTES + 10;
  const noRanges = (answer) => {
    const whole = { ...answer, status: 200, headers: { etag: answer.headers.etag }, body: Buffer.from(site[answer.file]) };
    if (answer.file !== 'model.safetensors' || cut === undefined) return whole;
    const broken = { ...whole, cut };
    cut = undefined;
    return broken;
  };
  meddle = noRanges;
  assert.ok((await loading()).weights.equals(WEIGHTS));
  // The same, but the second download is another file with the same name, size and version.
  disk = new Disk();
  cut = 3 * CHUNK_BYTES + 10;
  const forged = Buffer.from(WEIGHTS);
  forged[5] ^= 1;
  meddle = (answer) => {
    const result = noRanges(answer);
    if (answer.file === 'model.safetensors') site['model.safetensors'] = forged;
    return { ...result, headers: { etag: '"same"' } };
  };
  assert.ok((await loading()).weights.subarray(-forged.length).equals(forged), 'never a mixture of two');
});

test('a response with another range than requested is not accepted', async () => {
  let cut = 2 * CHUNK_BYTES;
  meddle = (answer) => {
    if (answer.file !== 'model.safetensors') return answer;
    if (cut) return { ...answer, cut: [cut, (cut = 0)][0] };
    return answer.range ? { ...answer, body: answer.body.subarray(0, 1), headers: { etag: answer.headers.etag, 'content-range': `bytes 0-0/${WEIGHTS.length}` } } : answer;
  };
  assert.ok((await loading()).weights.equals(WEIGHTS));
});

test('bytes that do not match the lock file are fetched once more, then refused', async () => {
  site['fireside.lock.json'] = JSON.stringify({ files: Object.fromEntries(Object.entries(site).map(([name, bytes]) => [name, pin(bytes)])) });
  const damaged = Buffer.from(WEIGHTS);
  damaged[CHUNK_BYTES] ^= 1;
  let times = 1;
  meddle = (answer) => (answer.file === 'model.safetensors' && times-- > 0 ? { ...answer, body: damaged } : answer);
  assert.ok((await loading({ lock: true })).weights.subarray(-WEIGHTS.length).equals(WEIGHTS));
  disk = new Disk();
  times = 2;
  await assert.rejects(loading({ lock: true }), { code: 'INTEGRITY', details: { file: 'model.safetensors', expected: sha256(WEIGHTS), got: sha256(damaged), again: true, url: `${base}model.safetensors` } });
  assert.deepEqual([...disk.files.keys()].filter((path) => path.includes('model.safetensors')), [], 'it is not stored');
});

test('an empty file is stored and read like any other', async () => {
  site['generation_config.json'] = Buffer.alloc(0);
  const unhandled = [];
  const note = (error) => unhandled.push(error);
  process.on('unhandledRejection', note);
  await loading();
  assert.equal((await loading()).info.cache, 'reused');
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', note);
  assert.deepEqual(unhandled, []);
});

test('on a full disk only the cache is lost, not the load', async () => {
  disk.quota = 2 * CHUNK_BYTES;
  const { info, weights } = await loading();
  assert.ok(weights.equals(WEIGHTS));
  assert.deepEqual([info.cache, info.cacheReason], ['none', 'quota']);
  assert.ok([...disk.files.values()].reduce((sum, { length }) => sum + length, 0) < CHUNK_BYTES, 'the incomplete part is deleted');
});

test('offline, stored files are used, and missing files are known to be missing', async () => {
  await loading();
  meddle = (answer) => ({ ...answer, status: 503, body: Buffer.alloc(0) });
  site = new Proxy({}, { get: () => Buffer.alloc(0) });
  const { info, weights } = await loading();
  assert.ok(weights.equals(WEIGHTS));
  assert.equal(info.cache, 'reused');
});

test('the cache lists, measures and deletes its content', async () => {
  await loading();
  const [model] = await cache.list();
  assert.equal(model.source, base);
  assert.deepEqual(model.files.map(({ file, complete }) => [file, complete]), [['config.json', true], ['model.safetensors', true], ['tokenizer.json', true]]);
  assert.equal(await cache.size(), WEIGHTS.length + 4);
  assert.equal(await cache.delete(base), WEIGHTS.length + 4);
  assert.deepEqual(await cache.list(), []);
  assert.deepEqual((await loading({ cache: false })).info.cacheReason, 'off');
  assert.deepEqual(await cache.list(), []);
});
