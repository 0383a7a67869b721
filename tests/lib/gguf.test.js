// A model as a GGUF file: the kinds of its source, the choice of a file from the hub's list, and what is
// stored, fetched again and checked of it. The engine is a fake; tests/node/gguf.test.js has the real one.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, beforeEach, test } from 'node:test';
import { estimate } from '../../www/lib/client/estimate.js';
import { load } from '../../www/lib/client/load.js';
import { modelCache } from '../../www/lib/client/model-cache.js';
import { sourceUrl } from '../../www/lib/client/source.js';
import { CHUNK_BYTES } from '../../www/lib/shared/store.js';
import { Disk } from './disk.js';
import { fakePlatform } from './fake.js';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
/** A file that the fake engine takes for GGUF. `header`: the bytes of its header. */
const gguf = (bytes = 1000, header = 100) => Buffer.concat([Buffer.from(`GGUF${header} `), randomBytes(bytes)]);

/** A repository on the hub: the files by their paths. */
let repository = {};
/** Other files of the server, by their paths. */
let site = {};
/** `METHOD path [range]` of every request. */
let requests = [];
/** The status of the hub's list of files. */
let listing = 200;
/** Changes an answer. @type {(answer: any) => any} */
let meddle = (answer) => answer;
let disk = new Disk();
let base = '';

function listed() {
  const siblings = Object.entries(repository).map(([rfilename, bytes]) => ({ rfilename, size: bytes.length, blobId: '1', lfs: { sha256: sha256(bytes), size: bytes.length } }));
  return Buffer.from(JSON.stringify({ sha: COMMIT, siblings }));
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url, 'http://x');
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  requests.push(`${request.method} ${request.url}${range ? ` ${range[1]}-${range[2]}` : ''}`);
  const isList = pathname.startsWith('/api/');
  const inRepository = decodeURIComponent(/^\/owner\/name\/resolve\/[^/]+\/(.*)$/.exec(pathname)?.[1] ?? '');
  const whole = isList ? listed() : (repository[inRepository] ?? site[decodeURIComponent(pathname)]);
  if (!whole || (isList && listing !== 200)) return response.writeHead(isList ? listing : 404).end();
  const from = range ? Number(range[1]) : 0;
  const to = range?.[2] ? Math.min(Number(range[2]), whole.length - 1) : whole.length - 1;
  const headers = { etag: `"${sha256(whole).slice(0, 8)}"`, ...(range && { 'content-range': `bytes ${from}-${to}/${whole.length}` }) };
  const answer = meddle({ status: range ? 206 : 200, headers, body: whole.subarray(from, to + 1), pathname, range });
  response.writeHead(answer.status, { 'content-length': answer.body.length, ...answer.headers });
  if (request.method === 'HEAD') return response.end();
  if (answer.cut === undefined) return response.end(answer.body);
  return response.write(answer.body.subarray(0, answer.cut), () => response.destroy());
});
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => (server.closeAllConnections(), server.close()));
beforeEach(() => {
  repository = {};
  site = {};
  requests = [];
  listing = 200;
  meddle = (answer) => answer;
  disk = new Disk();
  Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
});

/**
 * Loads a model. Resolves with what the engine was told and got, and the requests for content.
 * @param {any} source
 * @param {object} [options]
 */
async function loading(source, options) {
  requests = [];
  const pushed = [];
  const platform = fakePlatform({ onPush: (chunk) => pushed.push(Buffer.from(chunk)) });
  const { client, info, again } = await load(source, { hub: base, stallMs: 2000, ...options }, platform);
  client.close(new Error('done'));
  return { info, again, log: platform.log, bytes: Buffer.concat(pushed), asked: requests.filter((line) => line.startsWith('GET') && !line.includes('/api/')) };
}

const HUB = 'https://huggingface.co';
const MAIN = `${HUB}/owner/name/resolve/main/`;

