// Checks that the lock files of the bundled models match their files.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';

for (const model of ['story', 'chat']) {
  test(`the lock file of ${model} lists every file of the model (after a change: cargo run -- lock models/${model})`, () => {
    const folder = join(ROOT, 'models', model);
    const read = (name) => readFileSync(join(folder, name));
    const of = (name) => ({ sha256: createHash('sha256').update(read(name)).digest('hex'), size: read(name).length });
    const names = readdirSync(folder).filter((name) => /\.safetensors$|^(config|tokenizer|tokenizer_config|generation_config|chat_template)\.(json|jinja)$/.test(name));
    assert.deepEqual(JSON.parse(read('fireside.lock.json')), { files: Object.fromEntries(names.sort().map((name) => [name, of(name)])) });
  });
}
