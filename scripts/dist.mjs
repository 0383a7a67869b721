// Writes the published files from the built ones: dist/npm, the npm package, and dist/site, the page
// for any folder of a static host.

import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { workerScript } from './bundle.mjs';
import { page, WWW } from './modules.mjs';
import { INTEGRATIONS } from './sizes.mjs';
import { must, ROOT } from './tools.mjs';

const LIB = join(ROOT, 'www', 'lib');
const DIST = join(ROOT, 'dist');
const BUNDLED_MODELS = ['story', 'chat'];

/**
 * The libraries of the page, which has no bundler. They are served and published under vendor/ unchanged,
 * with their licences.
 */
export const VENDOR = {
  'idb-keyval': ['LICENCE', 'dist/index.js'],
  uplot: ['LICENSE', 'dist/uPlot.iife.min.js', 'dist/uPlot.min.css'],
};

/** Excludes the build's own notes. */
const isPublished = (path) => !path.endsWith('inputs.sha256');

/**
 * Writes the declarations that tsc generates from the JSDoc in www/lib to `out`, with the settings of
 * tsconfig.json.
 */
async function writeTypes(out) {
  const config = join(DIST, 'tsconfig.json');
  const compilerOptions = { noEmit: false, declaration: true, emitDeclarationOnly: true, rootDir: LIB, outDir: out };
  const include = [`${LIB}/*.js`, `${LIB}/*.d.ts`, `${LIB}/integrations/**/*.js`];
  writeFileSync(config, JSON.stringify({ extends: '../tsconfig.json', compilerOptions, include, exclude: [join(LIB, 'pkg')] }));
  await must('writing the types', process.execPath, [join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config]);
  rmSync(config);
}

/**
 * Where the package is developed: `repository` of the root's package.json, which its owner fills in. If it
 * is missing, so are these fields.
 * @returns {{ repository?: object, homepage?: string, bugs?: object }}
 */
function origin() {
  const { repository } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  if (!repository) {
    console.log('dist/npm/package.json has no repository, homepage and bugs. Add `repository` to package.json in the root.');
    return {};
  }
  const page = repository.url.replace(/^git\+/, '').replace(/\.git$/, '');
  return { repository, homepage: `${page}#readme`, bugs: { url: `${page}/issues` } };
}

/**
 * The manifest of the package. The order of the conditions matters: types for TypeScript first, then the
 * platform.
 */
async function manifest() {
  const { version } = JSON.parse(await must('asking cargo', 'cargo', ['metadata', '--no-deps', '--format-version=1', '--locked'])).packages[0];
  const integrations = INTEGRATIONS.map(({ name }) => [`./${name}`, { types: `./lib/integrations/${name}.d.ts`, default: `./lib/integrations/${name}.js` }]);
  return {
    name: 'fireside-lm',
    version,
    description: 'Language models that run inside a browser tab: Hugging Face files as they are, no server, no dependency',
    license: 'MIT OR Apache-2.0',
    keywords: [
      'llm', 'language-model', 'ai', 'chat', 'inference', 'local-first', 'offline', 'browser', 'wasm', 'webassembly', 'simd', 'web-worker',
      'huggingface', 'transformers', 'safetensors', 'llama', 'qwen', 'mistral', 'openai', 'prompt-api',
    ],
    ...origin(),
    type: 'module',
    // For tools that do not read `exports`.
    main: './lib/node/index.js',
    browser: './lib/index.js',
    types: './lib/index.d.ts',
    exports: {
      '.': { types: './lib/index.d.ts', node: './lib/node/index.js', default: './lib/index.js' },
      './wasm': { types: './lib/wasm.d.ts', default: './lib/wasm.js' },
      './isolation': { types: './lib/isolation.d.ts', default: './lib/isolation.js' },
      './isolation-worker.js': './lib/isolation-worker.js',
      './service-worker.js': './lib/bundled/service-worker.js',
      ...Object.fromEntries(integrations),
      './pkg/*': './lib/pkg/*',
      './package.json': './package.json',
    },
    bin: { fireside: './lib/node/cli.js' },
    files: ['lib', 'docs', 'LICENSE-*'],
    sideEffects: ['./lib/worker.js', './lib/isolation-worker.js', './lib/bundled/service-worker.js', './lib/node/*.js'],
    engines: { node: '>=20' },
  };
}

/** Writes dist/npm. */
async function npmPackage() {
  const out = join(DIST, 'npm');
  mkdirSync(out, { recursive: true });
  cpSync(LIB, join(out, 'lib'), { recursive: true, filter: isPublished });
  await writeTypes(join(out, 'lib'));
  writeFileSync(join(out, 'lib', 'worker.js'), await workerScript());
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(await manifest(), null, 2)}\n`);
  cpSync(join(ROOT, 'scripts', 'npm-readme.md'), join(out, 'README.md'));
  cpSync(join(ROOT, 'docs'), join(out, 'docs'), { recursive: true });
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) cpSync(join(ROOT, name), join(out, name));
}

/** Writes dist/site: www with the bundled models and the page's libraries, all with relative URLs. */
async function staticSite() {
  const out = join(DIST, 'site');
  const node = join(LIB, 'node');
  const isNodes = (path) => path === node || path.startsWith(node + sep);
  cpSync(WWW, out, { recursive: true, filter: (path) => isPublished(path) && !path.endsWith('.d.ts') && !isNodes(path) });
  writeFileSync(join(out, 'index.html'), await page());
  for (const name of BUNDLED_MODELS) cpSync(join(ROOT, 'models', name), join(out, 'models', name), { recursive: true });
  for (const [name, files] of Object.entries(VENDOR)) {
    for (const file of files) cpSync(join(ROOT, 'node_modules', name, file), join(out, 'vendor', name, file));
  }
}

/** Writes both. */
export async function lay() {
  rmSync(DIST, { recursive: true, force: true });
  await npmPackage();
  await staticSite();
  for (const name of ['npm', 'site']) {
    const files = readdirSync(join(DIST, name), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    console.log(`dist/${name}: ${files.length} files`);
  }
}
