// Writes www/lib/bundled/service-worker.js: the service worker as one classic script, because older browsers
// do not support modules there. Takes milliseconds and compiles no Rust.
//
//     node scripts/bundle.mjs

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { hasPackages } from './setup.mjs';
import { command, ROOT, Trouble } from './tools.mjs';

const LIB = join(ROOT, 'www', 'lib');

/** The builds of the engine, as build.mjs makes them. */
const BUILDS = ['simd128', 'relaxed', 'simd128-threads', 'relaxed-threads'];

/** The settings of all bundles. */
const COMMON = { bundle: true, minify: true, legalComments: 'none', logLevel: 'error', target: 'es2022' };

/**
 * The engine's worker as one script without imports, so that it works wherever the file is copied. The page
 * tells it where the wasm is; the worker's own URL is not used.
 */
export async function workerScript() {
  const { build } = await import('esbuild');
  const define = { 'import.meta.url': 'self.location.href' };
  // Leaves out glue that is not built yet, because builds can be made one by one.
  const external = BUILDS.filter((name) => !existsSync(join(LIB, 'pkg', `${name}.js`))).map((name) => `*/pkg/${name}.js`);
  const { outputFiles } = await build({ ...COMMON, entryPoints: [join(LIB, 'worker.js')], format: 'iife', define, external, write: false });
  return outputFiles[0].text;
}

/** Writes the script of the service worker. */
export async function bundle() {
  if (!hasPackages(ROOT)) throw new Trouble('the npm packages are missing. Run `npm ci`.');
  const { build } = await import('esbuild');
  const entryPoints = [join(LIB, 'integrations', 'service-worker', 'script.js')];
  await build({ ...COMMON, entryPoints, format: 'iife', outfile: join(LIB, 'bundled', 'service-worker.js') });
}

await command(import.meta.url, bundle);
