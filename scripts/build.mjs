// Builds the wasm modules and their JS glue into www/lib/pkg, checks the sizes, and with --dist lays out what is published:
// dist/npm, the npm package, and dist/site, the page for any folder of any static host.
//
//     node scripts/build.mjs [--only NAME]... [--dist]
//
// There are four builds, of which a visitor fetches one: {simd128, relaxed} x {one thread, threads}. `--only` brings just the named up to date.
// Threads need a std compiled for shared memory, which is not shipped: the pinned toolchain builds its own (-Z build-std).
//
// There is no wasm-opt here. On this module, already optimised by LLVM with fat LTO, its -O2, -O3, -Os and -Oz make the raw file 6 to 8 % smaller and the
// gzipped one, which is what travels, 2 % larger, for 45 to 60 s a build; -O1 gains 1 % of gzip for 20 s.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle } from './bundle.mjs';
import { setupBuild } from './setup.mjs';
import { command, must, ROOT, Trouble } from './tools.mjs';

/** Every build of the engine: its file name, and what sets it apart. */
const BUILDS = [
  { name: 'simd128', relaxed: false, threads: false },
  { name: 'relaxed', relaxed: true, threads: false },
  { name: 'simd128-threads', relaxed: false, threads: true },
  { name: 'relaxed-threads', relaxed: true, threads: true },
];

/**
 * What makes memory one that threads share. It is made by www/lib, at least this large at first and at most as large as 32 bits reach; each further
 * thread sets up its own thread-local storage by the exported names.
 */
const SHARED_MEMORY = [
  '--shared-memory', '--import-memory', '--initial-memory=2097152', '--max-memory=4294967296',
  ...['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base', '__heap_base'].map((name) => `--export=${name}`),
];

/**
 * Budgets in bytes after gzip -9: of each wasm module, of the JS that a visitor fetches (the modules and one glue), and of one visit in all: half of
 * what the smallest of the peers with threads takes.
 */
const WASM_MAX = 1_200_000;
const JS_MAX = 56_000;
const VISIT_MAX = 1_270_000;

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
    if (name.startsWith('src/bin/')) continue; // the command line is no part of it
    const bytes = readFileSync(file);
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** The compiler flags of one build. They replace those of .cargo/config.toml, so they are complete. */
async function rustFlags({ threads }) {
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
    `-Ctarget-feature=${['+simd128', ...(threads ? ['+atomics', '+bulk-memory', '+mutable-globals'] : [])].join(',')}`,
    ...(threads ? SHARED_MEMORY.map((arg) => `-Clink-arg=${arg}`) : []),
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
  // The registry's folder has its name only after a first fetch, and the remapping of paths needs it.
  await must('fetching the crates', 'cargo', ['fetch', '--locked', '--target', TARGET], { show: true });
  const { target_directory } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']));
  // Build scripts watch RUSTC_BOOTSTRAP: in one folder, each kind of build would compile everything anew after the other.
  const target = build.threads ? join(target_directory, 'threads') : target_directory;
  const cargoArgs = ['rustc', '--release', '--locked', '--target', TARGET, '--target-dir', target, '--lib', '--no-default-features'];
  if (build.threads) cargoArgs.push('-Z', 'build-std=std,panic_abort');
  // Of this crate alone: the others have no kernels, and serve both.
  if (build.relaxed) cargoArgs.push('--', '-Ctarget-feature=+relaxed-simd');
  const flags = (await rustFlags(build)).join('\x1f');
  const env = { CARGO_ENCODED_RUSTFLAGS: flags, RUSTFLAGS: undefined, ...(build.threads && { RUSTC_BOOTSTRAP: '1' }) };
  await must(`compiling ${build.name}`, 'cargo', cargoArgs, { show: true, env });
  const bindgenArgs = ['--target', 'web', '--out-name', build.name, '--out-dir', folder, '--remove-name-section', '--remove-producers-section'];
  await must('binding', wasmBindgen, [...bindgenArgs, join(target, TARGET, 'release', 'fireside.wasm')]);
  const glue = join(folder, `${build.name}.js`);
  writeFileSync(glue, slim(readFileSync(glue, 'utf8')));
}

const gzipBytes = (file) => gzipSync(readFileSync(file), { level: 9 }).length;
const kb = (bytes) => `${(bytes / 1000).toFixed(1).padStart(7)} KB`;

