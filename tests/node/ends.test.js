// How loads end in Node: a worker that decompresses a response ends itself and releases its locks.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { folder, STORY, told } from './harness.js';

/** The requests to the server: method, file and accepted encodings. */
let asked = [];
/** Handles a request and returns true. @type {(name: string, request: any, response: any) => boolean} */
let first = () => false;
let url = '';
const server = createServer((request, response) => {
  const name = basename(new URL(request.url, 'http://x/').pathname);
  asked.push([request.method, name, request.headers['accept-encoding']]);
  if (first(name, request, response)) return;
  const path = join(STORY, name);
  if (!existsSync(path)) return void response.writeHead(404).end();
  response.writeHead(200, { ETag: `"${name}"` }).end(request.method === 'HEAD' ? undefined : readFileSync(path));
});
before(() => new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((url = `http://127.0.0.1:${server.address().port}/story/`)))));
after(() => (server.closeAllConnections(), server.close()));

test('files are requested uncompressed, so no response has to be decompressed', async () => {
  asked = [];
  const load = `const session = await Session.load('${url}'); console.log(JSON.stringify(session.info().cache)); session.dispose();`;
  const env = { XDG_CACHE_HOME: folder() };
  assert.deepEqual([await told(load, { env }), await told(load, { env })], ['stored', 'reused']);
  assert(asked.some(([method]) => method === 'HEAD'));
  assert.deepEqual([...new Set(asked.map(([, , encodings]) => encodings))], ['identity']);
});

test('aborted loads with compressed responses leave the process alive and no worker running', { timeout: 120_000 }, async () => {
  const packed = new Map();
  first = (name, request, response) => {
    const path = join(STORY, name);
    if (!existsSync(path)) return false;
    if (!packed.has(name)) packed.set(name, gzipSync(readFileSync(path), { level: 1 }));
    response.writeHead(200, { 'Content-Encoding': 'gzip' });
    const pieces = packed.get(name);
    let at = 0;
    const timer = setInterval(() => {
      if (response.destroyed || at >= pieces.length) return clearInterval(timer), void response.end();
      response.write(pieces.subarray(at, (at += 4096)));
    }, 1);
    return true;
  };
  const lines = `
    const ends = [];
    for (let index = 0; index < 12; index++) {
      const stop = new AbortController();
      const onProgress = ({ loaded }) => loaded > index * 2000 && stop.abort();
      await Session.load('${url}', { cache: false, threads: 1, signal: stop.signal, onProgress }).catch((error) => ends.push(error.name));
    }
    console.log(JSON.stringify(ends));`;
  assert.deepEqual(await told(lines, { env: { XDG_CACHE_HOME: folder() } }), Array(12).fill('AbortError'));
  first = () => false;
});

test('the engine’s worker ends itself when told to, between two events', async () => {
  const lines = `
    const { node } = await import('${new URL('../../www/lib/node/platform.js', import.meta.url)}');
    const worker = node.spawn();
    const message = new Promise((resolve) => (worker.onerror = ({ message }) => resolve(message)));
    const isLater = worker.terminate() instanceof Promise;
    console.log(JSON.stringify([isLater, await message]));`;
  assert.deepEqual(await told(lines), [true, 'its worker ended with exit code 0']);
});

test('a load that fails while other files are loading leaves no lock behind', { timeout: 60_000 }, async () => {
  let refused = false;
  let begun = () => {};
  const tokenizer = new Promise((resolve) => (begun = () => resolve(undefined)));
  first = (name, request, response) => {
    if (refused || request.method !== 'GET') return false;
    if (name === 'tokenizer.json') {
      response.writeHead(200).write('{');
      begun();
    } else if (name === 'config.json') void tokenizer.then(() => ((refused = true), response.writeHead(403).end()));
    else return false;
    return true;
  };
  const lines = `
    const { readdirSync } = await import('node:fs');
    const locks = () => readdirSync(process.env.XDG_CACHE_HOME + '/fireside-lm/locks');
    const code = await Session.load('${url}', { threads: 1 }).catch((error) => error.code);
    const end = Date.now() + 5000; // an abandoned lock is given up after 10 s
    while (locks().length && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 10));
    const left = locks();
    const session = await Session.load('${url}', { threads: 1 });
    session.dispose();
    console.log(JSON.stringify([code, left, session.info().cache]));`;
  assert.deepEqual(await told(lines, { env: { XDG_CACHE_HOME: folder() } }), ['NETWORK', [], 'stored']);
  first = () => false;
});
