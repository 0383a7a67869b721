// The rules for the modules of www/lib: which folder may import which, no circular imports, no long
// function in the worker, and one protocol that both ends of the worker are checked against.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';

const LIB = 'www/lib';
const FILES = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', LIB], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
const MODULES = FILES.filter((file) => /\.(js|d\.ts)$/.test(file)).map((file) => posix.relative(LIB, file));
const read = (module) => readFileSync(join(ROOT, LIB, module), 'utf8');

/** The folders that each folder may import from, including types. `entries`: the modules at the top. */
const ARROWS = {
  assets: ['shared'],
  shared: [],
  client: ['shared', 'assets'],
  worker: ['shared', 'pkg'],
  integrations: ['client', 'shared'],
  node: ['client', 'worker', 'shared', 'integrations'],
  entries: ['client', 'worker', 'shared', 'pkg'],
};

const folderOf = (module) => (module === 'assets.js' ? 'assets' : module.includes('/') ? module.split('/')[0] : 'entries');

/** The modules that a module imports; `types`: also those that it imports types from. */
function imports(module, { types }) {
  const code = types ? read(module) : read(module).replace(/\/\*\*[^]*?\*\//g, '');
  const statement = types ? /(?:from|import\()\s*'(\.[^']*)'/g : /^(?:import|export)\b[^;]*?from '(\.[^']*)'/gm;
  return [...code.matchAll(statement)].map(([, path]) => posix.join(posix.dirname(module), path));
}

test('a folder imports only from the allowed folders', () => {
  const wrong = [];
  for (const module of MODULES) {
    for (const target of imports(module, { types: true })) {
      const [from, to] = [folderOf(module), folderOf(target)];
      if (from !== to && !ARROWS[from].includes(to)) wrong.push(`${module} -> ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('no modules import each other in a circle, except Model and Session', () => {
  const circles = new Set();
  const done = new Set();
  const visit = (module, path) => {
    if (path.includes(module)) return void circles.add([...path.slice(path.indexOf(module))].sort().join(' '));
    if (done.has(module) || !MODULES.includes(module)) return;
    for (const target of imports(module, { types: false })) visit(target, [...path, module]);
    done.add(module);
  };
  for (const module of MODULES.filter((module) => module.endsWith('.js'))) visit(module, []);
  // Each creates the other: `model.session()` and `Session.load()`.
  assert.deepEqual([...circles], ['client/model.js client/session.js']);
});

test('no function of the worker has more than 60 lines', () => {
  for (const module of MODULES.filter((module) => module.startsWith('worker/') && module.endsWith('.js'))) {
    const lines = read(module).split('\n');
    lines.forEach((line, start) => {
      // A function or method begins a block that ends at a closing brace with the same indent.
      const [, indent] = /^(\s*)(?:export )?(?:async )?(?:function\b|\*?#?\w+ ?\().*\{$/.exec(line) ?? [];
      if (indent === undefined) return;
      const length = lines.slice(start).findIndex((end) => end === `${indent}}` || end === `${indent}};`) + 1;
      assert(length <= 60, `${module}: ${line.trim()} has ${length} lines`);
    });
  }
});

test('a renamed operation, argument or field does not pass the type check', () => {
  const copy = mkdtempSync(join(tmpdir(), 'fireside-protocol-'));
  const tsc = () => spawnSync(process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', copy], { encoding: 'utf8' });
  try {
    cpSync(join(ROOT, LIB), join(copy, LIB), { recursive: true, filter: (path) => !path.endsWith(`lib${posix.sep}pkg`) });
    cpSync(join(ROOT, 'tsconfig.json'), join(copy, 'tsconfig.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'junction');
    assert.equal(tsc().status, 0, 'the unchanged copy passes');
    const renames = [
      ['shared/protocol.d.ts', '  measure: Operation', '  measured: Operation'],
      ['shared/protocol.d.ts', '  restore: Operation<{ as: number', '  restore: Operation<{ to: number'],
      ['shared/protocol.d.ts', '  usage: Usage;', '  use: Usage;'],
      ['shared/engine.d.ts', 'completionTokens: number', 'newTokens: number'],
      ['client/session.js', "this.#request('clone', { session: this.#id, as: id })", "this.#request('clone', { session: this.#id, to: id })"],
      ['client/session.js', "this.#request('reset'", "this.#request('clear'"],
      ['client/worker-client.js', '{ pace: id, until }', '{ pace: id, upTo: until }'],
      ['worker/sessions.js', 'measure: (args, ticket)', 'measured: (args, ticket)'],
      ['worker/sessions.js', '({ ids, options })', '({ tokens: ids, options })'],
      ['worker/drive.js', 'resolve({ choices, usage, timings })', 'resolve({ choices, use: usage, timings })'],
      ['worker/requests.js', 'this.#reply({ id: this.id, piece })', 'this.#reply({ id: this.id, part: piece })'],
    ];
    for (const [module, before, after] of renames) {
      const [path, text] = [join(copy, LIB, module), read(module)];
      assert(text.includes(before), `${module} has ${before}`);
      writeFileSync(path, text.replace(before, after));
      const { status, stdout } = tsc();
      assert.notEqual(status, 0, `${module}: ${after} passes`);
      assert.match(stdout, /error TS/);
      writeFileSync(path, text);
    }
  } finally {
    rmSync(copy, { recursive: true });
  }
});

test('the protocol and its handlers have no any', () => {
  for (const module of MODULES.filter((module) => module.startsWith('worker/') || module === 'shared/protocol.d.ts' || module === 'client/worker-client.js')) {
    assert.doesNotMatch(read(module), /[{<(:,|]\s*any\b/, module);
  }
});

test('engine.d.ts matches what the build derives from the Rust code', (t) => {
  const git = (...args) => spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' }).stdout;
  // The build has written it. While the Rust code is changing, it is committed with that change.
  if (git('status', '--porcelain', 'src', 'Cargo.toml')) return t.skip('src has changes that are not committed');
  assert.equal(git('diff', '--stat', `${LIB}/shared/engine.d.ts`), '', 'commit www/lib/shared/engine.d.ts');
});
