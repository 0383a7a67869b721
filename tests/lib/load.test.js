import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';

import { load } from '../../www/lib/client/load.js';
import { sourceUrl } from '../../www/lib/client/source.js';
import { fakePlatform } from './fake.js';

const encode = (value) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
const HUB = 'https://huggingface.co';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** A folder as saved by transformers before 4.34. */
const older = (name) => ({
  [`/${name}/config.json`]: '{}',
  [`/${name}/tokenizer.json`]: '{}',
  [`/${name}/tokenizer_config.json`]: '{"tokenizer_class": "LlamaTokenizerFast"}',
  [`/${name}/special_tokens_map.json`]: '{"bos_token": "<s>"}',
  [`/${name}/model.safetensors`]: Buffer.alloc(10),
});

/** The server's folders; a function responds by itself. */
const site = {
  '/whole/config.json': '{}',
  '/whole/tokenizer.json': '{}',
  '/whole/tokenizer_config.json': '{"chat_template": "x", "added_tokens_decoder": {}}',
  '/whole/model.safetensors': Buffer.alloc(300_000),
  '/both/config.json': '{}',
  '/both/tokenizer.json': '{}',
  '/both/tokenizer_config.json': '{"chat_template": "x", "added_tokens_decoder": {}}',
  '/both/chat_template.jinja': 'y',
  '/both/model.safetensors': Buffer.alloc(10),
  ...older('older'),
  ...older('older-listed'),
  '/older-listed/fireside.lock.json': JSON.stringify({
    files: Object.fromEntries(Object.entries(older('older-listed')).map(([path, bytes]) => [path.split('/')[2], { size: bytes.length, sha256: sha256(bytes) }])),
  }),
  '/sharded/config.json': '{}',
  '/sharded/tokenizer.json': '{}',
  '/sharded/model.safetensors.index.json': JSON.stringify({
    metadata: { total_size: 30 },
    files: { 'a.safetensors': 1, 'b.safetensors': 1 },
  }),
  '/sharded/a.safetensors': Buffer.alloc(10),
  '/sharded/b.safetensors': Buffer.alloc(20),
  '/escape/config.json': '{}',
  '/escape/tokenizer.json': '{}',
  '/escape/model.safetensors.index.json': JSON.stringify({ files: { '../whole/model.safetensors': 1 } }),
  '/refused/config.json': '{"broken": true}',
  '/refused/tokenizer.json': '{}',
  '/refused/model.safetensors': Buffer.alloc(10),
  '/cut/config.json': '{}',
  '/cut/tokenizer.json': '{}',
  // Breaks off after a chunk and a half; later requests get the range that they ask for.
  '/cut/model.safetensors': (response, { headers }) => {
    const bytes = Buffer.alloc(3 << 20, 7);
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    ranges.push(headers.range);
    if (from) {
      response.writeHead(206, { etag: '"1"', 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
      return response.end(bytes.subarray(from));
    }
    response.writeHead(200, { etag: '"1"', 'content-length': bytes.length });
    response.write(bytes.subarray(0, 3 << 19), () => setTimeout(() => response.destroy(), 20));
  },
  '/endless/config.json': '{}',
  '/endless/tokenizer.json': '{}',
  '/endless/model.safetensors': (response) => {
    const timer = setInterval(() => response.write(Buffer.alloc(1000)), 2);
    response.on('close', () => (clearInterval(timer), (endlessClosed = true)));
  },
};
let endlessClosed = false;
/** The ranges requested of the file that breaks off. @type {(string | undefined)[]} */
const ranges = [];
/** @type {string[]} */
let requests = [];
let base = '';

const server = createServer((request, response) => {
  const path = request.url ?? '';
  requests.push(path);
  if (path.startsWith('/app/')) return response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>App</title>');
  const body = site[path];
  if (typeof body === 'function') return body(response, request);
  return body === undefined ? response.writeHead(404).end('no') : response.writeHead(200).end(body);
});
before(async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => (server.closeAllConnections(), server.close()));

async function loading(source, options) {
  requests = [];
  const platform = fakePlatform();
  const { client, info } = await load(source, options, platform);
  client.close(new Error('done'));
  return { info, log: platform.log, workers: platform.workers };
}

test('a folder is read with as few requests as possible', async () => {
  const { log } = await loading(`${base}/whole`);
  assert.deepEqual(
    requests.sort(),
    ['chat_template.jinja', 'config.json', 'generation_config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map(
      (name) => `/whole/${name}`,
    ),
  );
  assert.equal(log[0], 'load config tokenizer tokenizerConfig');
  assert.equal(log.at(-1), 'end file');
});

test('the extra files of older folders are requested only if the engine needs them', async () => {
  for (const [folder, lock] of [['older', false], ['older-listed', true]]) {
    const { log } = await loading(`${base}/${folder}`, { lock });
    assert.equal(log[0], 'load config tokenizer tokenizerConfig specialTokensMap');
    assert.equal(requests.includes(`/${folder}/special_tokens_map.json`), true);
    assert.equal(requests.includes(`/${folder}/added_tokens.json`), !lock); // a list avoids the request
  }
  const { log } = await loading([
    ...['config.json', 'tokenizer.json', 'special_tokens_map.json', 'added_tokens.json'].map((name) => new File(['{}'], name)),
    new File([new Uint8Array(1)], 'model.safetensors'),
  ]);
  assert.equal(log[0], 'load config tokenizer specialTokensMap addedTokens');
});

/**
 * `chat_template.jinja` was not requested if tokenizer_config.json contained the text "chat_template", and
 * the caller's template was dropped.
 */
test('every template goes to the engine, and the caller\'s replaces the file', async () => {
  const { log } = await loading(`${base}/both`);
  assert.equal(log[0], 'load config tokenizer tokenizerConfig chatTemplate');
  assert.deepEqual([log.at(-1), requests.includes('/both/chat_template.jinja')], ['end file', true]);
  const own = await loading(`${base}/both`, { chatTemplate: 'own' });
  assert.deepEqual([own.log[0], requests.includes('/both/chat_template.jinja')], [log[0], false]);
  const bytes = { config: encode('{}'), tokenizer: encode('{}'), weights: new Uint8Array(1), tokenizerConfig: encode('{"chat_template": null, "added_tokens_decoder": {}}') };
  assert.equal((await loading({ ...bytes, chatTemplate: 'own' })).log[0], log[0]);
  assert.equal((await loading(bytes, { chatTemplate: 'own' })).log[0], log[0]);
  await assert.rejects(loading(bytes, { chatTemplate: new Uint8Array(1) }), { code: 'BAD_OPTION', message: /`chatTemplate`: expected the text of a template/ });
});

test('shards are read in the order of the index', async () => {
  const { log } = await loading(new URL(`${base}/sharded/`));
  assert.deepEqual(
    log.filter((line) => /push|end/.test(line)),
    ['push 10', 'end file', 'push 20', 'end file'],
  );
});

test('a shard name that leads out of the folder is never requested', async () => {
  await assert.rejects(loading(`${base}/escape`), { code: 'BAD_FILE' });
  assert.ok(!requests.includes('/whole/model.safetensors'));
});

test('a refused config ends the load before the weights', async () => {
  await assert.rejects(loading(`${base}/refused`), { code: 'UNSUPPORTED_MODEL' });
  assert.ok(!requests.includes('/refused/model.safetensors'));
});

test('errors about missing files and HTML pages name the URL', async () => {
  await assert.rejects(loading(`${base}/nowhere`), { code: 'NETWORK', message: /config\.json.*HTTP 404/ });
  await assert.rejects(loading(`${base}/app/`), { code: 'NOT_A_MODEL_FILE', message: /HTML page/ });
  await assert.rejects(loading('http://127.0.0.1:1/'), { code: 'NETWORK', message: /connection/ });
});

test('an interrupted download resumes after its last complete chunk, and the engine gets every byte once', async () => {
  const { log } = await loading(`${base}/cut`);
  assert.deepEqual(ranges, [undefined, 'bytes=1048576-']);
  assert.deepEqual(log.slice(1), ['push 1048576', 'push 1048576', 'push 1048576', 'end file']);
});

test('every failure ends the worker', async () => {
  for (const folder of ['nowhere', 'refused', 'app', 'escape']) {
    const platform = fakePlatform();
    await assert.rejects(load(`${base}/${folder}`, {}, platform));
    assert.equal(platform.workers.size, 0, folder);
  }
});

test('an abort during the weights cancels the fetch and ends the worker', async () => {
  const platform = fakePlatform();
  const controller = new AbortController();
  const onProgress = ({ file, loaded }) => file === 'model.safetensors' && loaded > 5000 && controller.abort();
  await assert.rejects(load(`${base}/endless`, { signal: controller.signal, onProgress }, platform), { name: 'AbortError' });
  assert.equal(platform.workers.size, 0);
  while (!endlessClosed) await new Promise((resolve) => setTimeout(resolve, 5));
});

test('an abort before the start fetches nothing', async () => {
  await assert.rejects(loading(`${base}/whole`, { signal: AbortSignal.abort() }), { name: 'AbortError' });
  assert.deepEqual(requests, []);
});

test('an abort in the tick of the call, or while the worker is prepared, ends the load', async () => {
  const atOnce = new AbortController();
  const promise = load(`${base}/whole`, { signal: atOnce.signal }, fakePlatform());
  atOnce.abort();
  await assert.rejects(promise, { name: 'AbortError' });

  const later = new AbortController();
  const platform = { ...fakePlatform(), prepare: async () => later.abort() };
  await assert.rejects(load(`${base}/whole`, { signal: later.signal }, platform), { name: 'AbortError' });
  assert.equal(platform.workers.size, 0);
});

test('files may have any type that a browser has, and the caller\'s bytes stay unchanged', async () => {
  const weights = new Uint8Array(3_000_000).subarray(7);
  const stream = new Blob(['{}']).stream();
  const { log } = await loading({
    config: stream,
    tokenizer: new Response('{}'),
    weights,
    chatTemplate: 'template',
    generationConfig: new URL(`${base}/whole/config.json`),
    tokenizerConfig: encode('{}').buffer,
  });
  assert.equal(log[0], 'load config tokenizer tokenizerConfig generationConfig chatTemplate');
  assert.equal(log.filter((line) => line.startsWith('push')).length, 3);
  assert.equal(weights.length, 2_999_993);
});

test('a list of Files is sorted by name, the topmost model first', async () => {
  const file = (name, bytes = encode('{}'), path = '') =>
    Object.defineProperty(new File([bytes], name), 'webkitRelativePath', { value: path });
  const { log } = await loading([
    file('config.json', encode({ broken: true }), 'model/old/config.json'),
    file('model.safetensors', new Uint8Array(5), 'model/model.safetensors'),
    file('config.json', undefined, 'model/config.json'),
    file('tokenizer.json', undefined, 'model/tokenizer.json'),
    file('README.md', undefined, 'model/README.md'),
  ]);
  assert.deepEqual(log.slice(1), ['push 5', 'end file']);
  await assert.rejects(loading([file('photo.png'), file('notes.txt')]), {
    code: 'BAD_INPUT',
    message: /missing: config\.json, tokenizer\.json, model\.safetensors.*photo\.png/,
  });
});

test('shards among Files are found by name', async () => {
  const index = encode({ files: { 'b.safetensors': 1, 'a.safetensors': 1 } });
  const files = [
    ['a.safetensors', new Uint8Array(1)],
    ['b.safetensors', new Uint8Array(2)],
    ['config.json', encode('{}')],
    ['tokenizer.json', encode('{}')],
    ['model.safetensors.index.json', index],
  ];
  const { log } = await loading(files.map(([name, bytes]) => new File([bytes], name)));
  assert.deepEqual(log.slice(1), ['push 2', 'end file', 'push 1', 'end file']);
});

test('progress never decreases and ends complete', async () => {
  for (const source of [`${base}/whole`, `${base}/sharded`]) {
    const seen = [];
    await loading(source, { onProgress: (progress) => seen.push(progress) });
    let last = { loaded: 0, total: undefined };
    for (const progress of seen) {
      assert.ok(progress.loaded >= last.loaded && (last.total === undefined || progress.total === last.total));
      assert.ok(progress.loaded <= (progress.total ?? Infinity));
      last = progress;
    }
    assert.deepEqual([last.phase, last.loaded], ['build', last.total]);
  }
});

test('load options are checked before anything is fetched', async () => {
  await assert.rejects(loading(`${base}/whole`, { dtype: 'q2' }), { code: 'BAD_OPTION', message: /auto, f32, f16, bf16, q8, q4/ });
  for (const threads of [0, 33, 1.5, -1, NaN, '2', true, null]) {
    await assert.rejects(loading(`${base}/whole`, { threads }), { code: 'BAD_OPTION', message: /`threads`: expected "auto" or a whole number from 1 to 32/ });
  }
  await assert.rejects(loading(`${base}/whole`, { kvDtype: 'q4' }), { code: 'BAD_OPTION', message: /`kvDtype`: expected one of f32, f16, q8/ });
  await assert.rejects(loading(`${base}/whole`, { weightBytesMax: '1 GB' }), { code: 'BAD_OPTION', message: /`weightBytesMax`/ });
  await assert.rejects(loading(`${base}/whole`, { deterministic: 'yes' }), { code: 'BAD_OPTION', message: /`deterministic`: expected true or false/ });
  await assert.rejects(loading(`${base}/whole`, { dytpe: 'f16' }), {
    code: 'BAD_OPTION',
    message: /dtype, kvDtype, weightBytesMax, memoryBytesMax, kvBytesMax, threads, deterministic, cache, stallMs, lock, chatTemplate, onProgress, signal, hub/,
  });
  await assert.rejects(loading(42), { code: 'BAD_INPUT' });
  await assert.rejects(loading({ config: encode('{}') }), { code: 'BAD_INPUT', message: /tokenizer/ });
  await assert.rejects(loading({ config: 1, tokenizer: 2, weights: 3, wieghts: 4 }), { code: 'BAD_INPUT', message: /wieghts/ });
  assert.deepEqual(requests, []);
});

test('the build follows the options, and info() reports the result', async () => {
  const asked = { threads: 4, deterministic: true };
  const cases = [
    [{}, { build: 'relaxed', threads: 1, auto: true, reason: 'not-isolated' }, { threads: 1 }, { threads: 1, threadsReason: 'not-isolated' }],
    [asked, { build: 'simd128-threads', threads: 4, auto: false }, undefined, { threads: 4, threadsReason: undefined }],
    [asked, { build: 'simd128-threads', threads: 4, auto: false }, { threads: 1, reason: 'not-started' }, { threads: 1, threadsReason: 'not-started' }],
  ];
  for (const [options, choice, settled, told] of cases) {
    const platform = fakePlatform({ choice, settled });
    const { client, info } = await load(`${base}/whole`, options, platform);
    client.close(new Error('done'));
    assert.deepEqual(platform.wanted, [{ threads: 'auto', deterministic: false, ...options }]);
    const { build, threads, threadsReason } = info;
    assert.deepEqual({ build, threads, threadsReason }, { build: choice.build, ...told });
  }
});

test('a thread that cannot start is skipped, and all threads end with the engine', async () => {
  const platform = fakePlatform({ choice: { build: 'relaxed-threads', threads: 4, auto: false }, lame: 3 });
  const { client, info } = await load(`${base}/whole`, {}, platform);
  assert.equal(info.threads, 3);
  assert.equal(platform.threads.size, 3);
  client.close(new Error('done'));
  assert.equal(platform.threads.size, 0);
  assert.equal(await client.startThread(() => platform.spawnThread(), {}), false);
});

test('a thread that dies later ends the engine', async () => {
  const platform = fakePlatform({ choice: { build: 'relaxed-threads', threads: 2, auto: false } });
  const { client } = await load(`${base}/whole`, {}, platform);
  const [thread] = platform.threads;
  const pending = client.request('never', {});
  thread.onerror({ message: 'unreachable executed' });
  await assert.rejects(pending, { code: 'CRASHED', message: /unreachable executed/ });
  assert.equal(platform.workers.size + platform.threads.size, 0);
});

test('hub names become URLs, and nothing else does', () => {
  assert.equal(sourceUrl('hf:owner/name@abc', HUB).href, 'https://huggingface.co/owner/name/resolve/abc/');
  assert.equal(sourceUrl('hf:owner/name', 'https://mirror.example/').href, 'https://mirror.example/owner/name/resolve/main/');
  assert.equal(sourceUrl('hf:owner/name@refs/pr/1', HUB).href, 'https://huggingface.co/owner/name/resolve/refs%2Fpr%2F1/');
  assert.equal(sourceUrl('https://huggingface.co/owner/name', HUB).href, 'https://huggingface.co/owner/name/resolve/main/');
  assert.equal(sourceUrl('https://huggingface.co/owner/name/tree/v1', HUB).href, 'https://huggingface.co/owner/name/resolve/v1/');
  assert.equal(sourceUrl('https://example.org/m?token=1#x', HUB).href, 'https://example.org/m/?token=1');
  for (const bad of ['ftp://example.org/', 'mailto:a@b', 'data:,x', 'C:/models', 'hf:owner', 'hf:../..', 'hf:a/b@../../c', 'hf:a/b c', 'javascript:alert(1)', 'https://user:pass@example.org/', '']) {
    assert.throws(() => sourceUrl(bad, HUB), { code: 'BAD_INPUT' }, bad);
  }
});

test("URLs copied from the hub are the folder of that revision", () => {
  const files = (revision, name = 'owner/name') => `https://huggingface.co/${name}/resolve/${revision}/`;
  const addresses = {
    'https://huggingface.co/owner/name/tree/refs%2Fpr%2F1': files('refs%2Fpr%2F1'),
    'https://huggingface.co/owner/name/tree/refs/pr/1': files('refs%2Fpr%2F1'),
    'https://huggingface.co/owner/name/tree/feature%2Fx?a=1#b': files('feature%2Fx'),
    'https://huggingface.co/owner/name?library=transformers': files('main'),
    'https://huggingface.co/owner/name#usage': files('main'),
    'https://huggingface.co/owner/name.git': files('main'),
    'https://huggingface.co/owner/name/blob/main/config.json': files('main'),
    'https://huggingface.co/owner/name/raw/v1/tokenizer.json': files('v1'),
    'https://huggingface.co/owner/name/resolve/main/model.safetensors?download=true': files('main'),
    'https://huggingface.co/owner/name/resolve/main/model-00001-of-00002.safetensors': files('main'),
    'https://huggingface.co/owner/name/resolve/main/onnx/': `${files('main')}onnx/`,
    'https://huggingface.co/owner/name/commit/0123abc': files('0123abc'),
    'https://hf.co/owner/name': files('main'),
    'http://www.huggingface.co/owner/name/': files('main'),
    'huggingface.co/owner/name': files('main'),
    'git@hf.co:owner/name': files('main'),
    'hf:owner/name@refs%2Fpr%2F1': files('refs%2Fpr%2F1'),
    'hf://owner/name@v1': files('v1'),
    'https://host.example/models/config.json': 'https://host.example/models/',
    'https://host.example/models/model.safetensors?token=1': 'https://host.example/models/?token=1',
  };
  for (const [address, folder] of Object.entries(addresses)) assert.equal(sourceUrl(address, HUB).href, folder, address);
  assert.equal(sourceUrl('https://mirror.example/owner/name/blob/main/config.json', 'https://mirror.example').href, 'https://mirror.example/owner/name/resolve/main/');
  assert.equal(sourceUrl('https://mirror.example/my/models/', 'https://mirror.example').href, 'https://mirror.example/my/models/');
  assert.equal(sourceUrl('https://huggingface.co.example/owner/name', HUB).href, 'https://huggingface.co.example/owner/name/');
});

test('a hub URL that is not a model is refused with an example of one', () => {
  const addresses = {
    'https://huggingface.co/owner/name/tree/main/onnx': /`hf:owner\/name@main` .* or `https:\/\/huggingface\.co\/owner\/name\/resolve\/main\/onnx\/`/,
    'https://huggingface.co/owner/name/blob/v1/onnx/config.json': /`hf:owner\/name@v1` .* or `https:\/\/huggingface\.co\/owner\/name\/resolve\/v1\/onnx\/`/,
    'https://huggingface.co/owner/name/discussions/3': /`hf:owner\/name`/,
    'https://huggingface.co/datasets/owner/name': /`hf:owner\/name`/,
    'https://huggingface.co/owner': /`hf:owner\/name`/,
    'https://huggingface.co/owner/name/tree/%E0%A4%A': /revision/,
    'https://huggingface.co/owner/name/tree/../../other': /`hf:owner\/name`/,
    'https://host.example/model.Q4.bin': /the folder, or of each file/,
  };
  for (const [address, message] of Object.entries(addresses)) assert.throws(() => sourceUrl(address, HUB), { code: 'BAD_INPUT', message }, address);
});

test('pages of extensions and apps load folders with their own schemes', () => {
  for (const scheme of ['chrome-extension', 'moz-extension', 'capacitor', 'ionic', 'tauri', 'app', 'asset', 'another']) {
    assert.equal(sourceUrl(`${scheme}://host/models/chat`, HUB).href, `${scheme}://host/models/chat/`);
    Object.defineProperty(globalThis, 'location', { value: { href: `${scheme}://host/pages/index.html` }, configurable: true });
    try {
      assert.equal(sourceUrl('models/chat/', HUB).href, `${scheme}://host/pages/models/chat/`);
    } finally {
      Reflect.deleteProperty(globalThis, 'location');
    }
  }
});
