// Loading and exiting in Node: folders on disk, workers, threads, and a process that exits by itself.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, openSync, ftruncateSync, closeSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import * as browsers from '../../www/lib/index.js';
import * as nodes from '../../www/lib/node/index.js';
import { disk } from '../../www/lib/node/disk.js';
import { folder, GOLDEN, GREEDY, program, PROMPT, STORY, told } from './harness.js';

const { Model, Session } = nodes;
const options = { ...GREEDY, maxTokens: GOLDEN.tokens.length };

test('the entry for Node exports the same names as the one for browsers', () => {
  assert.deepEqual(Object.keys(nodes), Object.keys(browsers));
});

test('a model loads from a path, absolute or relative, and from file: URLs, and writes the golden text', async () => {
  const at = (/** @type {string} */ name) => pathToFileURL(join(STORY, name));
  const files = { config: at('config.json'), tokenizer: at('tokenizer.json'), tokenizerConfig: at('tokenizer_config.json'), weights: at('model.safetensors') };
  for (const source of [STORY, relative(process.cwd(), STORY), pathToFileURL(STORY), pathToFileURL(`${STORY}/`).href, files]) {
    const session = await Session.load(source);
    assert.equal((await session.generate(PROMPT, options)).text, GOLDEN.text);
    assert.deepEqual([session.info().cache, session.info().cacheReason], ['none', 'local']);
    session.dispose();
  }
});

test('a folder with URL characters in its name loads, and so does a folder of links', async () => {
  const place = join(folder(), 'a #1 model? 100%');
  cpSync(STORY, place, { recursive: true });
  const links = folder();
  for (const name of ['config.json', 'tokenizer.json', 'model.safetensors']) symlinkSync(join(STORY, name), join(links, name));
  for (const path of [place, links]) (await Model.load(path)).dispose();
});

test('a missing folder, a file in its place, and a folder without a model give BAD_INPUT', async () => {
  const file = join(STORY, 'config.json');
  for (const source of [join(STORY, 'nowhere'), 'file://elsewhere/model', file, pathToFileURL(file), folder(), { config: pathToFileURL(`${STORY}/none`), tokenizer: new Uint8Array(), weights: new Uint8Array() }]) {
    await assert.rejects(Model.load(source), { name: 'FiresideError', code: 'BAD_INPUT' }, String(source));
  }
});

test('an estimate from a path reads the same weights as a load', async () => {
  const estimate = await Model.estimate(STORY);
  const model = await Model.load(STORY);
  assert.equal(estimate.weightBytes, model.info().weightBytes);
  model.dispose();
});

test('a file on disk is read piece by piece', async () => {
  const path = join(folder(), 'large');
  const file = openSync(path, 'w');
  ftruncateSync(file, 600 << 20); // a sparse file, which takes no space
  closeSync(file);
  let [bytes, most] = [0, 0];
  for await (const piece of disk.file(pathToFileURL(path)).stream()) {
    bytes += piece.length;
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  }
  assert.equal(bytes, 600 << 20);
  assert(most < 300 << 20, `${most} bytes of buffers at once`);
});

for (const threads of [1, 2, 4]) {
  test(`with ${threads} threads the text is the golden one`, async () => {
    const session = await Session.load(STORY, { threads, deterministic: true });
    const { text } = await session.generate(PROMPT, options);
    assert.equal(text, GOLDEN.text);
    assert.deepEqual([session.info().threads, session.info().build], [threads, threads > 1 ? 'simd128-threads' : 'simd128']);
    session.dispose();
  });
}

test('relaxed SIMD is used if Node supports it', async () => {
  const relaxed = WebAssembly.validate(Buffer.from('AGFzbQEAAAABBQFgAAF7AwIBAAoPAQ0AQQH9D0EC/Q/9gAIL', 'base64'));
  const source = `const model = await Model.load(${JSON.stringify(STORY)}); console.log(JSON.stringify(model.info().build.startsWith('relaxed'))); model.dispose();`;
  assert.equal(await told(source), relaxed);
});

test('a process exits by itself: after dispose, left idle, with threads, after an abort, and with an attached model', async () => {
  const load = `const session = await Session.load(${JSON.stringify(STORY)}, { threads: 2 });`;
  const run = `await session.generate('Once', { maxTokens: 4 });`;
  const abort = `const controller = new AbortController();
    const long = session.generate('Once', { maxTokens: 400, temperature: 50, topP: 1, signal: controller.signal });
    for await (const _ of long) { controller.abort(); break; }`;
  const attach = 'const attached = (await Model.attach(await session.model.port())).session(); await attached.tokenize("Once");';
  for (const lines of [`${load} ${run} session.dispose();`, `${load} ${run}`, load, `${load} ${abort}`, `${load} ${attach}`]) {
    const started = program(lines);
    assert.equal(await started.done, 0, `${lines}\n${started.errors}`);
  }
});

test('a process does not exit while a text is being generated', async () => {
  const lines = `const session = await Session.load(${JSON.stringify(STORY)});
    session.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(options)}).then(({ text }) => console.log(JSON.stringify(text)));`;
  assert.equal(await told(lines), GOLDEN.text);
});

/** Lines of a program that records the library's workers, as `workers`. */
const WATCHED = `import threads, { Worker } from 'node:worker_threads';
  import { syncBuiltinESMExports } from 'node:module';
  const workers = [];
  threads.Worker = class extends Worker { constructor(...args) { super(...args); workers.push(this); } };
  syncBuiltinESMExports();
  const codeOf = (promise) => Promise.resolve(promise).then(() => 'none', (error) => error.code);`;

for (const [what, kill] of [
  ['worker', 'workers[0].terminate()'],
  ['thread', 'workers[1].terminate()'],
]) {
  test(`when a ${what} dies, calls reject with CRASHED, and reload brings the session back`, async () => {
    const result = await told(`${WATCHED}
      const session = await Session.load(${JSON.stringify(STORY)}, { threads: 2 });
      const [kept] = [await session.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(options)})];
      const under = codeOf(session.generate('Once', { maxTokens: 500, temperature: 50, topP: 1 }));
      await ${kill};
      const codes = [await under, await codeOf(session.generate('Once'))];
      await session.model.reload();
      const { text } = await session.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(options)});
      session.dispose();
      console.log(JSON.stringify({ codes, text, same: text === kept.text }));`);
    assert.deepEqual(result, { codes: ['CRASHED', 'CRASHED'], text: GOLDEN.text, same: true });
  });
}

test('a library without its wasm says which file is missing', async () => {
  const copy = folder();
  cpSync(join(STORY, '..', '..', 'www', 'lib'), join(copy, 'lib'), { recursive: true });
  for (const build of ['simd128', 'simd128-threads', 'relaxed', 'relaxed-threads']) rmSync(join(copy, 'lib', 'pkg', `${build}_bg.wasm`), { force: true });
  writeFileSync(join(copy, 'package.json'), '{"type": "module"}');
  mkdirSync(join(copy, 'node_modules'));
  const { Model } = await import(pathToFileURL(join(copy, 'lib', 'node', 'index.js')).href);
  await assert.rejects(Model.load(STORY), { code: 'NETWORK', message: /_bg\.wasm \(HTTP 404\)\. Copy the folder pkg/ });
});
