// Runs the test suites, all or the named ones. Ends with a table and the total `N passed, N failed, N
// skipped`. The exit status is 0 only if nothing failed. A suite that ran no test has failed.
//
//     node scripts/test.mjs [SUITE]...
//
// The suites are those of SUITES below: format, lint, rust, build, types, lib, integrations, ...

import { readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { realModels } from './real.mjs';
import { setupBuild, setupTest } from './setup.mjs';
import { command, must, ROOT, run, Trouble } from './tools.mjs';

/** A count of tests: `{ passed, failed, skipped }`. */
const sum = (counts) => counts.reduce((a, b) => ({ passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped }));
const NONE = { passed: 0, failed: 0, skipped: 0 };

/** A check without separate tests counts as one. */
const oneCheck = (_, status) => ({ ...NONE, [status === 0 ? 'passed' : 'failed']: 1 });

/** `cargo test` and wasm-bindgen's runner end each binary with one such line. */
function cargoCounts(output) {
  const lines = [...output.matchAll(/^test result: \S+ (\d+) passed; (\d+) failed; (\d+) ignored/gm)];
  return sum([NONE, ...lines.map(([, passed, failed, skipped]) => ({ passed: +passed, failed: +failed, skipped: +skipped }))]);
}

/** Node's runner ends with one line for each of these words. */
function nodeCounts(output) {
  const of = (word) => Number(output.match(new RegExp(`^\\S+ ${word} (\\d+)$`, 'm'))?.[1] ?? 0);
  return { passed: of('pass'), failed: of('fail') + of('cancelled'), skipped: of('skipped') + of('todo') };
}

/** Node's runner over the `*.test.js` files of a folder. */
function nodeTest(folder, options = []) {
  const files = readdirSync(join(ROOT, folder)).filter((name) => name.endsWith('.test.js')).sort().map((name) => join(folder, name));
  return { program: process.execPath, args: ['--test', '--test-reporter=spec', ...options, ...files], counts: nodeCounts };
}

/** Our own scripts end with the same line as this one. */
function ownCounts(output) {
  const [, passed, failed, skipped] = output.match(/^(\d+) passed, (\d+) failed, (\d+) skipped\n*$/m) ?? [];
  return passed === undefined ? NONE : { passed: +passed, failed: +failed, skipped: +skipped };
}

const script = (name) => ({ program: process.execPath, args: [`scripts/${name}.mjs`], counts: ownCounts });

/** Compiles for relaxed SIMD, replacing the flags of .cargo/config.toml. */
const RELAXED = { CARGO_ENCODED_RUSTFLAGS: ['-Ctarget-feature=+simd128,+relaxed-simd', '--cfg=getrandom_backend="wasm_js"'].join('\x1f') };

/** wasm-pack over the unit tests and `more`, in one browser. */
function wasmPackTest(tools, browser, driver, { more = ['--test', 'web*'], env = {} } = {}) {
  const args = ['test', '--headless', `--${browser}`, `--${driver}`, tools[driver], '--mode', 'no-install'];
  return {
    program: tools.wasmPack,
    args: [...args, '--', '--locked', '--no-default-features', '--lib', ...more],
    env: {
      ...env,
      // wasm-pack looks for wasm-bindgen's test runner on PATH.
      PATH: [dirname(tools.wasmBindgen), process.env.PATH].join(delimiter),
      WASM_BINDGEN_USE_BROWSER: '1',
      WASM_BINDGEN_TEST_TIMEOUT: '300',
      WASM_BINDGEN_TEST_DRIVER_TIMEOUT: '60',
      // Each run gets its driver as an argument. With both variables set, the runner would use geckodriver
      // for Chrome too.
      CHROMEDRIVER: undefined,
      GECKODRIVER: undefined,
    },
    counts: cargoCounts,
    missing: !tools[browser] || !tools[driver],
  };
}

const cargo = (args, counts = oneCheck) => ({ program: 'cargo', args, counts });
const WASM = ['--target', 'wasm32-unknown-unknown', '--no-default-features', '--lib', '--test', 'web*'];

/**
 * `cargo test` of the library under an LLVM sanitizer, which the pinned stable Rust has as well; `tests`
 * are prefixes of names.
 */
function sanitized(sanitizer, folder, std, tests) {
  const args = ['test', '--locked', '--lib', '--no-default-features', ...std, '--target', SANITIZED, '--target-dir', join(folder, sanitizer)];
  const env = { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: undefined, CARGO_ENCODED_RUSTFLAGS: `-Zsanitizer=${sanitizer}` };
  return { ...cargo([...args, '--', ...tests], cargoCounts), env };
}

const SANITIZED = 'x86_64-unknown-linux-gnu';

/**
 * The sanitizers over the files with `unsafe` and their callers. Each has its own target folder, because
 * cargo compares flags.
 */
async function sanitizeSteps() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return [{ skip: `the sanitizers are skipped here: they run on ${SANITIZED}` }];
  const { target_directory } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked']));
  const sanitizers = join(target_directory, 'sanitizers');
  return [
    sanitized('address', sanitizers, [], ['kernels::', 'ops::', 'pool::', 'model::', 'cache::', 'quant::']),
    // ThreadSanitizer must see std's locks too. Otherwise it reports accesses that they order as races.
    sanitized('thread', sanitizers, ['-Zbuild-std'], ['pool::', 'kernels::tests::one_position']),
  ];
}

