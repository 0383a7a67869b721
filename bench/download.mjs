// What a visitor downloads to get an engine, in bytes after gzip -9.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { ROOT } from '../scripts/tools.mjs';
import { CACHE } from './prepare.mjs';

const LIB = join(ROOT, 'www', 'lib');
const NPM = join(ROOT, 'bench', 'node_modules');
const ORT = join(NPM, 'onnxruntime-web', 'dist', 'ort-wasm-simd-threaded.asyncify');

/** Our files: the largest build with its glue. A browser gets only the build that suits it. */
function ourFiles() {
  const pkg = join(LIB, 'pkg');
  const builds = readdirSync(pkg).filter((name) => name.endsWith('.wasm'));
  const largest = builds.map((name) => join(pkg, name)).sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0];
  return [largest, largest.replace('_bg.wasm', '.js'), ...readdirSync(LIB).filter((name) => name.endsWith('.js')).map((name) => join(LIB, name))];
}

const FILES = {
  ours: ourFiles,
  wllama: () => ['esm/wasm/wllama.wasm', 'esm/index.min.js'].map((name) => join(NPM, '@wllama', 'wllama', name)),
  transformers: () => [`${ORT}.wasm`, `${ORT}.mjs`, join(NPM, '@huggingface', 'transformers', 'dist', 'transformers.min.js')],
  candle: () => ['bench_candle_bg.wasm', 'bench_candle.js'].map((name) => join(CACHE, 'candle', name)),
};

const gzipBytes = (path) => gzipSync(readFileSync(path), { level: 9 }).length;

/** The { wasm, js } bytes of an engine. */
export function downloadBytes(engine) {
  const sum = (paths) => paths.reduce((total, path) => total + gzipBytes(path), 0);
  const files = FILES[engine]();
  return { wasm: sum(files.filter((path) => path.endsWith('.wasm'))), js: sum(files.filter((path) => !path.endsWith('.wasm'))) };
}