test('addresses of GGUF files, of the hub and others', () => {
  const addresses = {
    'https://host.example/models/a.gguf': 'https://host.example/models/a.gguf',
    'https://host.example/models/a.GGUF?token=1#x': 'https://host.example/models/a.GGUF?token=1',
    'hf:owner/name/a-Q4_K_M.gguf': `${MAIN}a-Q4_K_M.gguf`,
    'hf:owner/name/folder/a.gguf': `${MAIN}folder/a.gguf`,
    'hf:owner/name@v1/a.gguf': `${HUB}/owner/name/resolve/v1/a.gguf`,
    'hf:owner/name@refs/pr/1/a.gguf': `${HUB}/owner/name/resolve/refs%2Fpr%2F1/a.gguf`,
    'hf:owner/name:Q4_K_M': `${MAIN}#Q4_K_M`,
    'hf:owner/name:q4_k_m': `${MAIN}#Q4_K_M`,
    'hf://owner/name@v1:Q8_0': `${HUB}/owner/name/resolve/v1/#Q8_0`,
    'https://huggingface.co/owner/name/blob/main/a.gguf': `${MAIN}a.gguf`,
    'https://huggingface.co/owner/name/resolve/main/folder/a.gguf?download=true': `${MAIN}folder/a.gguf`,
    'hf.co/owner/name/raw/v1/a.gguf': `${HUB}/owner/name/resolve/v1/a.gguf`,
    'https://huggingface.co/owner/name?show_file_info=a-Q4_K_M.gguf': `${MAIN}a-Q4_K_M.gguf`,
    'https://huggingface.co/owner/name/tree/v1?show_file_info=a.gguf': `${HUB}/owner/name/resolve/v1/a.gguf`,
    [`${MAIN}#Q4_K_M`]: `${MAIN}#Q4_K_M`,
  };
  for (const [address, url] of Object.entries(addresses)) assert.equal(sourceUrl(address, HUB).href, url, address);
  for (const bad of ['hf:owner/name:', 'hf:owner/name/a.gguf:Q4_0', 'hf:owner/name/a.bin', 'hf:owner/name/../a.gguf', 'hf:owner/name@:Q4_0', 'hf:owner:Q4_0', 'hf:owner/name:Q4/K']) {
    assert.throws(() => sourceUrl(bad, HUB), { code: 'BAD_INPUT', message: /hf:owner\/name:Q4_K_M.*hf:owner\/name\/file\.gguf/ }, bad);
  }
});

