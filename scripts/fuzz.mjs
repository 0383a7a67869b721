// Builds the fuzz targets of fuzz/ and runs them, all or the named ones, for some seconds each. Fails on
// any finding. Ends with a table and the line `N passed, N failed, N skipped`. Inputs with new coverage go
// to fuzz/corpus, findings to fuzz/artifacts; both are ignored by git.
//
//     node scripts/fuzz.mjs [--seconds N] [--merge] [target]...
//
// --merge reduces the corpus to the fewest inputs with the same coverage, copies a dozen of the short ones
// to fuzz/seeds, and ends. Seeds with names are kept: they are files from tests, or earlier findings.
//
// The engine is libFuzzer with AddressSanitizer, from the pinned toolchain and a crate; cargo-fuzz gives
// the build its flags. A target is then an ordinary program. This script runs it directly, because
// cargo-fuzz would check the build again each time.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { setupFuzz } from './setup.mjs';
import { command, must, ROOT, run, Trouble } from './tools.mjs';

const FUZZ = join(ROOT, 'fuzz');

/**
 * libFuzzer's limits for each input. Units: MB, seconds. No target needs a tenth of them, so an input that
 * exceeds them makes us allocate or loop without bound.
 */
const LIMITS = ['-rss_limit_mb=2048', '-malloc_limit_mb=256', '-timeout=60'];

/**
 * In CI the inputs are the same in every run, as far as the time allows, so that a finding is about the
 * change being tested. Elsewhere they are random.
 */
const DRAW = process.env.CI ? ['-seed=1'] : [];

/**
 * Leak detection after each input takes half of the time. For these targets it could not tell a leak of
 * safe Rust from a table that is kept.
 */
const SPEED = { ASAN_OPTIONS: 'detect_leaks=0:malloc_context_size=4:quarantine_size_mb=32' };

/** Longer inputs do not become seeds: the repository keeps small ones. Units: bytes. */
const SEED_MAX = 1200;
const SEEDS_MAX = 12;

/** The targets, in the order of Cargo.toml. */
function allTargets() {
  return [...readFileSync(join(FUZZ, 'Cargo.toml'), 'utf8').matchAll(/^\[\[bin\]\]\nname = "([^"]+)"/gm)].map(([, name]) => name);
}

/** Builds all targets. Resolves with the folder of their programs. */
async function buildTargets({ cargoFuzz, host }) {
  const { target_directory } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']));
  const target = join(target_directory, 'fuzz');
  const env = { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: undefined, CARGO_ENCODED_RUSTFLAGS: undefined };
  // cargo-fuzz has no --locked. The lock file is outdated if the crate's dependencies have changed.
  await must('reading fuzz/Cargo.lock', 'cargo', ['metadata', '--format-version=1', '--locked', '--manifest-path', join(FUZZ, 'Cargo.toml')]);
  await must('building the fuzz targets', cargoFuzz, ['build', '--fuzz-dir', FUZZ, '--target', host, '--target-dir', target], { show: true, env });
  return join(target, host, 'release');
}

/** The folders and files of one target. Creates the folders for findings. */
function placesOf(target) {
  const places = { corpus: join(FUZZ, 'corpus', target), seeds: join(FUZZ, 'seeds', target), artifacts: join(FUZZ, 'artifacts', target) };
  for (const folder of Object.values(places)) mkdirSync(folder, { recursive: true });
  const dictionary = join(FUZZ, 'dictionaries', `${target}.txt`);
  return { ...places, options: existsSync(dictionary) ? [...LIMITS, `-dict=${dictionary}`] : LIMITS };
}