/** Prints the sizes of what a browser would fetch of this build's. Returns a sentence for each that is over its budget. */
function printSizes(builds) {
  // The doors, what they take of packages, and Node's platform are no part of a visit.
  const modules = readdirSync(LIB).filter((name) => name.endsWith('.js')).map((name) => join(LIB, name));
  const largest = (ending) => Math.max(...builds.map(({ name }) => gzipBytes(join(PKG, name + ending))));
  const js = modules.reduce((total, file) => total + gzipBytes(file), 0) + largest('.js');
  const rows = [
    ...builds.map(({ name }) => ({ name: `${name}_bg.wasm`, gzip: gzipBytes(join(PKG, `${name}_bg.wasm`)), max: WASM_MAX })),
    { name: `${modules.length} JS modules, one glue`, gzip: js, max: JS_MAX },
    { name: 'one visit', gzip: js + largest('_bg.wasm'), max: VISIT_MAX },
  ];
  for (const { name, gzip, max } of rows) console.log(`${name.padEnd(26)} gzip ${kb(gzip)} of at most ${kb(max)}`);
  return rows.filter(({ gzip, max }) => gzip > max).map(({ name, gzip }) => `${name}: ${gzip} bytes after gzip are over the budget`);
}

/** The builds in www/lib/pkg, and the hash over what each was made of. */
function stamps() {
  if (!existsSync(STAMP)) return new Map();
  const lines = readFileSync(STAMP, 'utf8').trim().split('\n').map((line) => line.split('  '));
  return new Map(lines.filter(([, name]) => BUILDS.some((build) => build.name === name)).map(([hash, name]) => [name, hash]));
}

/** Brings www/lib/pkg up to date, all of it or only the builds of these names, unless nothing that they are made of has changed since. */
export async function build(only = []) {
  const { wasmBindgen } = await setupBuild();
  await bundle();
  const inputs = inputsHash();
  for (const row of chosen(only)) {
    const made = stamps();
    if (made.get(row.name) === inputs) continue;
    // Built aside and moved into place whole, so that a page never loads one half old and one half new.
    const fresh = `${PKG}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    for (const name of made.keys()) {
      for (const file of readdirSync(PKG).filter((file) => file.split(/_bg\.|\./)[0] === name)) cpSync(join(PKG, file), join(fresh, file));
    }
    await compile(row, fresh, wasmBindgen);
    const stamp = [...made.set(row.name, inputs)].map(([name, hash]) => `${hash}  ${name}\n`);
    writeFileSync(join(fresh, basename(STAMP)), stamp.join(''));
    rmSync(PKG, { recursive: true, force: true });
    renameSync(fresh, PKG);
  }
}

/** The builds of these names; all where there are none. */
function chosen(names) {
  const unknown = names.find((name) => !BUILDS.some((build) => build.name === name));
  if (unknown) throw new Trouble(`there is no build ${unknown}: the builds are ${BUILDS.map(({ name }) => name).join(', ')}`);
  return BUILDS.filter(({ name }) => names.length === 0 || names.includes(name));
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
      '.': { types: './lib/index.d.ts', node: './lib/node/index.js', default: './lib/index.js' },
      './wasm': { types: './lib/wasm.d.ts', default: './lib/wasm.js' },
      './isolation': { types: './lib/isolation.d.ts', default: './lib/isolation.js' },
      './isolation-worker.js': './lib/isolation-worker.js',
      './pkg/*': './lib/pkg/*',
      './package.json': './package.json',
    },
    files: ['lib'],
    sideEffects: ['./lib/worker.js', './lib/thread.js', './lib/isolation-worker.js', './lib/node/*.js'],
    engines: { node: '>=20' },
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
  const { values } = parseArgs({ args, options: { only: { type: 'string', multiple: true, default: [] }, dist: { type: 'boolean', default: false } } });
  if (values.dist && values.only.length > 0) throw new Trouble('--dist needs every build: leave out --only');
  await build(values.only);
  const overruns = printSizes(chosen(values.only));
  if (overruns.length > 0) throw new Trouble(overruns.join('\n'));
  if (!values.dist) return;
  rmSync(DIST, { recursive: true, force: true });
  await npmPackage();
  staticSite();
  for (const name of ['npm', 'site']) console.log(`dist/${name}: ${filesOf(join(DIST, name)).length} files`);
});
