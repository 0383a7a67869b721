// The rules for the repository's own files: where `unsafe` may be, that every dependency is one exact
// version, that lock files are committed and name only public registries, and that CONTRIBUTING.md names
// real files.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';

const FILES = execFileSync('git', ['ls-files'], { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
const read = (file) => readFileSync(join(ROOT, file), 'utf8');
const named = (name) => FILES.filter((file) => posix.basename(file) === name);

/** SIMD and threads, and a test's counting allocator. */
const UNSAFE = ['src/kernels/simd128.rs', 'src/kernels/sse2.rs', 'src/pool.rs', 'tests/memory.rs'];

test('unsafe code is in the permitted files only', () => {
  const code = (file) => read(file).replace(/\/\/.*$/gm, '');
  const found = FILES.filter((file) => file.endsWith('.rs') && /\bunsafe\b/.test(code(file)));
  assert.deepEqual(found, UNSAFE);
  assert.match(read('Cargo.toml'), /^unsafe_code = "deny"$/m);
  const allowing = FILES.filter((file) => file.startsWith('src/') && /allow\(.*unsafe_code/.test(code(file)));
  assert.deepEqual(allowing, UNSAFE.filter((file) => file.startsWith('src/')));
});

test('every Rust dependency is one exact version', () => {
  for (const file of named('Cargo.toml')) {
    const tables = read(file).split(/^\[/m).filter((table) => /^(target\..*)?(dev-|build-)?dependencies\]/.test(table));
    assert(tables.length > 0, file);
    for (const line of tables.flatMap((table) => table.split('\n').slice(1)).filter((line) => /^[\w-]+ *=/.test(line))) {
      assert(/"=\d+\.\d+\.\d+[^"]*"/.test(line) || /^fireside = \{ path = "\.\.", /.test(line), `${file}: ${line}`);
    }
  }
});

test('every npm dependency is one exact version', () => {
  for (const file of named('package.json')) {
    const { dependencies = {}, devDependencies = {}, optionalDependencies = {} } = JSON.parse(read(file));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      assert.match(version, /^\d+\.\d+\.\d+$/, `${file}: ${name}`);
    }
  }
});

test('every manifest has a lock file', () => {
  const beside = (file, name) => posix.join(posix.dirname(file), name);
  for (const file of named('Cargo.toml')) assert(FILES.includes(beside(file, 'Cargo.lock')), file);
  for (const file of named('package.json')) {
    const { dependencies, devDependencies } = JSON.parse(read(file));
    if (dependencies || devDependencies) assert(FILES.includes(beside(file, 'package-lock.json')), file);
  }
});

test('every file that CONTRIBUTING.md names exists', () => {
  const paths = [...read('CONTRIBUTING.md').matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map(([, path]) => path);
  const real = paths.filter((path) => !/NAME|XX/.test(path));
  assert(real.length > 50);
  for (const path of real) assert(existsSync(join(ROOT, path)), path);
});

test('lock files name only public registries', () => {
  for (const file of named('Cargo.lock')) {
    const sources = new Set([...read(file).matchAll(/^source = "([^"]*)"$/gm)].map(([, source]) => source));
    assert.deepEqual([...sources], ['registry+https://github.com/rust-lang/crates.io-index'], file);
  }
  for (const file of named('package-lock.json')) {
    const entries = Object.entries(JSON.parse(read(file)).packages);
    assert(entries.length > 1, file);
    for (const [name, { resolved = 'https://registry.npmjs.org/' }] of entries) assert(resolved.startsWith('https://registry.npmjs.org/'), `${file}: ${name}`);
  }
});
