// Writes www/lib/bundled: the parts of packages that www/lib uses, as separate modules, so that neither a
// browser nor a user of fireside-lm needs those packages; and the service worker as one script, because
// older browsers do not support modules there. Takes milliseconds and compiles no Rust.
//
//     node scripts/bundle.mjs

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasPackages } from './setup.mjs';
import { command, ROOT, Trouble } from './tools.mjs';

const LIB = join(ROOT, 'www', 'lib');
const OUT = join(LIB, 'bundled');

/** The bundled packages: each file, and what it exports from which package. */
const PACKAGES = [
  { name: 'hono', code: "export { Hono } from 'hono/tiny';", platform: 'browser' },
  { name: 'node-server', from: '@hono/node-server', code: "export { getRequestListener } from '@hono/node-server';", platform: 'node' },
];

/** The licence of a package, as a comment: it must be kept with every copy. */
function licence(name) {
  const folder = join(ROOT, 'node_modules', name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const { version, license, homepage, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `${license}, ${typeof author === 'object' ? author.name : author}`;
  return `// @ts-nocheck
/*! ${name} ${version}, ${homepage}\n\n${text.replaceAll('*/', '* /')}\n*/`;
}

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

/** Writes the bundles. */
export async function bundle() {
  if (!hasPackages(ROOT)) throw new Trouble('the npm packages are missing. Run `npm ci`.');
  const { build } = await import('esbuild');
  mkdirSync(OUT, { recursive: true });
  // Without types: each integration declares what it uses.
  for (const { name, code } of PACKAGES) writeFileSync(join(OUT, `${name}.d.ts`), `export const ${/\{ (\w+) \}/.exec(code)?.[1]}: any;\n`);
  await Promise.all(PACKAGES.map(({ name, from = name, code, platform }) => build({
    ...COMMON,
    platform,
    format: 'esm',
    stdin: { contents: code, resolveDir: ROOT },
    outfile: join(OUT, `${name}.js`),
    banner: { js: licence(from) },
  })));
  // A classic script, because a service worker may not support modules. Includes no code for loading
  // models.
  const worker = { entryPoints: [join(LIB, 'integrations', 'service-worker', 'script.js')], format: 'iife' };
  await build({ ...COMMON, ...worker, outfile: join(OUT, 'service-worker.js'), banner: { js: licence('hono') } });
}

await command(import.meta.url, bundle);
