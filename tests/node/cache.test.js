// The models that Node stores between processes, however those end.

import assert from 'node:assert/strict';
import { createReadStream, existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { folder, GOLDEN, GREEDY, program, PROMPT, STORY, told } from './harness.js';

const options = { ...GREEDY, maxTokens: GOLDEN.tokens.length };
const WEIGHT_BYTES = statSync(join(STORY, 'model.safetensors')).size;

/**
 * A hub with one model, `owner/story`. `bytes`: bytes of weights sent so far; `hold`: how many bytes to
 * send of the next response before it stalls.
 */
const hub = { url: '', bytes: 0, hold: Infinity, answers: [] };
const server = createServer((request, response) => {
  const name = basename(new URL(request.url ?? '', 'http://hub/').pathname);
  const path = join(STORY, name);
  if (!/^\/owner\/story\/resolve\/main\//.test(request.url ?? '') || !existsSync(path)) return response.writeHead(404).end();
  const { size } = statSync(path);
  const headers = { ETag: `"${name}-${size}"`, 'Accept-Ranges': 'bytes' };
  const from = Number(/^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
  response.writeHead(from ? 206 : 200, { ...headers, 'Content-Length': size - from, ...(from && { 'Content-Range': `bytes ${from}-${size - 1}/${size}` }) });
  if (request.method === 'HEAD') return response.end();
  if (name !== 'model.safetensors') return createReadStream(path).pipe(response);
  hub.answers.push(request.headers.range ?? 'all');
  const bytes = readFileSync(path).subarray(from, from + hub.hold);
  hub.hold = Infinity;
  hub.bytes += bytes.length;
  response.write(bytes);
  if (from + bytes.length === size) response.end();
  return undefined;
});
before(() => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((hub.url = `http://127.0.0.1:${server.address().port}`)))));
after(() => (server.closeAllConnections(), server.close()));

/** A program that loads the hub's model, with `more` options, and prints the result. */
const load = (more = '') => `
  const session = await Session.load('hf:owner/story', { hub: '${hub.url}'${more} });
  const { text } = await session.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(options)});
  const { cache: kept, cacheReason } = session.info();
  session.dispose();
  console.log(JSON.stringify({ text, kept, cacheReason, list: await cache.list(), verified: kept === 'none' || await cache.verify('hf:owner/story', { hub: '${hub.url}' }) }));`;

/** Forgets the hub's earlier requests. */
const fresh = (hold = Infinity) => Object.assign(hub, { bytes: 0, hold, answers: [] });

test('a downloaded model is stored, and the next process reads it from disk', async () => {
  fresh();
  const env = { XDG_CACHE_HOME: folder() };
  const first = await told(load(), { env });
  assert.deepEqual([first.text, first.kept, hub.answers], [GOLDEN.text, 'stored', ['all']]);
  const second = await told(load(), { env });
  assert.deepEqual([second.text, second.kept, hub.answers], [GOLDEN.text, 'reused', ['all']]);
  const [{ source, complete, files }] = second.list;
  assert.deepEqual([source, complete], [`${hub.url}/owner/story/resolve/main/`, true]);
  assert.equal(files.find(({ file }) => file === 'model.safetensors').bytes, WEIGHT_BYTES);
  assert(second.verified.every(({ ok }) => ok));
  const freed = await told(`console.log(await cache.delete('hf:owner/story', { hub: '${hub.url}' }));`, { env });
  assert(freed > WEIGHT_BYTES);
  assert.deepEqual(await told('console.log(JSON.stringify(await cache.list()));', { env }), []);
  assert.deepEqual(readdirSync(join(env.XDG_CACHE_HOME, 'fireside-lm', 'locks')), []);
});

test('after a process is killed during a download, the next one resumes it', async () => {
  fresh(1_500_000);
  const env = { XDG_CACHE_HOME: folder() };
  const started = program(load(), { env });
  const places = join(env.XDG_CACHE_HOME, 'fireside-lm', 'models');
  const journal = () => (existsSync(places) ? readdirSync(places) : []).map((name) => join(places, name, 'model.safetensors.journal')).find(existsSync);
  while (!(journal() && readFileSync(/** @type {string} */ (journal()), 'utf8').includes('sha256'))) await new Promise((resolve) => setTimeout(resolve, 5));
  started.child.kill('SIGKILL');
  assert.equal(await started.done, 'SIGKILL');
  fresh();
  const { text, kept } = await told(load(), { env });
  assert.deepEqual([text, kept, hub.answers], [GOLDEN.text, 'stored', ['bytes=1048576-']]);
});

test('a model deleted during its download still loads, and info() says that it is not stored', async () => {
  fresh(1_500_000);
  const lines = `
    const loading = Session.load('hf:owner/story', { hub: '${hub.url}', stallMs: 500 });
    const begun = async () => (await cache.list()).some(({ files }) => files.some(({ file, bytes }) => file === 'model.safetensors' && bytes > 0));
    while (!(await begun())) await new Promise((resolve) => setTimeout(resolve, 5));
    const freed = await cache.delete();
    const session = await loading;
    const { text } = await session.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(options)});
    console.log(JSON.stringify({ freed, text, reason: session.info().cacheReason }));`;
  const { freed, text, reason } = await told(lines, { env: { XDG_CACHE_HOME: folder() } });
  assert(freed > 1_000_000);
  assert.deepEqual([text, reason], [GOLDEN.text, 'lost']);
});

test('a chunk that was damaged or truncated on disk is fetched again by itself', async () => {
  const env = { XDG_CACHE_HOME: folder() };
  fresh();
  await told(load(), { env });
  const places = join(env.XDG_CACHE_HOME, 'fireside-lm', 'models');
  const weights = join(places, readdirSync(places)[0], 'model.safetensors');
  const bytes = readFileSync(weights);
  bytes[1_100_000] ^= 1;
  for (const damage of [() => writeFileSync(weights, bytes), () => truncateSync(weights, 1 << 20)]) {
    fresh();
    damage();
    const { text, verified } = await told(load(), { env });
    assert.equal(text, GOLDEN.text);
    assert(verified.every(({ ok }) => ok));
    assert(hub.answers[0].startsWith('bytes=1048576-'), hub.answers.join());
  }
});

test('two processes that load the same model share one download', async () => {
  fresh();
  const env = { XDG_CACHE_HOME: folder() };
  const both = await Promise.all([told(load(), { env }), told(load(), { env })]);
  for (const { text } of both) assert.equal(text, GOLDEN.text);
  assert.equal(hub.bytes, WEIGHT_BYTES);
});

test('a lock of a killed process is taken over at once', async () => {
  const env = { XDG_CACHE_HOME: folder() };
  const hold = `const { request } = await import('${new URL('../../www/lib/node/locks.js', import.meta.url)}');
    const signal = new AbortController().signal;`;
  const holder = program(`${hold} await request('name', { signal }, () => new Promise(() => console.log('held')));`, { env });
  while (!holder.output.includes('held')) await new Promise((resolve) => setTimeout(resolve, 5));
  const waiting = await told(
    `${hold} const late = AbortSignal.timeout(300);
     console.log(JSON.stringify(await request('name', { signal: late }, async () => 'mine').catch((error) => error.name)));`,
    { env },
  );
  assert.equal(waiting, 'AbortError');
  holder.child.kill('SIGKILL');
  await holder.done;
  assert.equal(await told(`${hold} console.log(JSON.stringify(await request('name', { signal }, async () => 'mine')));`, { env }), 'mine');
});

test('for a lock from another container only the age counts, not the process', async () => {
  const env = { XDG_CACHE_HOME: folder() };
  const gone = program('', { env });
  await gone.done;
  const lines = `
    const { readdirSync, readFileSync, utimesSync, writeFileSync } = await import('node:fs');
    const { request } = await import('${new URL('../../www/lib/node/locks.js', import.meta.url)}');
    const place = process.env.XDG_CACHE_HOME + '/fireside-lm/locks/';
    const take = (job) => request('name', { signal: AbortSignal.timeout(400) }, job).catch((error) => error.name);
    const outcomes = [];
    await take(async () => {
      const file = place + readdirSync(place)[0];
      const mine = JSON.parse(readFileSync(file, 'utf8'));
      globalThis.leave = (changes) => writeFileSync(file, JSON.stringify({ ...mine, pid: ${gone.child.pid}, ...changes }));
      globalThis.age = () => utimesSync(file, new Date(Date.now() - 60_000), new Date(Date.now() - 60_000));
    });
    leave({ host: 'another container' });
    outcomes.push(await take(async () => 'mine'));
    age();
    outcomes.push(await take(async () => 'mine'));
    leave({});
    outcomes.push(await take(async () => 'mine'));
    console.log(JSON.stringify(outcomes));`;
  assert.deepEqual(await told(lines, { env }), ['AbortError', 'mine', 'mine']);
});

test("a lock that was taken over is not touched or removed by its former holder", async () => {
  const lines = `
    const { readdirSync, readFileSync, statSync, writeFileSync, utimesSync } = await import('node:fs');
    const { request } = await import('${new URL('../../www/lib/node/locks.js', import.meta.url)}');
    const place = process.env.XDG_CACHE_HOME + '/fireside-lm/locks/';
    let file;
    await request('name', { signal: new AbortController().signal }, async () => {
      file = place + readdirSync(place)[0];
      const before = statSync(file).mtimeMs;
      while (statSync(file).mtimeMs === before) await new Promise((resolve) => setTimeout(resolve, 50));
      writeFileSync(file, 'another');
      utimesSync(file, 1, 1);
      await new Promise((resolve) => setTimeout(resolve, 2500));
    });
    console.log(JSON.stringify([readFileSync(file, 'utf8'), statSync(file).mtimeMs]));`;
  assert.deepEqual(await told(lines, { env: { XDG_CACHE_HOME: folder() } }), ['another', 1000]);
});

test('if no lock can be made, the download is still stored', async () => {
  fresh();
  const env = { XDG_CACHE_HOME: folder() };
  mkdirSync(join(env.XDG_CACHE_HOME, 'fireside-lm'));
  writeFileSync(join(env.XDG_CACHE_HOME, 'fireside-lm', 'locks'), '');
  const { text, kept } = await told(load(), { env });
  assert.deepEqual([text, kept], [GOLDEN.text, 'stored']);
});

test('without a cache, or a folder for it, the load continues and says why nothing is stored', async () => {
  fresh();
  const off = await told(load(', cache: false'), { env: { XDG_CACHE_HOME: folder() } });
  assert.deepEqual([off.text, off.kept, off.cacheReason], [GOLDEN.text, 'none', 'off']);
  const file = join(folder(), 'file');
  writeFileSync(file, '');
  const nowhere = await told(load(), { env: { XDG_CACHE_HOME: file } });
  assert.deepEqual([nowhere.text, nowhere.kept, nowhere.cacheReason], [GOLDEN.text, 'none', 'unavailable']);
});