/** The tests with published weights: those whose model is there or can be fetched. */
async function realSteps() {
  const { folder, names, lacks } = await realModels();
  // Thousands of positions of a real model are too slow at the level of the other tests.
  const env = { FIRESIDE_REAL: folder, CARGO_PROFILE_DEV_OPT_LEVEL: '2' };
  const skipped = lacks.map((skip) => ({ skip }));
  if (names.length === 0) return skipped;
  return [
    ...skipped,
    { ...cargo(['test', '--locked', '--lib', '--test', 'real', '--', '--ignored', ...names], cargoCounts), env },
    ...(names.includes('smollm2') ? [{ program: process.execPath, args: ['scripts/build.mjs'], counts: () => NONE }, { ...nodeTest('tests/real'), env }] : []),
  ];
}

/**
 * Every suite, in order. A suite's steps are programs whose output is counted. Suites marked `browsers`
 * need the browsers.
 */
const SUITES = [
  { name: 'format', steps: () => [cargo(['fmt', '--check']), cargo(['fmt', '--check', '--manifest-path', 'fuzz/Cargo.toml'])] },
  {
    name: 'lint',
    steps: () => [
      cargo(['clippy', '--locked', '--all-targets', '--', '-D', 'warnings']),
      cargo(['clippy', '--locked', ...WASM, '--', '-D', 'warnings']),
    ],
  },
  { name: 'audit', steps: () => [script('audit')] },
  { name: 'rust', steps: () => [cargo(['test', '--locked', '--no-fail-fast'], cargoCounts)] },
  { name: 'real', steps: realSteps },
  { name: 'sanitize', steps: sanitizeSteps },
  { name: 'fuzz', steps: () => [script('fuzz')] },
  { name: 'build', steps: () => [{ program: process.execPath, args: ['scripts/build.mjs', '--dist'], counts: oneCheck }] },
  {
    name: 'types',
    // Code for browsers is checked without Node's types.
    steps: () => ['.', 'tsconfig.node.json'].map((config) => ({ program: process.execPath, args: ['node_modules/typescript/bin/tsc', '-p', config], counts: oneCheck })),
  },
  {
    name: 'lib',
    steps: () => [
      { program: process.execPath, args: ['scripts/build.mjs', '--dist'], counts: () => NONE },
      nodeTest('tests/lib'),
      nodeTest('tests/node', ['--test-concurrency=1']),
      nodeTest('tests/scripts'),
      // What the native program and the package's program, which is built by now, do together.
      cargo(['test', '--locked', '--test', 'terminal', '--', '--ignored'], cargoCounts),
    ],
  },
  {
    name: 'integrations',
    browsers: true,
    // One file at a time, because some tests measure time.
    steps: () => [
      { program: process.execPath, args: ['scripts/build.mjs'], counts: () => NONE },
      ...['tests/openai', 'tests/prompt-api'].map((folder) => nodeTest(folder, ['--test-concurrency=1'])),
    ],
  },
  {
    name: 'hostile',
    steps: () => [{ program: process.execPath, args: ['scripts/build.mjs', '--only', 'simd128'], counts: () => NONE }, nodeTest('tests/hostile')],
  },
  {
    name: 'wasm',
    browsers: true,
    steps: (tools) => [
      wasmPackTest(tools, 'chrome', 'chromedriver'),
      wasmPackTest(tools, 'firefox', 'geckodriver'),
      // The kernels and their callers again with relaxed SIMD. One browser is enough to test instructions.
      wasmPackTest(tools, 'chrome', 'chromedriver', { more: [], env: RELAXED }),
    ],
  },
  {
    name: 'browser',
    browsers: true,
    // One file at a time, because two browsers on two cores slow each other down.
    steps: () => [{ program: process.execPath, args: ['scripts/build.mjs', '--dist'], counts: () => NONE }, nodeTest('tests/browser', ['--test-concurrency=1'])],
  },
  {
    name: 'bundlers',
    browsers: true,
    steps: () => [{ program: process.execPath, args: ['scripts/build.mjs', '--dist'], counts: () => NONE }, nodeTest('tests/bundlers', ['--test-concurrency=1'])],
  },
  {
    name: 'faults',
    browsers: true,
    steps: () => [{ program: process.execPath, args: ['scripts/build.mjs'], counts: () => NONE }, nodeTest('tests/faults', ['--test-concurrency=1'])],
  },
];

