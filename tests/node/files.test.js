// The engine decides what the files of a model mean together. Bytes, a folder on disk and a folder by URL
// give the same result, which is that of transformers 5.24.0 (tests/files.rs has the same cases natively).

import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { Session } from '../../www/lib/node/index.js';
import { folder, GREEDY } from './harness.js';

process.env.XDG_CACHE_HOME = folder();
const models = folder();
const server = await serve({ mounts: { '/models/': models } });
after(() => server.close());

const KEYS = {
  config: 'config.json',
  tokenizer: 'tokenizer.json',
  weights: 'model.safetensors',
  tokenizerConfig: 'tokenizer_config.json',
  specialTokensMap: 'special_tokens_map.json',
  chatTemplate: 'chat_template.jinja',
};

/**
 * A model folder with other files in it, as every kind of source.
 * @param {string} name
 * @param {string} base
 * @param {Record<string, string>} files
 */
function sources(name, base, files) {
  const path = join(models, name);
  cpSync(join(ROOT, base), path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  const read = (/** @type {string} */ file) => {
    try {
      return readFileSync(join(path, file));
    } catch {
      return undefined;
    }
  };
  const bytes = Object.fromEntries(Object.entries(KEYS).map(([key, file]) => [key, read(file)]).filter(([, bytes]) => bytes));
  return { bytes, disk: path, address: new URL(`/models/${name}/`, server.url).href };
}

const CONFIG = JSON.parse(readFileSync(join(ROOT, 'models', 'chat', 'tokenizer_config.json'), 'utf8'));
const OWN = "{{ 'x y z ' * 40 }}{{ messages[0].content }}";
const config = (/** @type {unknown} */ chat_template) => JSON.stringify({ ...CONFIG, chat_template });

/**
 * The token ids of a chat that says `hi`.
 * @param {any} source
 * @param {object} [options]
 */
async function tokens(source, options) {
  const session = await Session.load(source, options);
  const count = await session.measureContextUsage('hi');
  const { chatTemplate } = session.info();
  session.dispose();
  return [count, chatTemplate];
}

for (const [name, template] of Object.entries({ both: CONFIG.chat_template, null: null, dictionary: { rag: 'R' }, broken: '{% if %}' })) {
  test(`chat_template.jinja overrides tokenizer_config.json: ${name}`, async () => {
    const ways = sources(`file-${name}`, 'models/chat', { 'tokenizer_config.json': config(template), 'chat_template.jinja': OWN });
    for (const source of Object.values(ways)) assert.deepEqual(await tokens(source), [121, 'model']);
  });
}

test("a template of the caller overrides all of the model's", async () => {
  const ways = sources('callers', 'models/chat', { 'tokenizer_config.json': config('{% for x in messages %}'), 'chat_template.jinja': 'other' });
  for (const source of Object.values(ways)) assert.deepEqual(await tokens(source, { chatTemplate: OWN }), [121, 'model']);
  assert.deepEqual(await tokens({ ...ways.bytes, chatTemplate: OWN }), [121, 'model']);
});

test('a broken template stops chats and nothing else', async () => {
  for (const [name, bytes] of Object.entries({ syntax: '{% for x in messages %}', bytes: Buffer.from([0x68, 0x69, 0xff]) })) {
    const ways = sources(`unusable-${name}`, 'models/chat', { 'chat_template.jinja': /** @type {any} */ (bytes) });
    for (const source of Object.values(ways)) {
      const session = await Session.load(source);
      assert.equal(session.info().chatTemplate, 'broken');
      assert.ok((await session.generate('Once', { ...GREEDY, maxTokens: 4 })).text);
      await assert.rejects(async () => session.chat('hi'), { code: 'BAD_TEMPLATE', message: /Pass a working template as `chatTemplate`/ });
      session.dispose();
    }
  }
});

test('special_tokens_map.json is used if tokenizer_config.json names no added tokens', async () => {
  const older = {
    'tokenizer_config.json': '{"tokenizer_class": "PreTrainedTokenizerFast"}',
    'special_tokens_map.json': '{"bos_token": "<s>", "eos_token": "</s>"}',
    'chat_template.jinja': '{{ bos_token }}{{ messages[0].content }}',
  };
  for (const source of Object.values(sources('older', 'tests/fixtures/llama-untied-f32', older))) {
    const session = await Session.load(source);
    const { text, usage } = await session.chat('Once', { ...GREEDY, maxTokens: 16 });
    assert.deepEqual([usage.promptTokens, text], [6, 'g s was of a toe to of ofisy theitit']);
    session.dispose();
  }
});

test('a head in the file overrides tie_word_embeddings, and unused tensors are listed', async () => {
  const base = 'tests/fixtures/llama-untied-f32';
  const text = readFileSync(join(ROOT, base, 'config.json'), 'utf8').replace('"tie_word_embeddings": false', '"tie_word_embeddings": true');
  const session = await Session.load(sources('tied', base, { 'config.json': text }).disk);
  const run = await session.generate('Once upon a time there was a little cat, and it said', { ...GREEDY, maxTokens: 16 });
  assert.equal(run.text, 'itA andmitasoiq apen thezfT');
  assert.deepEqual(session.info().ignoredTensors, []);
  session.dispose();
});
