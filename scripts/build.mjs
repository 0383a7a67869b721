// Builds the wasm module and its JS glue into www/lib/pkg, checks the package's size, and with --dist lays out what is published:
// dist/npm, the npm package, and dist/site, the page for any folder of any static host.
//
//     node scripts/build.mjs [--dist]
//
// There is no wasm-opt here. On this module, already optimised by LLVM with fat LTO, its -O2, -O3, -Os and -Oz make the raw file 6 to 8 % smaller and the
// gzipped one, which is what travels, 2 % larger, for 45 to 60 s a build; -O1 gains 1 % of gzip for 20 s.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, relative, sep } from 'node:path';
import { gzipSync } from 'node:zlib';
import { setupBuild } from './setup.mjs';
import { command, must, ROOT, Trouble } from './tools.mjs';

/** Every build of the engine: its file name, and what sets it apart. */
const BUILDS = [{ name: 'fireside', features: ['+simd128'] }];

/** Budgets in bytes after gzip -9: of each wasm module, and of the package's JS together. */
const WASM_MAX = 1_200_000;
const JS_MAX = 25_000;

const TARGET = 'wasm32-unknown-unknown';
const LIB = join(ROOT, 'www', 'lib');
const PKG = join(LIB, 'pkg');
const STAMP = join(PKG, 'inputs.sha256');
const DIST = join(ROOT, 'dist');
const BUNDLED_MODELS = ['story', 'chat'];

