// The commands of `npx fireside` for models: models, estimate, inspect, cache, lock.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { SHELF, size } from '../../www/lib/node/shelf.js';
import { folder, STORY } from './harness.js';

const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');

/**
 * @param {string[]} args
 * @param {object} [env]
 * @returns {Promise<{ status: number | null, stdout: string, stderr: string }>}
 */
const run = (args, env) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, [CLI, ...args], { env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.on('close', (status) => resolve({ status, stdout, stderr }));
  });

test('models prints the table of models/README.md', async () => {
  const { status, stdout } = await run(['models']);
  assert.equal(status, 0);
  assert.deepEqual(stdout.trim().split('\n').map((line) => line.split(' ')[0]), SHELF.map(({ name }) => `hf:${name}`));
  const table = readFileSync(join(ROOT, 'models', 'README.md'), 'utf8').split('\n').filter((line) => line.startsWith('| ['));
  const published = table.filter((line) => line.includes('huggingface.co'));
  const expected = SHELF.map(({ name, parameters, weightBytes, fileBytes, kvBytesPerToken, about }) => {
    const weights = size(weightBytes) + (fileBytes ? ` (f32 file: ${size(fileBytes).replace(/ MB$/, '')})` : '');
    const cache = 1000 * kvBytesPerToken >= 1e7 ? `${Math.round(kvBytesPerToken / 1000)} MB` : size(1000 * kvBytesPerToken);
    return `| [${name}](https://huggingface.co/${name}) | ${parameters.toLocaleString('en')} | ${weights} | ${kvBytesPerToken.toLocaleString('en')} B | ${cache} | ${about.replace('|', '\\|').replace('|>', '\\|>')} |`;
  });
  assert.deepEqual(published, expected);
});

test('estimate and inspect describe a folder, given by name or by --model', async () => {
  const { status, stdout, stderr } = await run(['estimate', STORY]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^download +2\.1 MB of weights\nmemory +2\.1 MB for the weights as f16, .*2\.0 MB of KV cache for 1,000 tokens\ncontext +512 tokens, of which 512 fit/);
  const inspected = await run(['inspect', '--model', STORY]);
  assert.equal(inspected.status, 0, inspected.stderr);
  assert.match(inspected.stdout, /family +llama\nparameters +1\.05 M\nshape +4 layers, hidden 128\ncontext +512 tokens\n/i);
  assert.match((await run(['inspect', join(ROOT, 'models', 'chat')])).stdout, /^sampling +temperature 0\.3, top-k 50, top-p 0\.9, /m);
  assert.equal((await run(['estimate'])).status, 2);
  const none = await run(['estimate', 'nobody/nothing']);
  assert.equal(none.status, 1);
  assert.match(none.stderr, /did you mean `hf:nobody\/nothing`\?/);
});

test('lock writes the checksums of a folder with a GGUF file, which needs no other', async () => {
  const copy = folder();
  const bytes = Buffer.from('GGUF and so on');
  writeFileSync(join(copy, 'a.gguf'), bytes);
  writeFileSync(join(copy, 'README.md'), '');
  for (const given of [copy, join(copy, 'a.gguf')]) {
    const { status, stderr } = await run(['lock', given]);
    assert.equal(status, 0, stderr);
    const { files } = JSON.parse(readFileSync(join(copy, 'fireside.lock.json'), 'utf8'));
    assert.deepEqual(files, { 'a.gguf': { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') } });
  }
});

test('lock writes the checksums of a folder', async () => {
  const copy = join(folder(), 'story');
  cpSync(STORY, copy, { recursive: true });
  const { status, stderr } = await run(['lock', copy]);
  assert.equal(status, 0, stderr);
  const { files } = JSON.parse(readFileSync(join(copy, 'fireside.lock.json'), 'utf8'));
  assert.deepEqual(Object.keys(files), readdirSync(STORY).filter((name) => /\.(json|safetensors)$/.test(name) && !name.startsWith('fireside')).sort());
  for (const [name, { size, sha256 }] of Object.entries(files)) {
    assert.equal(size, statSync(join(copy, name)).size);
    assert.equal(sha256, createHash('sha256').update(readFileSync(join(copy, name))).digest('hex'));
  }
  assert.match((await run(['lock', folder()])).stderr, /has no config\.json, so it is not a model folder/);
});

test('cache lists, verifies and deletes what was downloaded', async () => {
  const { url, close } = await serve({ mounts: { '/models/': join(ROOT, 'models') } });
  const [address, env] = [`${url}models/story/`, { XDG_CACHE_HOME: folder() }];
  assert.match((await run(['cache', 'list'], env)).stderr, /nothing is kept in/);
  assert.equal((await run(['inspect', address, '--threads', '1'], env)).status, 0);
  await close();
  const listed = await run(['cache', 'list'], env);
  assert.match(listed.stdout, /^ +2\.\d MB  complete  http:\S+\/models\/story\/\n$/);
  const verified = await run(['cache', 'verify', address], env);
  assert.equal(verified.status, 0, verified.stderr);
  assert.match(verified.stdout, /^ok {6} model\.safetensors$/m);
  for (const args of [['cache'], ['cache', 'clean'], ['cache', 'delete'], ['cache', 'delete', address, '--all']]) assert.equal((await run(args, env)).status, 2, args.join(' '));
  assert.match((await run(['cache', 'delete', `${url}elsewhere/`], env)).stderr, /nothing is kept of/);
  assert.match((await run(['cache', 'delete', address], env)).stderr, /^2\.\d MB freed\n$/);
  assert.equal((await run(['cache', 'list'], env)).stdout, '');
});
