// Writes cases.json, the corpus of malformed model files: each is one of tests/fixtures with a few bytes changed, and what must come of it, its code and
// its message in full. tests/hostile.rs runs it against the native build, wasm.test.js against the wasm that is published. The same words give the same
// file on every machine:
//
//     node tests/hostile/make.mjs
//
// A case has a `name`, the `base` fixture, the `edits` (write.mjs says which there are), what is done once the model is loaded (`encode`, `prompt`,
// `decode`, `chat`), and what is expected: `code` and `message`, or nothing where all goes well, and then perhaps the `tokens`.

import { writeFileSync } from 'node:fs';
import { command } from '../../scripts/tools.mjs';
import config from './cases/config.mjs';
import kinds from './cases/kinds.mjs';
import template from './cases/template.mjs';
import tokenizer from './cases/tokenizer.mjs';
import weights from './cases/weights.mjs';

const cases = [...kinds, ...weights, ...config, ...tokenizer, ...template];
const twice = cases.map(({ name }) => name).find((name, at, names) => names.indexOf(name) !== at);
if (twice) throw new Error(`two cases are named ${twice}`);

/** The manifest as text. */
export const manifest = `[\n${cases.map((one) => JSON.stringify(one)).join(',\n')}\n]\n`;

await command(import.meta.url, () => writeFileSync(new URL('cases.json', import.meta.url), manifest));
