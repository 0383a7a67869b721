// Builds the wasm modules and their JS glue into www/lib/pkg, and checks the sizes (sizes.mjs). With --dist
// it also writes what is published (dist.mjs): dist/npm, the npm package, and dist/site, the page for any
// folder of a static host. This file is an input of the modules: a change to it builds them again.
//
//     node scripts/build.mjs [--only NAME]... [--dist]
//
// There are four builds: {simd128, relaxed} x {one thread, threads}. A visitor downloads one of them.
// `--only` builds just the named ones. Threads need a std compiled for shared memory, which Rust does not
// ship, so the pinned toolchain builds one (-Z build-std).
//
// This script does not use wasm-opt. LLVM has already optimised the module with fat LTO. On top of that,
// -O2, -O3, -Os and -Oz make the raw file 6 to 8 % smaller but the gzipped file, which is downloaded, 2 %
// larger, and take 45 to 60 s for each build. -O1 saves 1 % of gzip for 20 s.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join, relative, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { bundle } from './bundle.mjs';
import { lay } from './dist.mjs';
import { keepTypes } from './engine-types.mjs';
import { setupBuild } from './setup.mjs';
import { printSizes } from './sizes.mjs';
import { command, must, ROOT, Trouble } from './tools.mjs';

/** Every build of the engine: its file name and its features. */
const BUILDS = [
  { name: 'simd128', relaxed: false, threads: false },
  { name: 'relaxed', relaxed: true, threads: false },
  { name: 'simd128-threads', relaxed: false, threads: true },
  { name: 'relaxed-threads', relaxed: true, threads: true },
];

/**
 * Linker flags for shared memory. www/lib creates the memory, with at least this initial size and at most
 * the maximum of 32 bits. Each further thread sets up its thread-local storage through the exported names.
 */
const SHARED_MEMORY = [
  '--shared-memory', '--import-memory', '--initial-memory=2097152', '--max-memory=4294967296',
  ...['__wasm_init_tls', '__tls_size', '__tls_align', '__tls_base', '__heap_base'].map((name) => `--export=${name}`),
];

const TARGET = 'wasm32-unknown-unknown';
const LIB = join(ROOT, 'www', 'lib');
const PKG = join(LIB, 'pkg');
const STAMP = join(PKG, 'inputs.sha256');

/** The files under `folder` (or `folder` itself if it is a file), sorted, as absolute paths. */
function filesOf(folder) {
  if (statSync(folder).isFile()) return [folder];
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
}

/** A hash of all inputs of the wasm modules. */
function inputsHash() {
  const hash = createHash('sha256');
  const inputs = ['src', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', '.cargo/config.toml', 'scripts/build.mjs', 'scripts/engine-types.mjs'];
  for (const file of inputs.flatMap((input) => filesOf(join(ROOT, input)))) {
    const name = relative(ROOT, file).split(sep).join('/');
    if (name.startsWith('src/bin/')) continue; // the command line is not part of the module
    const bytes = readFileSync(file);
    hash.update(`${name}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

/** The compiler flags of one build. They replace those of .cargo/config.toml, so they are complete. */
async function rustFlags({ threads }) {
  // Panic messages contain source paths. These should name the crate, not the machine that compiled it.
  // rustc names std's sources by their path on this machine if rust-src is installed, and by commit
  // otherwise; this maps both to the commit.
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

/**
 * Minifies the glue and removes the crate's doc comments, which are also in its .d.ts. They are a tenth of
 * a visit's JS.
 */
async function slim(glue) {
  const { transform } = await import('esbuild');
  return (await transform(glue, { minify: true, format: 'esm', target: 'es2022', legalComments: 'none' })).code;
}

/** Compiles one build into `folder`. */
async function compile(build, folder, wasmBindgen) {
  // The registry's folder gets its name at the first fetch, and the remapping of paths needs it.
  await must('fetching the crates', 'cargo', ['fetch', '--locked', '--target', TARGET], { show: true });
  const { target_directory } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']));
  // Build scripts watch RUSTC_BOOTSTRAP. In a common folder, the two kinds of build would make each other
  // compile everything again.
  const target = build.threads ? join(target_directory, 'threads') : target_directory;
  const cargoArgs = ['rustc', '--release', '--locked', '--target', TARGET, '--target-dir', target, '--lib', '--no-default-features'];
  if (build.threads) cargoArgs.push('-Z', 'build-std=std,panic_abort');
  // For this crate only: the other crates have no kernels and serve both builds.
  if (build.relaxed) cargoArgs.push('--', '-Ctarget-feature=+relaxed-simd');
  const flags = (await rustFlags(build)).join('\x1f');
  const env = { CARGO_ENCODED_RUSTFLAGS: flags, RUSTFLAGS: undefined, ...(build.threads && { RUSTC_BOOTSTRAP: '1' }) };
  await must(`compiling ${build.name}`, 'cargo', cargoArgs, { show: true, env });
  const bindgenArgs = ['--target', 'web', '--out-name', build.name, '--out-dir', folder, '--remove-name-section', '--remove-producers-section'];
  await must('binding', wasmBindgen, [...bindgenArgs, join(target, TARGET, 'release', 'fireside.wasm')]);
  const glue = join(folder, `${build.name}.js`);
  writeFileSync(glue, await slim(readFileSync(glue, 'utf8')));
  keepTypes(join(folder, `${build.name}.d.ts`), build);
}

/** The builds in www/lib/pkg, each with the hash of its inputs. */
function stamps() {
  if (!existsSync(STAMP)) return new Map();
  const lines = readFileSync(STAMP, 'utf8').trim().split('\n').map((line) => line.split('  '));
  return new Map(lines.filter(([, name]) => BUILDS.some((build) => build.name === name)).map(([hash, name]) => [name, hash]));
}

/** Updates www/lib/pkg, completely or only the named builds. Skips builds whose inputs have not changed. */
export async function build(only = []) {
  const { wasmBindgen } = await setupBuild();
  await bundle();
  const inputs = inputsHash();
  for (const row of chosen(only)) {
    const made = stamps();
    if (made.get(row.name) === inputs) continue;
    // Builds in a temporary folder and moves the result into place, so that a page never loads a mixture of
    // old and new files.
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

/** The builds with these names, or all if no name is given. */
function chosen(names) {
  const unknown = names.find((name) => !BUILDS.some((build) => build.name === name));
  if (unknown) throw new Trouble(`there is no build ${unknown}. Choose from: ${BUILDS.map(({ name }) => name).join(', ')}`);
  return BUILDS.filter(({ name }) => names.length === 0 || names.includes(name));
}

await command(import.meta.url, async (args) => {
  const { values } = parseArgs({ args, options: { only: { type: 'string', multiple: true, default: [] }, dist: { type: 'boolean', default: false } } });
  if (values.dist && values.only.length > 0) throw new Trouble('--dist needs every build. Leave out --only.');
  await build(values.only);
  const overruns = await printSizes(chosen(values.only).map(({ name }) => name));
  if (overruns.length > 0) throw new Trouble(overruns.join('\n'));
  if (values.dist) await lay();
});
