// The TypeScript declarations of the wasm modules. wasm-bindgen derives them from the Rust code; the build
// with threads has everything that the others have. They are committed as www/lib/shared/engine.d.ts, so
// that types are checked without a build, and so that a change of the interface shows in its diff.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './tools.mjs';

const TYPES = join(ROOT, 'www', 'lib', 'shared', 'engine.d.ts');

const HEAD = `/** The surface of the wasm modules. scripts/build.mjs derives it from the Rust code: change that. */
`;

/** The declarations of each wasm module. */
const FORWARD = `export * from '../shared/engine.js';
export { default } from '../shared/engine.js';
`;

/**
 * Stores the declarations of a build, and replaces them by a reference to the stored ones.
 * @param {string} path
 * @param {{ threads: boolean }} build
 */
export function keepTypes(path, { threads }) {
  const generated = readFileSync(path, 'utf8');
  writeFileSync(path, FORWARD);
  if (!threads) return;
  const types = generated
    .replace(/^\/\* .*? \*\/\n/gm, '')
    // The raw exports of the module, whose names change with every build.
    .replace(/(interface InitOutput \{)[^}]*\}/, '$1\n    readonly memory: WebAssembly.Memory;\n}');
  writeFileSync(TYPES, HEAD + types);
}
