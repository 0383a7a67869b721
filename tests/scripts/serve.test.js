// The server: what it sends, with which headers, and what it does not serve.

import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MOUNTS, serve } from '../../scripts/serve.mjs';

let folder;
let server;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fireside-serve-'));
  for (const name of ['www', 'models']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'www', 'index.html'), '<!doctype html>');
  writeFileSync(join(folder, 'www', 'a.wasm'), '0123456789');
  writeFileSync(join(folder, 'models', 'config.json'), '{}');
  writeFileSync(join(folder, 'secret'), 'not served');
  server = await serve({ mounts: { '/models/': join(folder, 'models'), '/': join(folder, 'www') } });
});
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Sends a request with an unchanged path; `fetch` would normalise dots. */
function get(path, { base = server.url, method = 'GET', headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port: new URL(base).port, path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text)).on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
    sent.on('error', reject).end();
  });
}

test('files are sent with their types', async () => {
  for (const [path, type] of [['/', 'text/html;charset=utf-8'], ['/a.wasm', 'application/wasm'], ['/models/config.json', 'application/json']]) {
    const { status, headers } = await get(path);
    assert.deepEqual([status, headers['content-type']], [200, type], path);
  }
});

test('every response has the isolation headers, unless disabled', async () => {
  const names = ['cross-origin-opener-policy', 'cross-origin-embedder-policy', 'cross-origin-resource-policy'];
  for (const path of ['/', '/a.wasm', '/nothing']) {
    const { headers } = await get(path);
    assert.deepEqual(names.map((name) => headers[name]), ['same-origin', 'require-corp', 'same-origin'], path);
  }
  const plain = await serve({ mounts: { '/': join(folder, 'www') }, isolation: false });
  const { headers } = await get('/', { base: plain.url });
  assert.deepEqual(names.map((name) => headers[name]), [undefined, undefined, undefined]);
  await plain.close();
});

test('the page preloads its modules, each of which is there', async () => {
  const site = await serve({ mounts: MOUNTS });
  const { headers, body } = await get('/', { base: site.url });
  assert.equal(headers['content-type'], 'text/html;charset=utf-8');
  const modules = [...body.matchAll(/<link rel="modulepreload" href="([^"]+)" \/>/g)].map(([, path]) => path);
  for (const path of ['lib/index.js', 'page/chat.js', 'vendor/idb-keyval/dist/index.js']) assert(modules.includes(path), path);
  for (const path of modules) assert.equal((await get(`/${path}`, { base: site.url, method: 'HEAD' })).status, 200, path);
  await site.close();
});

test('no path leads out of the folders', async () => {
  for (const path of ['/../secret', '/models/../../secret', '/%2e%2e/secret', '/models/..%2f..%2fsecret', '/models/%2e%2e/%2e%2e/secret', '//secret', '/..\\secret', '/%00', '/%']) {
    const { status, body } = await get(path);
    assert.equal(status, 404, path);
    assert(!body.includes('not served'), path);
  }
});

test('a range request gets that range of bytes', async () => {
  const { status, headers, body } = await get('/a.wasm', { headers: { Range: 'bytes=2-4' } });
  assert.deepEqual([status, headers['content-range'], body], [206, 'bytes 2-4/10', '234']);
});

test('only reading is allowed', async () => {
  assert.equal((await get('/', { method: 'POST' })).status, 405);
  assert.equal((await get('/', { method: 'HEAD' })).status, 200);
});

test('the server skips a port that is in use', async () => {
  const taken = Number(new URL(server.url).port);
  const other = await serve({ mounts: { '/': join(folder, 'www') }, port: taken });
  assert.notEqual(Number(new URL(other.url).port), taken);
  assert.equal((await get('/', { base: other.url })).status, 200);
  await other.close();
});