/** Runs a target for `seconds`. Resolves with a row of the table. */
async function fuzz(programs, target, seconds) {
  const { corpus, seeds, artifacts, options } = placesOf(target);
  const args = [`-max_total_time=${seconds}`, `-artifact_prefix=${artifacts}/`, '-print_final_stats=1', ...DRAW, ...options, corpus, seeds];
  const { status, output } = await run(join(programs, target), args, { env: SPEED });
  const last = (pattern) => Number([...output.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const failed = status !== 0;
  if (failed) {
    const panic = output.match(/^thread .* panicked at [^]*?(?=\nstack backtrace|\nnote: run with|\n==)/m)?.[0];
    const rest = output.split('\n').filter((line) => /ERROR: |Test unit written/.test(line));
    console.log(`\n${target} found something:\n${[panic, ...rest].filter(Boolean).join('\n') || output.split('\n').slice(-20).join('\n')}`);
  }
  return { target, executions: last(/^stat::number_of_executed_units:\s*(\d+)/gm) || last(/^#(\d+)\s/gm), coverage: last(/\bcov: (\d+)/g), failed };
}

/** Reduces the corpus of a target, and replaces its unnamed seeds. */
async function merge(programs, target) {
  const { corpus, seeds, options } = placesOf(target);
  const fresh = `${corpus}.merged`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  await must(`merging ${target}`, join(programs, target), ['-merge=1', ...options, fresh, seeds, corpus]);
  const named = readdirSync(seeds).filter((name) => !/^[0-9a-f]{40}$/.test(name));
  for (const name of readdirSync(seeds)) if (!named.includes(name)) rmSync(join(seeds, name));
  const files = readdirSync(fresh).map((name) => ({ name, size: statSync(join(fresh, name)).size })).filter(({ size }) => size <= SEED_MAX);
  const step = Math.max(1, files.length / SEEDS_MAX);
  files.sort((a, b) => a.size - b.size || (a.name < b.name ? -1 : 1));
  const chosen = files.filter((_, index) => Math.floor(index / step) !== Math.floor((index - 1) / step)).slice(0, SEEDS_MAX);
  for (const { name } of chosen) writeFileSync(join(seeds, name), readFileSync(join(fresh, name)));
  rmSync(corpus, { recursive: true });
  mkdirSync(corpus);
  for (const { name } of files) writeFileSync(join(corpus, name), readFileSync(join(fresh, name)));
  rmSync(fresh, { recursive: true });
  console.log(`${target.padEnd(20)} ${named.length} seeds by name, ${chosen.length} of ${files.length} by coverage`);
}

function printTable(rows) {
  console.log('\ntarget               executions  coverage  findings');
  for (const { target, executions, coverage, failed } of rows) {
    console.log(`${target.padEnd(20)} ${String(executions).padStart(10)} ${String(coverage).padStart(9)} ${String(failed ? 1 : 0).padStart(9)}`);
  }
}

await command(import.meta.url, async (args) => {
  const options = { seconds: { type: 'string', default: '30' }, merge: { type: 'boolean', default: false } };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 1) throw new Trouble(`--seconds must be a whole number from 1, not ${values.seconds}`);
  const known = allTargets();
  const unknown = positionals.find((name) => !known.includes(name));
  if (unknown) throw new Trouble(`there is no target ${unknown}. Choose from: ${known.join(', ')}`);
  const targets = positionals.length > 0 ? positionals : known;

  const tools = await setupFuzz();
  if (!tools) {
    console.log('fuzzing is skipped: libFuzzer with AddressSanitizer works on Linux and macOS only');
    console.log(`0 passed, 0 failed, ${targets.length} skipped`);
    return;
  }
  const programs = await buildTargets(tools);
  if (values.merge) {
    for (const target of targets) await merge(programs, target);
    return;
  }
  const rows = [];
  const waiting = [...targets];
  const work = async () => {
    for (let target = waiting.shift(); target; target = waiting.shift()) {
      rows.push(await fuzz(programs, target, seconds));
      console.log(`${target}: ${rows.at(-1).executions} executions`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  printTable(rows.sort((a, b) => known.indexOf(a.target) - known.indexOf(b.target)));
  const failed = rows.filter((row) => row.failed).length;
  if (failed > 0) console.log(`the inputs are in ${relative(ROOT, join(FUZZ, 'artifacts'))}. Run a target's program with one of them as its argument to reproduce the finding.`);
  console.log(`${rows.length - failed} passed, ${failed} failed, 0 skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
});
