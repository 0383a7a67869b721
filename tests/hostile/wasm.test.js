// The corpus of malformed model files on the published wasm. Each case ends with the code and the full
// message of cases.json, as natively (tests/hostile.rs). A trap is a failure, and the instance is not used
// again.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { filesOf } from './apply.mjs';
import { manifest } from './make.mjs';

const corpus = readFileSync(new URL('cases.json', import.meta.url), 'utf8');
const pkg = join(ROOT, 'www', 'lib', 'pkg');
const module = new WebAssembly.Module(readFileSync(join(pkg, 'simd128_bg.wasm')));

/** The engine: one instance until it traps, then a new one. */
let engine;
let instances = 0;
async function fresh() {
  instances += 1;
  engine = await import(`${join(pkg, 'simd128.js')}?${instances}`);
  engine.initSync({ module });
}

function load(files) {
  const small = { config: 'config.json', tokenizer: 'tokenizer.json', tokenizerConfig: 'tokenizer_config.json', generationConfig: 'generation_config.json', specialTokensMap: 'special_tokens_map.json', addedTokens: 'added_tokens.json', chatTemplate: 'chat_template.jinja', index: 'model.safetensors.index.json' };
  const given = Object.fromEntries(Object.entries(small).map(([name, file]) => [name, files.get(file)]));
  const loader = files.has('model.gguf') ? engine.Loader.gguf('model.gguf', given, {}) : new engine.Loader(given, {});
  for (const name of loader.files()) {
    if (!files.has(name)) break;
    loader.push(files.get(name));
    loader.endFile();
  }
  return loader.finish();
}

/** Runs a case. Returns the tokens, if the case asks for some. */
function run({ encode, prompt, decode, chat }, files) {
  const model = load(files);
  let tokens;
  if (encode !== undefined) tokens = [...model.tokenize(encode)];
  if (prompt !== undefined) tokens = [...model.tokenize(prompt, { special: true })];
  if (decode) model.detokenize(Uint32Array.from(decode));
  if (chat !== undefined) {
    const turn = model.session().chat(chat, { maxTokens: 1, temperature: 0, repetitionPenalty: 1 });
    while (turn.step().kind !== 'end');
  }
  return tokens;
}

test('the corpus matches make.mjs', () => assert(manifest === corpus, 'run node tests/hostile/make.mjs'));

for (const one of JSON.parse(corpus)) {
  test(one.name, async () => {
    if (!engine) await fresh();
    const files = filesOf(one);
    let got = {};
    try {
      const tokens = run(one, files);
      if (one.tokens) got = { tokens };
    } catch (error) {
      if (error.name !== 'FiresideError') {
        engine = undefined;
        throw error;
      }
      got = { code: error.code, message: error.message };
    }
    const { code, message, tokens } = one;
    assert.deepEqual(got, code ? { code, message } : tokens ? { tokens } : {});
  });
}
