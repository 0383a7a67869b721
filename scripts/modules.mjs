// Finds the modules that an entry loads, and writes a preload link for each module of the page into
// index.html. A browser then requests all of them at once, not level by level.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './tools.mjs';

export const WWW = join(ROOT, 'www');

/** The place in the page's head for the links. */
const MARK = '<!-- modulepreload -->';

/** The page imports the packages of node_modules from vendor/. */
const VENDOR = {
  name: 'vendor',
  setup: (build) => build.onResolve({ filter: /\/vendor\// }, ({ path }) => ({ path: join(ROOT, 'node_modules', path.replace(/.*\/vendor\//, '')) })),
};

/**
 * The modules that load with the entries, including the entries, as esbuild finds them. Dynamic imports are
 * not included.
 * @param {string[]} entries relative to the root
 */
export async function reachable(entries) {
  const { build } = await import('esbuild');
  const settings = { bundle: true, write: false, outdir: 'none', metafile: true, format: 'esm', platform: 'browser', logLevel: 'error' };
  const { metafile } = await build({ ...settings, absWorkingDir: ROOT, entryPoints: entries, plugins: [VENDOR] });
  const found = new Set();
  const follow = (file) => {
    if (found.has(file)) return;
    found.add(file);
    for (const { path, kind, external } of metafile.inputs[file].imports) if (kind === 'import-statement' && !external) follow(path);
  };
  entries.forEach(follow);
  return [...found].sort();
}

/** The text of www/index.html with a link for each module of the page. */
export async function page() {
  const modules = (await reachable(['www/page/app.js'])).map((file) => file.replace(/^www\//, '').replace(/^node_modules\//, 'vendor/'));
  const links = modules.filter((file) => file !== 'page/app.js').map((file) => `<link rel="modulepreload" href="${file}" />`);
  return (await readFile(join(WWW, 'index.html'), 'utf8')).replace(MARK, links.join('\n    '));
}
