// How the published wasm applies generation_config.json: it gives the text that transformers writes with
// the same file (tests/golden/make_generation.py), and reports the fields that it ignores.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../../scripts/tools.mjs';
import { ENTRY } from './harness.js';

const { Model } = await import(ENTRY);
const FIXTURE = join(ROOT, 'tests', 'fixtures', 'llama-untied-f32');
const { cases } = JSON.parse(readFileSync(join(ROOT, 'tests', 'golden', 'generation.json'), 'utf8'));
const PROMPT = 'Once upon a time there was a little cat, and it said';

const bytes = (name) => readFileSync(join(FIXTURE, name));

/**
 * The fixture with another generation_config.json (null: none), fields of config.json and swapped rows of
 * the head.
 */
function files({ generation_config: text, config = {}, swap = [] }) {
  const fields = Object.entries({ ...JSON.parse(bytes('config.json')), ...config }).filter(([, value]) => value !== null);
  return {
    config: Buffer.from(JSON.stringify(Object.fromEntries(fields))),
    tokenizer: bytes('tokenizer.json'),
    tokenizerConfig: bytes('tokenizer_config.json'),
    weights: swapped(bytes('model.safetensors'), swap),
    ...(text !== null && { generationConfig: Buffer.from(text) }),
  };
}

function swapped(file, [one, other]) {
  if (one === undefined) return file;
  const header = Number(file.readBigUInt64LE());
  const { shape, data_offsets: [start] } = JSON.parse(file.subarray(8, 8 + header))['lm_head.weight'];
  const row = (index) => file.subarray(8 + header + start + 4 * shape[1] * index, 8 + header + start + 4 * shape[1] * (index + 1));
  const kept = Buffer.from(row(one));
  row(one).set(row(other));
  row(other).set(kept);
  return file;
}

/** Loads a model; `said` is what it wrote to the console. */
async function load(source) {
  const { warn } = console;
  const said = [];
  console.warn = (line) => said.push(line);
  try {
    return { model: await Model.load(source, { threads: 1 }), said };
  } finally {
    console.warn = warn;
  }
}

test('every generation_config gives the text of transformers, and one console line if a field is ignored', async () => {
  for (const one of cases) {
    const { model, said } = await load(files(one));
    assert.deepEqual(model.info().ignoredConfig, one.ignored, one.name);
    assert.equal(said.length, one.ignored.length ? 1 : 0, one.name);
    for (const name of one.ignored) assert.ok(said[0].includes(name), one.name);
    const { text, finishReason } = await model.session().generate(one.prompt, { temperature: 0, ...one.options });
    assert.deepEqual([text, finishReason], [one.text, one.finish], one.name);
    model.dispose();
  }
});

test('the bundled models load without console output', async () => {
  for (const name of ['story', 'chat']) {
    const { model, said } = await load(pathToFileURL(join(ROOT, 'models', name)).href);
    assert.deepEqual([model.info().ignoredConfig, said], [[], []]);
    model.dispose();
  }
});

test('rules work as options, including nested lists, and a caller can turn off a rule of the file', async () => {
  const { model } = await load(files({ generation_config: '{"no_repeat_ngram_size": 1, "do_sample": true}' }));
  const session = model.session();
  const text = async (options) => (await session.generate(PROMPT, { temperature: 0, maxTokens: 16, noRepeatNgramSize: 0, ...options })).text;
  const wanted = (name) => cases.find((one) => one.name === name).text;
  assert.equal(await text({}), wanted('top_k -1'));
  assert.equal(await text({ noRepeatNgramSize: undefined }), wanted('no_repeat_ngram_size 1'));
  assert.equal(await text({ badWordsIds: [[308, 295], [304, 274]] }), wanted('bad_words_ids: sequences'));
  assert.equal(await text({ sequence_bias: [[[271], 6], [[308, 295], -9]] }), wanted('sequence_bias'));
  const { temperature, topK, topP } = model.info().defaults;
  assert.deepEqual([temperature, topK, topP], [1, 50, 1]);
  for (const options of [{ badWordsIds: [[[1]]] }, { badWordsIds: [[() => 1]] }, { sequenceBias: [[[[1]], 2]] }, { stop: [[1]] }, { topK: [[[[[1]]]]] }]) {
    await assert.rejects(session.generate(PROMPT, options), { code: 'BAD_OPTION' }, JSON.stringify(options));
  }
  model.dispose();
});
