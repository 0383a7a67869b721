// Makes www/lib/bundled: what www/lib takes from packages, as modules of their own, so that a browser and somebody who installs fireside-lm need no package; and the
// service worker as one script, since older browsers know no modules there. Some milliseconds; nothing of it is compiled by Rust.
//
//     node scripts/bundle.mjs

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasPackages } from './setup.mjs';
import { command, ROOT, Trouble } from './tools.mjs';

const LIB = join(ROOT, 'www', 'lib');
const OUT = join(LIB, 'bundled');

/** Of packages: each file, and what it exports of which package. */
const PACKAGES = [
  { name: 'hono', code: "export { Hono } from 'hono/tiny';", platform: 'browser' },
  { name: 'node-server', from: '@hono/node-server', code: "export { getRequestListener } from '@hono/node-server';", platform: 'node' },
];

/** The licence of a package, as a comment: it asks to be kept with every copy. */
function licence(name) {
  const folder = join(ROOT, 'node_modules', name);
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const { version, license, homepage, author } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `${license}, ${typeof author === 'object' ? author.name : author}`;
  return `// @ts-nocheck
/*! ${name} ${version}, ${homepage}\n\n${text.replaceAll('*/', '* /')}\n*/`;
}

/** Writes the bundles. */
export async function bundle() {
  if (!hasPackages(ROOT)) throw new Trouble('the npm packages are missing: npm ci');
  const { build } = await import('esbuild');
  const common = { bundle: true, minify: true, legalComments: 'none', logLevel: 'error', target: 'es2022' };
  mkdirSync(OUT, { recursive: true });
  // Of no type: each door says what it takes.
  for (const { name, code } of PACKAGES) writeFileSync(join(OUT, `${name}.d.ts`), `export const ${/\{ (\w+) \}/.exec(code)?.[1]}: any;\n`);
  await Promise.all(PACKAGES.map(({ name, from = name, code, platform }) => build({
    ...common,
    platform,
    format: 'esm',
    stdin: { contents: code, resolveDir: ROOT },
    outfile: join(OUT, `${name}.js`),
    banner: { js: licence(from) },
  })));
  // No page's own modules: a service worker may be one that knows none. What it takes of loading it does not call.
  const worker = { entryPoints: [join(LIB, 'doors', 'service-worker', 'script.js')], format: 'iife', external: ['./pkg/*'] };
  await build({ ...common, ...worker, outfile: join(OUT, 'service-worker.js'), banner: { js: licence('hono') } });
}

await command(import.meta.url, bundle);
