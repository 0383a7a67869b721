// Random servers, the same in every run. Whatever odd responses a first load gets, it ends with the file or
// with an error that has a code. Once the server behaves, the load after a complete one takes everything
// from the cache.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { load } from '../../www/lib/client/load.js';
import { CHUNK_BYTES } from '../../www/lib/shared/store.js';
import { random } from '../random.js';
import { Disk } from './disk.js';
import { fakePlatform } from './fake.js';

const SERVERS = Number(process.env.RANDOM_SERVERS ?? 60);
const SEED = 39;

/** The properties of a server, and the odd responses of its first load. @param {number} seed */
function describe(seed) {
  const next = random(seed);
  const pick = (...list) => list[Math.floor(next() * list.length)];
  const weights = Buffer.alloc(Math.floor((0.4 + 2.8 * next()) * CHUNK_BYTES));
  for (let at = 0; at < weights.length; at += 997) weights[at] = next() * 256;
  return {
    next,
    pick,
    files: { 'config.json': Buffer.from('{}'), 'tokenizer.json': Buffer.from('{"a": 1}'), 'model.safetensors': weights },
    etag: pick('strong', 'weak', 'none', 'weak where packed', 'suffixed where packed'),
    modified: pick(true, false),
    ranges: pick(true, true, false),
    length: pick(true, false),
    packs: pick(false, false, 'where it may', 'always'),
    head: pick(200, 200, 200, 405, 403, 503),
    isOwn: pick(true, false),
    odd: Math.floor(next() * 4),
  };
}

let world = describe(0);
let odd = 0;
let requests = [];
const MODIFIED = 'Mon, 05 Jan 2026 00:00:00 GMT';

const server = createServer((request, response) => {
  const { next, pick } = world;
  const file = new URL(request.url, 'http://x').pathname.split('/').at(-1);
  requests.push(`${request.method} ${file}`);
  const whole = world.files[file];
  if (!whole) return void response.writeHead(404).end();
  if (request.method === 'HEAD' && world.head !== 200) return void response.writeHead(world.head).end();
  const what = odd > 0 && request.method === 'GET' && next() < 0.4 ? pick('status', 'refuse', 'cut', 'cut', 'other etag, cut', 'no etag', 'no etag, cut', 'only modified, cut') : '';
  if (what) odd--;
  if (what === 'refuse') return void request.socket.destroy();
  if (what === 'status') return void response.writeHead(pick(500, 503, 429, 408)).end();
  const range = world.ranges ? /^bytes=(\d+)-/.exec(request.headers.range ?? '') : null;
  const etagOf = (packed) => {
    const name = `${file.length}-${whole.length}`;
    if (what.startsWith('no etag') || what.startsWith('only') || world.etag === 'none') return undefined;
    if (what.startsWith('other')) return `W/"other-${next()}"`;
    if (world.etag === 'weak' || (packed && world.etag === 'weak where packed')) return `W/"${name}"`;
    return `"${name}${packed && world.etag === 'suffixed where packed' ? '-gzip' : ''}"`;
  };
  const packs = world.packs === 'always' || (world.packs && /gzip/.test(request.headers['accept-encoding'] ?? ''));
  const packed = packs && !range && request.method === 'GET';
  const etag = etagOf(packed);
  const ifRange = request.headers['if-range'];
  const from = range && (!ifRange || ifRange === etag) ? Number(range[1]) : undefined;
  if (from !== undefined && from >= whole.length) return void response.writeHead(416, { 'content-range': `bytes */${whole.length}` }).end();
  const part = whole.subarray(from ?? 0);
  const body = packed ? gzipSync(part, { level: 1 }) : part;
  const headers = { 'content-type': 'application/octet-stream' };
  if (etag) headers.etag = etag;
  if (world.modified || what.startsWith('only')) headers['last-modified'] = MODIFIED;
  if (from !== undefined) headers['content-range'] = `bytes ${from}-${whole.length - 1}/${whole.length}`;
  if (packed) headers['content-encoding'] = 'gzip';
  if (world.length || request.method === 'HEAD') headers['content-length'] = body.length;
  response.writeHead(from === undefined ? 200 : 206, headers);
  if (request.method === 'HEAD') return void response.end();
  if (!what.endsWith('cut')) return void response.end(body);
  const bytes = Math.floor(next() * body.length);
  response.write(body.subarray(0, bytes), () => setTimeout(() => response.destroy(), 2));
});

let base = '';
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  base = `http://127.0.0.1:${/** @type {any} */ (server.address()).port}/`;
});
after(() => (server.closeAllConnections(), server.close()));

async function loading() {
  const pushed = [];
  const platform = fakePlatform({ onPush: (chunk) => pushed.push(Buffer.from(chunk)) });
  const { client, info } = await load(`${base}model/`, { stallMs: 2000 }, platform);
  client.close(new Error('done'));
  return { info, weights: Buffer.concat(pushed) };
}

// Skips the pauses between attempts, which do not matter here.
const { setTimeout: wait } = globalThis;
before(() => (globalThis.setTimeout = /** @type {any} */ ((job, ms, ...rest) => wait(job, ms >= 500 && ms % 500 === 0 && ms < 2000 ? 5 : ms, ...rest))));
after(() => (globalThis.setTimeout = wait));

test(`${SERVERS} random servers: the text is right, and a complete model is taken from the cache`, { timeout: 300_000 }, async () => {
  const wrong = [];
  for (let seed = SEED; seed < SEED + SERVERS; seed++) {
    world = describe(seed);
    const disk = new Disk();
    Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
    Object.defineProperty(globalThis, 'location', { value: world.isOwn ? new URL(base) : undefined, configurable: true });
    odd = world.odd;
    const about = () => JSON.stringify({ seed, ...world, files: undefined, weights: world.files['model.safetensors'].length });
    const right = world.files['model.safetensors'];
    const first = await loading().catch((error) => {
      assert(error.code, `${error.stack} ${about()}`);
      return undefined;
    });
    odd = 0;
    if (first) assert(first.weights.subarray(-right.length).equals(right), about());
    requests = [];
    const { info, weights } = await loading();
    assert(weights.subarray(-right.length).equals(right), about());
    if (first && info.cache !== 'reused') wrong.push(`${info.cache} ${requests.filter((line) => line.startsWith('GET'))} ${about()}`);
    if (!first) assert.equal((await loading()).info.cache, 'reused', about());
  }
  Reflect.deleteProperty(globalThis, 'location');
  assert.deepEqual(wrong, []);
});
