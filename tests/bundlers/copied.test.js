// Bundlers that copy no files, esbuild and Rollup: the copy command of docs/bundlers.md, and the error
// without it.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'esbuild';
import { serve } from '../../scripts/serve.mjs';
import { chromium, expectedBuild, html, project, telling } from './harness.js';

const read = chromium();

const hasRollup = (() => {
  try {
    return Boolean(createRequire(import.meta.url).resolve('rollup'));
  } catch {
    return false;
  }
})();

/**
 * Bundles a project's src/index.js into its dist.
 * @type {Record<string, (root: string) => Promise<unknown>>}
 */
const BUNDLERS = {
  esbuild: (root) => build({ entryPoints: [join(root, 'src', 'index.js')], bundle: true, format: 'esm', outdir: join(root, 'dist'), logLevel: 'error' }),
  async rollup(root) {
    const { rollup } = await import('rollup');
    // Resolves this one package, like @rollup/plugin-node-resolve.
    const found = { name: 'found', resolveId: (/** @type {string} */ id) => (id === 'fireside-lm' ? join(root, 'node_modules', 'fireside-lm', 'lib', 'index.js') : null) };
    const packed = await rollup({ input: join(root, 'src', 'index.js'), plugins: [found], onLog() {} });
    await packed.write({ dir: join(root, 'dist'), format: 'es' });
  },
};

/**
 * A page of a project bundled by one of them.
 * @param {string} name
 * @param {{ copied: string[], threads?: boolean }} settings
 */
async function packed(name, { copied, threads = false }) {
  const { root, write } = project(threads ? { threads } : { program: telling() });
  await BUNDLERS[name](root);
  write('dist/index.html', html('<script type="module" src="./index.js"></script>'));
  cpSync(join(root, 'public'), join(root, 'dist'), { recursive: true });
  const lib = join(root, 'node_modules', 'fireside-lm', 'lib');
  for (const each of copied) cpSync(join(lib, each), join(root, 'dist', each), { recursive: true });
  return serve({ mounts: { '/some/where/': join(root, 'dist') }, isolation: threads });
}

for (const name of Object.keys(BUNDLERS)) {
  const options = { skip: name === 'rollup' && !hasRollup && 'Rollup is not installed: npm install' };

  for (const threads of [false, true]) {
    test(`${name}: works with worker.js and pkg/ copied next to the script, ${threads ? 'on two threads' : 'on one thread'}`, options, async () => {
      const { url, close } = await packed(name, { copied: ['worker.js', 'pkg'], threads });
      assert.equal(await read(`${url}some/where/`).finally(close), expectedBuild(threads));
    });
  }

  test(`${name}: without them the error has the worker's URL and the remedy`, options, async () => {
    for (const copied of [[], ['pkg']]) {
      const { url, close } = await packed(name, { copied });
      const told = await read(`${url}some/where/`, { fails: true }).finally(close);
      assert(told.startsWith(`UNSUPPORTED_ENVIRONMENT: the engine's worker could not be started from ${url}some/where/worker.js: the address answers HTTP 404. Copy worker.js and pkg/`), told);
    }
    const { url, close } = await packed(name, { copied: ['worker.js'] });
    assert.match(await read(`${url}some/where/`, { fails: true }).finally(close), /^NETWORK: the engine is not at .*\.wasm \(HTTP 404\)\. Copy the folder pkg/);
  });
}

test('a script that is not a module says so', async () => {
  const { root, write } = project({ program: `(async () => {${telling().replace(/import .*/, '')}})();\nimport { Session } from 'fireside-lm';` });
  await build({ entryPoints: [join(root, 'src', 'index.js')], bundle: true, format: 'iife', outdir: join(root, 'dist'), logLevel: 'error' });
  write('dist/index.html', html('<script defer src="./index.js"></script>'));
  const { url, close } = await serve({ mounts: { '/': join(root, 'dist') } });
  assert.match(await read(url, { fails: true }).finally(close), /^UNSUPPORTED_ENVIRONMENT: .*--format=esm/);
});