test('a GGUF file at an address is the whole model, and nothing else is requested', async () => {
  site['/models/a.gguf'] = gguf();
  const seen = [];
  const { log, info, asked, bytes } = await loading(`${base}/models/a.gguf?token=1`, { onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(log.slice(0, 1), ['load a.gguf']);
  assert.ok(bytes.equals(site['/models/a.gguf']));
  assert.deepEqual(requests, ['GET /models/a.gguf?token=1']);
  assert.equal(info.cache, 'stored');
  assert.deepEqual([seen.at(-1).phase, seen.at(-1).file, seen.at(-1).total], ['build', 'a.gguf', bytes.length]);
  assert.deepEqual(asked.length, 1);
  const second = await loading(`${base}/models/a.gguf?token=1`);
  assert.deepEqual([second.info.cache, second.asked], ['reused', []]);
  assert.ok(second.bytes.equals(bytes));
  assert.deepEqual((await modelCache.list()).map(({ source, files }) => [source, files.map(({ file }) => file)]), [[`${base}/models/a.gguf?token=1`, ['a.gguf']]]);
  assert.equal(await modelCache.delete(`${base}/models/a.gguf?token=1`), bytes.length);
});

test('the parts of a split file are found by the name of any one', async () => {
  for (const number of [1, 2, 3]) site[`/big-0000${number}-of-00003.gguf`] = gguf(number * 10);
  for (const number of [1, 3]) {
    const seen = [];
    const { log, asked } = await loading(`${base}/big-0000${number}-of-00003.gguf`, { cache: false, onProgress: ({ loaded, total }) => seen.push([loaded, total]) });
    assert.equal(log[0], 'load big-00001-of-00003.gguf');
    assert.equal(log.filter((line) => line === 'end file').length, 3);
    assert.deepEqual(asked, [1, 2, 3].map((number) => `GET /big-0000${number}-of-00003.gguf`));
    assert.deepEqual(seen.at(-1), [seen.at(-1)[1], seen.at(-1)[1]]);
  }
  delete site['/big-00002-of-00003.gguf'];
  await assert.rejects(loading(`${base}/big-00001-of-00003.gguf`), { code: 'NETWORK', message: /^big-00002-of-00003\.gguf is missing/ });
});

test('the hub states the checksum of a GGUF file, and the commit that it comes from', async () => {
  repository = { 'a.gguf': gguf(), 'folder/b c.gguf': gguf() };
  const { asked, bytes } = await loading('hf:owner/name/folder/b c.gguf');
  assert.deepEqual(asked, [`GET /owner/name/resolve/${COMMIT}/folder/b%20c.gguf`]);
  assert.ok(bytes.equals(repository['folder/b c.gguf']));
  meddle = (answer) => ({ ...answer, body: answer.pathname.endsWith('a.gguf') ? Buffer.from(answer.body).fill('G', 0, 20) : answer.body });
  await assert.rejects(loading('hf:owner/name/a.gguf'), { code: 'INTEGRITY', message: /a\.gguf: expected the SHA-256/ });
  await assert.rejects(loading('hf:owner/name/c.gguf'), { code: 'NETWORK', message: /^c\.gguf is missing/ });
});

test('a word of its name chooses a file of the hub', async () => {
  const names = ['README.md', 'a-Q4_K_M.gguf', 'a-Q4_K_S.gguf', 'a.IQ4_NL.gguf', 'a-f16.gguf', 'a-bf16.gguf', 'mmproj-a-f16.gguf', 'Q8_0/a-Q8_0-00001-of-00002.gguf', 'Q8_0/a-Q8_0-00002-of-00002.gguf', 'a-UD-Q6_K.gguf', 'b_q5_1.gguf', 'split/a-Q2_K-00001-of-00001.gguf', 'a-Q2_K.gguf'];
  repository = Object.fromEntries(names.map((name) => [name, gguf()]));
  const found = {
    Q4_K_M: 'a-Q4_K_M.gguf',
    q4_k_s: 'a-Q4_K_S.gguf',
    F16: 'a-f16.gguf',
    BF16: 'a-bf16.gguf',
    IQ4_NL: 'a.IQ4_NL.gguf',
    Q6_K: 'a-UD-Q6_K.gguf',
    Q5_1: 'b_q5_1.gguf',
    Q2_K: 'a-Q2_K.gguf',
    Q8_0: 'Q8_0/a-Q8_0-00001-of-00002.gguf',
  };
  for (const [word, path] of Object.entries(found)) {
    const { log, asked } = await loading(`hf:owner/name:${word}`, { cache: false });
    assert.equal(log[0], `load ${encodeURIComponent(path)}`, word);
    assert.equal(asked[0], `GET /owner/name/resolve/${COMMIT}/${path}`);
    assert.equal(asked.length, word === 'Q8_0' ? 2 : 1);
  }
  for (const word of ['Q4_K', 'Q4_NL', 'Q9']) {
    await assert.rejects(loading(`hf:owner/name:${word}`), { code: 'BAD_INPUT', message: new RegExp(`got \`${word}\`, which no name has; .*\`hf:owner/name/FILE\\.gguf\`.*Q8_0/a-Q8_0-00001-of-00002\\.gguf, a-Q2_K\\.gguf, a-Q4_K_M\\.gguf`) }, word);
  }
  repository = { 'a-Q4_0.gguf': gguf(), 'b-Q4_0.gguf': gguf(), 'c-Q8_0.gguf': gguf() };
  await assert.rejects(loading('hf:owner/name@v1:Q4_0'), {
    code: 'BAD_INPUT',
    message: 'source: got `Q4_0`, which several names have; expected the name of one GGUF file, as in `hf:owner/name@v1/FILE.gguf`, or a word that only its name has, as in `hf:owner/name@v1:Q4_K_M`. There are a-Q4_0.gguf, b-Q4_0.gguf.',
  });
});

test('a chosen file is stored under its word, and loads without the hub', async () => {
  repository = { 'folder/a-Q4_0.gguf': gguf(), 'a-Q8_0.gguf': gguf() };
  const { bytes, info } = await loading('hf:owner/name:q4_0');
  assert.equal(info.cache, 'stored');
  const source = `${base}/owner/name/resolve/main/#Q4_0`;
  assert.deepEqual((await modelCache.list()).map(({ source, complete }) => [source, complete]), [[source, true]]);
  for (const status of [503, 404, 429]) {
    listing = status;
    meddle = (answer) => ({ ...answer, status: 503, body: Buffer.alloc(0) });
    const again = await loading('hf:owner/name:Q4_0');
    assert.equal(again.info.cache, 'reused');
    assert.ok(again.bytes.equals(bytes));
  }
  assert.deepEqual((await modelCache.verify('hf:owner/name:Q4_0', { hub: base })).map(({ ok }) => ok), [true]);
  // The folder of the repository, which is another source, is left alone.
  for (const address of ['hf:owner/name', 'hf:owner/name:Q8_0']) assert.equal(await modelCache.delete(address, { hub: base }), 0);
  assert.equal(await modelCache.delete(source), bytes.length);
  await assert.rejects(loading('hf:owner/name:Q4_0'), { code: 'NETWORK', message: /the hub's list of files could not be fetched.*HTTP 429/ });
});

test('a folder with GGUF files in place of safetensors lists them', async () => {
  repository = { 'config.json': Buffer.from('{}'), 'a-Q4_0.gguf': gguf(), 'mmproj-F16.gguf': gguf() };
  const message = /got a folder without model\.safetensors; expected the name of one GGUF file, as in `hf:owner\/name\/FILE\.gguf`.* There are a-Q4_0\.gguf\.$/;
  for (const task of [loading('hf:owner/name'), estimate('hf:owner/name', { hub: base }, fakePlatform())]) await assert.rejects(task, { code: 'BAD_INPUT', message });
  const file = gguf();
  site = { '/folder/a.gguf': file, '/folder/fireside.lock.json': Buffer.from(JSON.stringify({ files: { 'a.gguf': { size: file.length, sha256: sha256(file) } } })) };
  await assert.rejects(loading(`${base}/folder/`, { lock: true }), { code: 'BAD_INPUT', message: new RegExp(`\`${base}/folder/FILE\\.gguf\`. There are a\\.gguf`) });
  await assert.rejects(loading(`${base}/folder/`), { code: 'NETWORK', message: /config\.json.*it must be a GGUF file, or a folder that holds/ });
  repository['model.safetensors'] = Buffer.alloc(10);
  repository['tokenizer.json'] = Buffer.from('{}');
  assert.equal((await loading('hf:owner/name')).log[0], 'load config tokenizer');
});

test('a lock file states what a GGUF file is', async () => {
  const file = gguf(3 * CHUNK_BYTES);
  site = { '/folder/a.gguf': file, '/folder/fireside.lock.json': Buffer.from(JSON.stringify({ files: { 'a.gguf': { size: file.length, sha256: sha256(file) } } })) };
  assert.equal((await loading(`${base}/folder/a.gguf`, { lock: true })).info.cache, 'stored');
  assert.equal((await loading(`${base}/folder/a.gguf`, { lock: true })).info.cache, 'reused');
  assert.deepEqual(requests, ['GET /folder/fireside.lock.json']);
  const damaged = Buffer.from(file);
  damaged[CHUNK_BYTES] ^= 1;
  site['/folder/a.gguf'] = damaged;
  await assert.rejects(loading(`${base}/folder/a.gguf`, { lock: true, cache: false }), { code: 'INTEGRITY' });
});

test('an interrupted GGUF file resumes, in the same load and in the next', async () => {
  const file = gguf(5 * CHUNK_BYTES);
  site = { '/a.gguf': file };
  let cuts = 1;
  meddle = (answer) => (cuts-- > 0 ? { ...answer, cut: 2.5 * CHUNK_BYTES } : answer);
  const first = await loading(`${base}/a.gguf`);
  assert.ok(first.bytes.equals(file));
  assert.deepEqual(first.asked, ['GET /a.gguf', `GET /a.gguf ${2 * CHUNK_BYTES}-`]);

  disk = new Disk();
  Object.defineProperty(globalThis, 'navigator', { value: disk.navigator(), configurable: true });
  const stop = new AbortController();
  const onProgress = ({ loaded }) => loaded >= 2 * CHUNK_BYTES && stop.abort();
  await assert.rejects(loading(`${base}/a.gguf`, { signal: stop.signal, onProgress }), { name: 'AbortError' });
  disk.revive();
  const second = await loading(`${base}/a.gguf`);
  assert.ok(second.bytes.equals(file));
  const [, from] = /^GET \/a\.gguf (\d+)-$/.exec(second.asked[0]);
  assert.ok(Number(from) >= CHUNK_BYTES, from);
});

test('a file that the engine refuses is not stored, and one that does not fit stays', async () => {
  for (const [begin, code, kept] of [['x', 'NOT_A_MODEL_FILE', 0], ['!', 'OUT_OF_MEMORY', 1]]) {
    site = { '/a.gguf': Buffer.concat([Buffer.from(begin), randomBytes(3 * CHUNK_BYTES)]) };
    await assert.rejects(loading(`${base}/a.gguf`), { code });
    assert.equal((await modelCache.list()).length, kept, code);
  }
});

test('a GGUF file may have any type that a browser has, and any name', async () => {
  const file = gguf();
  const magic = ['load model.gguf', 'load photo.png'];
  const cases = [
    [new Blob([file]), magic[0]],
    [new File([file], 'photo.png'), magic[1]],
    [new File([file], 'a.gguf'), 'load a.gguf'],
    [[new File([file], 'photo.png')], magic[1]],
    [[new File([file], 'a.gguf'), new File(['x'], 'README.md')], 'load a.gguf'],
    [[new File([file], 'a.gguf'), new File(['{}'], 'tokenizer.json')], 'load a.gguf tokenizer'],
    [{ weights: file }, magic[0]],
    [{ weights: file.buffer.slice(file.byteOffset, file.byteOffset + file.length), config: Buffer.from('{}'), tokenizer: Buffer.from('{}') }, 'load model.gguf config tokenizer'],
    [{ weights: new Response(file) }, magic[0]],
    [{ weights: new Blob([file]).stream(), chatTemplate: 'own' }, 'load model.gguf chatTemplate'],
    [{ weights: [new File([file], 'a-00002-of-00002.gguf'), new File([file], 'a-00001-of-00002.gguf')] }, 'load a-00001-of-00002.gguf'],
    [[new File([file], 'a-00002-of-00002.gguf'), new File([file], 'a-00001-of-00002.gguf')], 'load a-00001-of-00002.gguf'],
    [{ weights: [file, file] }, 'load model-00001-of-00002.gguf'],
  ];
  for (const [source, line] of cases) {
    const { log, info, bytes, again } = await loading(source);
    const count = line.includes('-of-') ? 2 : 1;
    assert.equal(log[0], line);
    assert.equal(log.filter((line) => line === 'end file').length, count, line);
    assert.ok(bytes.equals(Buffer.concat(Array(count).fill(file))));
    assert.deepEqual([info.cacheReason, again], ['local', !(source.weights instanceof Response || source.weights instanceof ReadableStream)]);
  }
  site = { '/download': file, '/a.gguf': file, '/b-00001-of-00002.gguf': file, '/b-00002-of-00002.gguf': file };
  assert.equal((await loading({ weights: new URL(`${base}/download`) })).log[0], 'load download');
  const split = await loading({ weights: new URL(`${base}/b-00001-of-00002.gguf?x=1`), tokenizer: Buffer.from('{}') });
  assert.deepEqual([split.log[0], split.asked.length], ['load b-00001-of-00002.gguf tokenizer', 2]);
});

test('files that are not one GGUF model are refused with what is there', async () => {
  const file = gguf();
  const refused = [
    [new File(['png'], 'photo.png'), /expected a GGUF file, or `config` and `tokenizer` beside the weights, got "photo\.png"/],
    [{ weights: new Uint8Array(3) }, /expected a GGUF file, or `config` and `tokenizer`/],
    [{ weights: new Uint8Array(3), config: Buffer.from('{}') }, /expected a GGUF file, or `config` and `tokenizer`/],
    [[new File([file], 'a.gguf'), new File([file], 'b.gguf')], /expected the files of one model, got "a\.gguf, b\.gguf"/],
    [[new File(['x'], 'a.txt')], /missing: config\.json, tokenizer\.json, model\.safetensors\), or a GGUF file/],
  ];
  for (const [source, message] of refused) await assert.rejects(loading(source), { code: 'BAD_INPUT', message });
  await assert.rejects(loading([new File([file], 'a-00001-of-00002.gguf')]), { code: 'NETWORK', message: /a-00002-of-00002\.gguf is missing from the files given/ });
});

test('an estimate fetches the header in growing parts, and no byte twice', async () => {
  site = { '/a.gguf': gguf(9 * CHUNK_BYTES, 5 * CHUNK_BYTES) };
  const estimating = async (source = `${base}/a.gguf`) => {
    requests = [];
    const platform = fakePlatform();
    const result = await estimate(source, { hub: base }, platform);
    return { result, log: platform.log };
  };
  const { result, log } = await estimating();
  assert.equal(result.fits, true);
  assert.deepEqual(log, ['estimate a.gguf', ...[1, 2, 4, 8].map((chunks) => `head ${chunks * CHUNK_BYTES}`)]);
  const ends = [1, 2, 4, 8].map((chunks) => chunks * CHUNK_BYTES);
  assert.deepEqual(requests, ends.map((end, at) => `GET /a.gguf ${ends[at - 1] ?? 0}-${end - 1}`));
  assert.deepEqual(await modelCache.list(), [], 'nothing is stored');
  // Without ranges, or without a name for the version, the beginning comes again.
  meddle = (answer) => ({ ...answer, status: 200, headers: {}, body: site['/a.gguf'] });
  assert.deepEqual((await estimating()).log, log);
  meddle = (answer) => answer;
  assert.deepEqual((await estimating(new Blob([site['/a.gguf']]))).log.slice(1), log.slice(1));
  site = { '/a.gguf': gguf(100, 100) };
  assert.deepEqual((await estimating()).log, ['estimate a.gguf', `head ${site['/a.gguf'].length}`]);
  for (const number of [1, 2]) repository[`a-Q4_0-0000${number}-of-00002.gguf`] = gguf(100 * number, 100);
  assert.equal((await estimating('hf:owner/name:Q4_0')).log.filter((line) => line.startsWith('head')).length, 2);
});