/** Runs one step. Resolves with its counts. A failure that the output does not count counts as one. */
async function runStep({ program, args, env, counts, missing, skip }) {
  if (skip) {
    console.log(`\n${skip}`);
    return { ...NONE, skipped: 1 };
  }
  console.log(`\n$ ${[program, ...args].map((word) => word.replace(`${ROOT}/`, '')).join(' ')}`);
  const { status, output } = missing ? { status: 1, output: '' } : await run(program, args, { env, show: true });
  const result = counts(output, status);
  return status !== 0 && result.failed === 0 ? { ...result, failed: 1 } : result;
}

/** Runs a suite's steps. Resolves with a row of the table. */
async function runSuite({ name, steps }, tools) {
  const start = performance.now();
  const all = [];
  for (const step of await steps(tools)) all.push(await runStep(step));
  const counts = sum(all);
  const ranNothing = counts.passed + counts.failed + counts.skipped === 0;
  if (ranNothing) counts.failed = 1;
  return { name, seconds: (performance.now() - start) / 1000, ...counts, note: ranNothing ? 'ran no test' : '' };
}

function printTable(rows) {
  console.log('\nsuite         seconds  passed  failed  skipped');
  for (const { name, seconds, passed, failed, skipped, note } of rows) {
    console.log(`${name.padEnd(12)} ${seconds.toFixed(1).padStart(8)} ${String(passed).padStart(7)} ${String(failed).padStart(7)} ${String(skipped).padStart(8)}  ${note}`.trimEnd());
  }
}

await command(import.meta.url, async (names) => {
  const unknown = names.find((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown) throw new Trouble(`there is no suite ${unknown}. Choose from: ${SUITES.map(({ name }) => name).join(', ')}`);
  const chosen = SUITES.filter(({ name }) => names.length === 0 || names.includes(name));
  const tools = await (chosen.some(({ browsers }) => browsers) ? setupTest() : setupBuild());
  const rows = [];
  for (const suite of chosen) rows.push(await runSuite(suite, tools));
  printTable(rows);
  for (const line of tools.lacks ?? []) console.log(line);
  const { passed, failed, skipped } = sum(rows);
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
  process.exitCode = failed === 0 ? 0 : 1;
});
