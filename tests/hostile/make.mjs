// Writes cases.json, the corpus of malformed model files. Each case is one of tests/fixtures with a few
// bytes changed, and its outcome: a code and the full message. tests/hostile.rs runs the cases natively,
// wasm.test.js on the published wasm. The output is the same on every machine:
//
//     node tests/hostile/make.mjs
//
// A case has a `name`, the `base` fixture ('' if its only file is a model.gguf), and the `edits` (described
// in write.mjs). It says what to do with the loaded model (`encode`, `prompt`, `decode`, `chat`). The outcome
// is `code` and `message`, or neither if everything works, and then sometimes the `tokens`.

import { writeFileSync } from 'node:fs';
import { command } from '../../scripts/tools.mjs';
import config from './cases/config.mjs';
import gguf from './cases/gguf.mjs';
import kinds from './cases/kinds.mjs';
import mlx from './cases/mlx.mjs';
import template from './cases/template.mjs';
import tokenizer from './cases/tokenizer.mjs';
import weights from './cases/weights.mjs';

const cases = [...kinds, ...weights, ...mlx, ...gguf, ...config, ...tokenizer, ...template];
const twice = cases.map(({ name }) => name).find((name, at, names) => names.indexOf(name) !== at);
if (twice) throw new Error(`two cases are named ${twice}`);

/** The manifest as text. */
export const manifest = `[\n${cases.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`;

await command(import.meta.url, () => writeFileSync(new URL('cases.json', import.meta.url), manifest));
