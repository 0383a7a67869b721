// Makes what the benchmark needs and the repository does not have, in bench/.cache: Python with the
// libraries that write model files, the files of a shape for every engine, candle's wasm, and the wasm that
// measures the limits. Existing files are kept.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasPackages } from '../scripts/setup.mjs';
import { find, must, ROOT, Trouble } from '../scripts/tools.mjs';

const BENCH = join(ROOT, 'bench');
export const CACHE = join(BENCH, '.cache');
const PYTHON = ['python3.13', 'python3.12', 'python3.11', 'python3', 'python'];

/** The peers and tools of bench/package.json, in the versions of its lock file. */
export async function preparePeers() {
  if (hasPackages(BENCH)) return;
  console.log('installing the peers of bench/package-lock.json');
  // Without scripts: only the browser part of transformers.js is used, and its scripts fetch what Node
  // needs.
  await must('installing the peers', find(['npm']) ?? 'npm', ['ci', '--ignore-scripts', '--no-fund', '--no-audit', '--prefix', BENCH], { show: true });
}

/** Python with the packages that models/*.py import. */
async function preparePython() {
  const venv = join(CACHE, 'venv');
  const bin = (name) => join(venv, process.platform === 'win32' ? 'Scripts' : 'bin', name);
  const stamp = join(venv, 'requirements.txt');
  const requirements = join(BENCH, 'models', 'requirements.txt');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === readFileSync(requirements, 'utf8')) return bin('python');
  const python = find(PYTHON);
  if (!python) throw new Trouble('Python 3.11 or later is missing. Install it: it writes the peers\' model files.');
  console.log('installing Python libraries into bench/.cache/venv');
  await must('making a virtual environment', python, ['-m', 'venv', venv], { show: true });
  await must('installing Python libraries', bin('python'), ['-m', 'pip', 'install', '--quiet', '-r', requirements], { show: true });
  writeFileSync(stamp, readFileSync(requirements));
  return bin('python');
}

/** The files of a shape. Resolves with { prompts, words }. */
export async function prepareModel({ name, path, title, published }) {
  const out = join(CACHE, 'models', name);
  const python = await preparePython();
  console.log(`${title}: model files`);
  await must(`making the files of ${name}`, python, [join(BENCH, 'models', 'make.py'), path, out, ...(published ? [published] : [])], { show: true });
  const words = [];
  const { model } = JSON.parse(readFileSync(join(out, 'tokenizer.json'), 'utf8'));
  for (const [word, id] of Object.entries(model.vocab)) words[id] = word;
  return { prompts: JSON.parse(readFileSync(join(out, 'prompts.json'), 'utf8')), words };
}

/** bench/candle as wasm with its glue. */
export async function prepareCandle(wasmBindgen) {
  const out = join(CACHE, 'candle');
  const target = process.env.FIRESIDE_CANDLE_TARGET ?? join(CACHE, 'candle-target');
  const manifest = join(BENCH, 'candle', 'Cargo.toml');
  const inputs = ['Cargo.toml', 'Cargo.lock', 'src/lib.rs'].map((file) => readFileSync(join(BENCH, 'candle', file), 'utf8')).join('\0');
  const stamp = join(out, 'inputs');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return;
  console.log('building candle (once, some minutes)');
  // bench/candle/.cargo sets these flags for builds inside it; a build from here needs them again.
  const env = { RUSTFLAGS: '-Ctarget-feature=+simd128 --cfg=getrandom_backend="wasm_js"', CARGO_TARGET_DIR: target };
  const triple = 'wasm32-unknown-unknown';
  await must('building candle', 'cargo', ['build', '--release', '--locked', '--target', triple, '--manifest-path', manifest], { show: true, env });
  await must('binding candle', wasmBindgen, ['--target', 'web', '--out-dir', out, join(target, triple, 'release', 'bench_candle.wasm')]);
  writeFileSync(stamp, inputs);
}

/** The wasm of limits.mjs. */
export async function prepareLimits() {
  const { limitsWasm } = await import('./limits.mjs');
  mkdirSync(CACHE, { recursive: true });
  writeFileSync(join(CACHE, 'limits.wasm'), await limitsWasm());
}
