// What a visitor downloads, with its budgets: the modules that the library's entry imports, its worker, and
// one build of the engine; and what each integration adds. Bytes are after gzip -9, file by file, as a
// server without a bundler sends the package.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { workerScript } from './bundle.mjs';
import { reachable } from './modules.mjs';
import { ROOT } from './tools.mjs';

/**
 * The budgets of each wasm module, of the JS of a visit (the modules, and the worker with the glue of every
 * build), and of a whole visit: little more than half of what the smallest peer with threads takes.
 */
const WASM_MAX = 1_420_000;
const JS_MAX = 72_000;
const VISIT_MAX = 1_490_000;

const LIB = join('www', 'lib');

/**
 * The entries besides the library: `fireside-lm/<name>` is `lib/integrations/<name>.js`. `max`: what each
 * may add to a visit; `scripts`: the scripts that it starts.
 */
export const INTEGRATIONS = [
  { name: 'openai', max: 32_000, scripts: [] },
  { name: 'prompt-api', max: 18_000, scripts: [] },
  { name: 'service-worker', max: 36_000, scripts: [join(LIB, 'bundled', 'service-worker.js')] },
];

const ENTRY = join(LIB, 'index.js');

const gzipBytes = (file) => gzipSync(readFileSync(join(ROOT, file)), { level: 9 }).length;
const total = (files) => files.reduce((sum, file) => sum + gzipBytes(file), 0);
const kb = (bytes) => `${(bytes / 1000).toFixed(1).padStart(7)} KB`;

/**
 * Prints the download sizes with these builds. Returns a sentence for each that exceeds its budget.
 * @param {string[]} builds
 */
export async function printSizes(builds) {
  const modules = await reachable([ENTRY]);
  const worker = gzipSync(await workerScript(), { level: 9 }).length;
  const js = total(modules) + worker;
  const wasm = Math.max(...builds.map((name) => gzipBytes(join(LIB, 'pkg', `${name}_bg.wasm`))));
  const integrations = INTEGRATIONS.map(async ({ name, max, scripts }) => {
    const more = [...(await reachable([join(LIB, 'integrations', `${name}.js`)])).filter((file) => !modules.includes(file)), ...scripts];
    return { name: `${name}, ${more.length} files`, gzip: total(more), max };
  });
  const rows = [
    ...builds.map((name) => ({ name: `${name}_bg.wasm`, gzip: gzipBytes(join(LIB, 'pkg', `${name}_bg.wasm`)), max: WASM_MAX })),
    { name: `${modules.length} JS modules, the worker`, gzip: js, max: JS_MAX },
    { name: 'one visit', gzip: js + wasm, max: VISIT_MAX },
    ...(await Promise.all(integrations)),
  ];
  for (const { name, gzip, max } of rows) console.log(`${name.padEnd(32)} gzip ${kb(gzip)} of at most ${kb(max)}`);
  return rows.filter(({ gzip, max }) => gzip > max).map(({ name, gzip }) => `${name}: ${gzip} bytes after gzip exceed the budget`);
}