/** The files under `folder` (or `folder` itself when it is a file), sorted, as absolute paths. */
function filesOf(folder) {
  if (statSync(folder).isFile()) return [folder];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

/** A hash over everything the wasm module is made of. */
function inputsHash() {
  const hash = createHash('sha256');
  const inputs = ['src', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo/config.toml', 'scripts/build.mjs'];
  for (const file of inputs.flatMap((input) => filesOf(join(ROOT, input)))) {
    const name = relative(ROOT, file).split(sep).join('/');
    const bytes = readFileSync(file);
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** The compiler flags of one build. They replace those of .cargo/config.toml, so they are complete. */
async function rustFlags({ features }) {
  // Panic messages carry source paths: they should name the crate, not the machine that compiled it. With rust-src installed, rustc
  // names those of std by their place on this machine, and without by its commit: always the latter.
  const version = await must('asking rustc', 'rustc', ['-vV']);
  const sysroot = (await must('asking rustc', 'rustc', ['--print', 'sysroot'])).trim();
  const registry = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'registry', 'src');
  const remaps = [
    [ROOT, 'fireside'],
    [join(sysroot, 'lib', 'rustlib', 'src', 'rust'), `/rustc/${version.match(/commit-hash: (\w+)/)?.[1]}`],
    ...readdirSync(registry).map((name) => [join(registry, name), 'crates']),
  ];
  return [
    `-Ctarget-feature=${features.join(',')}`,
    '--cfg=getrandom_backend="wasm_js"',
    ...remaps.map(([from, to]) => `--remap-path-prefix=${from}=${to}`),
  ];
}

/** The glue without the crate's doc comments, which its .d.ts repeats, and without indentation: nobody reads it, and it is a fifth of the package's JS. */
function slim(glue) {
  return glue.replace(/^[ \t]*\/\*\*[\s\S]*?\*\/\n/gm, '').replace(/^[ \t]+/gm, '');
}

/** Compiles one build into `folder`. */
async function compile(build, folder, wasmBindgen) {
  const cargoArgs = ['build', '--release', '--locked', '--target', TARGET, '--lib', '--no-default-features'];
  // The registry's folder has its name only after a first fetch, and the remapping of paths needs it.
  await must('fetching the crates', 'cargo', ['fetch', '--locked', '--target', TARGET], { show: true });
  const env = { CARGO_ENCODED_RUSTFLAGS: (await rustFlags(build)).join('\x1f'), RUSTFLAGS: undefined };
  await must('compiling', 'cargo', cargoArgs, { show: true, env });
  const { target_directory: target } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']));
  const bindgenArgs = ['--target', 'web', '--out-name', build.name, '--out-dir', folder, '--remove-name-section', '--remove-producers-section'];
  await must('binding', wasmBindgen, [...bindgenArgs, join(target, TARGET, 'release', 'fireside.wasm')]);
  const glue = join(folder, `${build.name}.js`);
  writeFileSync(glue, slim(readFileSync(glue, 'utf8')));
}

const gzipBytes = (file) => gzipSync(readFileSync(file), { level: 9 }).length;
const kb = (bytes) => `${(bytes / 1000).toFixed(1).padStart(7)} KB`;

/** Prints the sizes of what a browser would fetch. Returns a sentence for each that is over its budget. */
function printSizes() {
  const sizes = filesOf(LIB).filter((file) => /\.(js|wasm)$/.test(file)).map((file) => ({
    name: relative(LIB, file), raw: statSync(file).size, gzip: gzipBytes(file), isWasm: file.endsWith('.wasm'),
  }));
  const js = sizes.filter(({ isWasm }) => !isWasm);
  const sum = (key) => js.reduce((total, size) => total + size[key], 0);
  const rows = [...sizes.filter(({ isWasm }) => isWasm), { name: `${js.length} JS modules`, raw: sum('raw'), gzip: sum('gzip') }];
  const limit = ({ isWasm }) => (isWasm ? WASM_MAX : JS_MAX);
  for (const row of rows) console.log(`${row.name.padEnd(24)} ${kb(row.raw)}, gzip ${kb(row.gzip)} of at most ${kb(limit(row)).trim()}`);
  return rows.filter((row) => row.gzip > limit(row)).map(({ name, gzip }) => `${name}: ${gzip} bytes after gzip are over the budget`);
}

/** Brings www/lib/pkg up to date, unless nothing that it is made of has changed since. */
export async function build() {
  const { wasmBindgen } = await setupBuild();
  const inputs = inputsHash();
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === inputs) return;
  // Built aside and moved into place whole, so that a page never loads one half old and one half new.
  const fresh = `${PKG}.new`;
  rmSync(fresh, { recursive: true, force: true });
  for (const row of BUILDS) await compile(row, fresh, wasmBindgen);
  writeFileSync(join(fresh, 'inputs.sha256'), inputs);
  rmSync(PKG, { recursive: true, force: true });
  renameSync(fresh, PKG);
}

/** Writes the declarations that tsc makes of the JSDoc in www/lib into `out`, by the settings of tsconfig.json. */
async function writeTypes(out) {
  const config = join(DIST, 'tsconfig.json');
  const compilerOptions = { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: LIB, outDir: out };
  const exclude = [PKG];
  writeFileSync(config, JSON.stringify({ extends: '../tsconfig.json', compilerOptions, include: [`${LIB}/*.js`, `${LIB}/*.d.ts`], exclude }));
  await must('writing the types', process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config]);
  rmSync(config);
}

/** Lays out dist/npm. */
async function npmPackage() {
  const out = join(DIST, 'npm');
  const { version } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked'])).packages[0];
  const manifest = {
    name: 'fireside-lm',
    version,
    description: 'Language models that run inside a browser tab: Hugging Face files as they are, no server, no dependency',
    license: 'MIT OR Apache-2.0',
    keywords: ['llm', 'wasm', 'webassembly', 'browser', 'inference', 'safetensors', 'chat', 'offline'],
    type: 'module',
    exports: {
      '.': { types: './lib/index.d.ts', default: './lib/index.js' },
      './wasm': { types: './lib/wasm.d.ts', default: './lib/wasm.js' },
      './package.json': './package.json',
    },
    files: ['lib'],
    sideEffects: ['./lib/worker.js'],
  };
  mkdirSync(out, { recursive: true });
  cpSync(LIB, join(out, 'lib'), { recursive: true, filter: (path) => path !== STAMP });
  await writeTypes(join(out, 'lib'));
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  for (const name of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(ROOT, name), join(out, name));
}

/** Lays out dist/site: www with the bundled models beside it, everything by relative addresses. */
function staticSite() {
  const out = join(DIST, 'site');
  cpSync(join(ROOT, 'www'), out, { recursive: true, filter: (path) => path !== STAMP && !path.endsWith('.d.ts') });
  for (const name of BUNDLED_MODELS) cpSync(join(ROOT, 'models', name), join(out, 'models', name), { recursive: true });
}

await command(import.meta.url, async (args) => {
  if (args.some((arg) => arg !== '--dist')) throw new Trouble('usage: node scripts/build.mjs [--dist]');
  await build();
  const overruns = printSizes();
  if (overruns.length > 0) throw new Trouble(overruns.join('\n'));
  if (!args.includes('--dist')) return;
  rmSync(DIST, { recursive: true, force: true });
  await npmPackage();
  staticSite();
  for (const name of ['npm', 'site']) console.log(`dist/${name}: ${filesOf(join(DIST, name)).length} files`);
});
