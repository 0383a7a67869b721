// A model's name on the hub without `hf:`, in every kind of source.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { FiresideError, hubHint } from '../../www/lib/shared/errors.js';
import { load } from '../../www/lib/client/load.js';
import { Model } from '../../www/lib/node/index.js';
import { fakePlatform } from '../lib/fake.js';

const NAME = 'HuggingFaceTB/SmolLM2-135M-Instruct';
const HINT = new RegExp(`did you mean \`hf:${NAME}\`\\?`);
const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');

test('a hub name without hf: that is not a folder gets a hint in Node', async () => {
  for (const task of [Model.load(NAME), Model.estimate(NAME)]) await assert.rejects(task, { code: 'BAD_INPUT', message: HINT });
});

test('a hub name without hf: gets a hint in the terminal', () => {
  for (const command of [['chat'], ['generate', 'Once'], ['serve']]) {
    const { status, stderr } = spawnSync(process.execPath, [CLI, ...command, '--model', NAME], { encoding: 'utf8', input: '' });
    assert.equal(status, 1);
    assert.match(stderr, HINT);
  }
});

test('a hub name without hf: gets a hint in a page, where the URL has no config.json or an HTML page', async (context) => {
  const page = { href: 'http://localhost:1/', origin: 'http://localhost:1' };
  Object.defineProperty(globalThis, 'location', { value: page, configurable: true });
  context.after(() => Reflect.deleteProperty(globalThis, 'location'));
  const answers = [() => new Response('no', { status: 404 }), () => new Response('<!doctype html>', { headers: { 'Content-Type': 'text/html' } })];
  for (const answer of answers) {
    context.mock.method(globalThis, 'fetch', async () => answer());
    await assert.rejects(load(NAME, { cache: false }, fakePlatform()), (error) => error instanceof FiresideError && HINT.test(error.message));
    await assert.rejects(load('models/story/', { cache: false }, fakePlatform()), (error) => error instanceof FiresideError && !error.message.includes('did you mean'));
  }
});

test('other wrong sources get no such hint', async () => {
  for (const source of ['models/story/', './a/b', '/a/b', 'a/b/c', 'a', `hf:${NAME}`, 'https://a.example/b', '', new URL('http://a.example/b')]) assert.equal(hubHint(source), '', String(source));
  assert.equal(hubHint('a/b@v1.0'), 'did you mean `hf:a/b@v1.0`?');
  await assert.rejects(Model.load('models/nowhere'), ({ message }) => !message.includes('did you mean'));
});
