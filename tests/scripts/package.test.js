// The npm package in dist/npm, as its users find it after an installation.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';

const PACKAGE = join(ROOT, 'dist', 'npm');
const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');

let project;
before(() => {
  project = mkdtempSync(join(tmpdir(), 'fireside-package-'));
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(PACKAGE, join(project, 'node_modules', 'fireside-lm'), 'junction');
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
});
after(() => rmSync(project, { recursive: true }));

test('the package has what its manifest names, none of our sources and no dependency', () => {
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
  const targets = [...Object.values(manifest.exports), manifest.bin].flatMap((entry) => (typeof entry === 'string' ? [entry] : Object.values(entry)));
  for (const target of targets) {
    assert(existsSync(join(PACKAGE, target.replace('/*', ''))), target);
  }
  for (const name of ['README.md', 'LICENSE-MIT', 'LICENSE-APACHE']) assert(existsSync(join(PACKAGE, name)), name);
  assert.equal(manifest.dependencies, undefined);
  const [{ files }] = JSON.parse(execFileSync('npm', ['pack', '--dry-run', '--json'], { cwd: PACKAGE, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  const strange = files.map(({ path }) => path).filter((path) => !/^(package\.json|README\.md|LICENSE-\w+|docs\/[\w-]+\.md|lib\/node\/chat-help\.txt|lib\/((pkg|node|bundled|client|worker|shared|integrations(\/[\w-]+)?)\/)?[\w.-]+\.(js|wasm|d\.ts))$/.test(path));
  assert.deepEqual(strange, []);
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE', 'README.md']) assert(files.some(({ path }) => path === name), `${name} is packed`);
});

test('the package\'s manifest has the fields that registries and older tools read', () => {
  const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8'));
  for (const key of ['main', 'browser', 'types']) assert(existsSync(join(PACKAGE, manifest[key])), key);
  assert(manifest.keywords.length > 10 && new Set(manifest.keywords).size === manifest.keywords.length);
  // From the root's package.json, or absent if that has none.
  const { repository } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.deepEqual(manifest.repository, repository);
  for (const key of ['homepage', 'bugs']) assert.equal(key in manifest, repository !== undefined, key);
});

test('the package\'s README and docs link only to files in the package', () => {
  const pages = ['README.md', ...readdirSync(join(PACKAGE, 'docs')).map((name) => `docs/${name}`)];
  for (const page of pages) {
    const text = readFileSync(join(PACKAGE, page), 'utf8');
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link)) continue;
      const [path, anchor] = link.split('#');
      const target = path ? join(PACKAGE, dirname(page), path) : join(PACKAGE, page);
      assert(existsSync(target), `${page}: ${link}`);
      const titles = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, title]) => title.toLowerCase().replaceAll(/[^\w\s-]/g, '').replaceAll(' ', '-'));
      assert(!anchor || titles.includes(anchor), `${page}: ${link}`);
    }
  }
});

test('the worker is one script without imports and without URLs', () => {
  const worker = readFileSync(join(PACKAGE, 'lib', 'worker.js'), 'utf8');
  new Function(worker); // must also be a classic script
  assert.doesNotMatch(worker, /import\.meta|\bimport\s*\(/);
});

test('the package has four builds with their glue, and no wasm names a folder of the build machine', () => {
  const pkg = join(PACKAGE, 'lib', 'pkg');
  assert.deepEqual(readdirSync(pkg).filter((name) => name.endsWith('.wasm')), ['relaxed-threads_bg.wasm', 'relaxed_bg.wasm', 'simd128-threads_bg.wasm', 'simd128_bg.wasm']);
  for (const build of ['relaxed-threads', 'relaxed', 'simd128-threads', 'simd128']) {
    assert(existsSync(join(pkg, `${build}.js`)), build);
    const wasm = readFileSync(join(pkg, `${build}_bg.wasm`), 'latin1');
    assert(!wasm.includes(ROOT), build);
    assert(!/\/(home|root|Users)\/|\.cargo\//.test(wasm), build);
  }
});

test('builds with threads import a shared memory that www/lib can create', async () => {
  const { choose } = await import('../../www/lib/client/builds.js');
  const { memory } = choose({ threads: 2, deterministic: true }, { cores: 2, isolated: true });
  const module = await WebAssembly.compile(readFileSync(join(PACKAGE, 'lib', 'pkg', 'simd128-threads_bg.wasm')));
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === 'memory' ? memory : () => 0;
  }
  await WebAssembly.instantiate(module, imports);
});

test('a TypeScript program with strict settings finds its types', () => {
  writeFileSync(
    join(project, 'program.ts'),
    `import { FiresideError, Model, Session, type RunResult } from 'fireside-lm';
    import { isolate } from 'fireside-lm/isolation';
    import init, { Session as RawSession } from 'fireside-lm/wasm';
    import { createHandler } from 'fireside-lm/openai';
    import { createLanguageModel } from 'fireside-lm/prompt-api';
    import { answerRequests } from 'fireside-lm/service-worker';
    const isolated: boolean = await isolate();
    const session: Session = await Session.load('models/story/', { dtype: 'auto', threads: isolated ? 'auto' : 1, onProgress: ({ loaded }) => console.log(loaded.toFixed()) });
    const run = session.generate('Once upon a time', { maxTokens: 200, temperature: 0.8 });
    for await (const { text } of run) console.log(text.length);
    const { finishReason, usage }: RunResult = await run;
    console.log(finishReason satisfies 'stop' | 'length' | 'abort', usage.promptTokens.toFixed(), FiresideError, Model, init, RawSession);
    const handler: (request: Request) => Promise<Response> = createHandler({ models: { story: session.model } });
    const answer: string = await (await createLanguageModel({ source: 'models/chat/' }).create()).prompt('Hello!');
    const LanguageModel = createLanguageModel({ source: 'models/chat/' });
    console.log(handler, answer.length, answerRequests, (await LanguageModel.create()) instanceof LanguageModel);
    // @ts-expect-error a prompt is a string
    session.generate(1);
    export {};`,
  );
  const options = ['--strict', '--noEmit', '--target', 'es2022', '--module', 'esnext', '--moduleResolution', 'bundler', '--types', '', '--lib', 'es2024,esnext.disposable,dom,dom.asynciterable'];
  execFileSync(process.execPath, [TSC, ...options, 'program.ts'], { cwd: project, stdio: ['ignore', 'inherit', 'inherit'] });
});

test('the installed tarball has its command-line program', () => {
  const npm = (...args) => execFileSync('npm', args, { cwd: place, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  const place = mkdtempSync(join(tmpdir(), 'fireside-installed-'));
  try {
    writeFileSync(join(place, 'package.json'), '{"private": true}');
    const [{ filename, version }] = JSON.parse(npm('pack', '--json', PACKAGE));
    npm('install', '--offline', '--no-audit', '--no-fund', `./${filename}`);
    assert.equal(npm('exec', '--no', '--', 'fireside', '--version').trim(), `fireside-lm ${version}`);
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('the raw engine tells a story in Node', () => {
  const model = join(ROOT, 'models', 'story');
  const { cases } = JSON.parse(readFileSync(join(ROOT, 'tests', 'golden', 'story.json'), 'utf8'));
  writeFileSync(
    join(project, 'tell.js'),
    `import { readFileSync } from 'node:fs';
    import { initSync, Session } from 'fireside-lm/wasm';
    const [wasm, folder, prompt] = process.argv.slice(2);
    const read = (name) => readFileSync(folder + '/' + name);
    initSync({ module: readFileSync(wasm) });
    const session = Session.fromBytes(read('config.json'), read('tokenizer.json'), read('model.safetensors'), { tokenizerConfig: read('tokenizer_config.json') });
    const run = session.generate(prompt, { temperature: 0, repetitionPenalty: 1, maxTokens: 200 });
    let text = '';
    for (let step = run.step(); ; step = run.step()) {
      text += step.text ?? '';
      if (step.kind === 'end') break;
    }
    console.log(JSON.stringify(text));`,
  );
  const wasm = join(PACKAGE, 'lib', 'pkg', 'simd128_bg.wasm');
  const [{ prompt, greedy }] = cases;
  const output = execFileSync(process.execPath, ['--preserve-symlinks', 'tell.js', wasm, model, prompt], { cwd: project, encoding: 'utf8' });
  assert.equal(JSON.parse(output), greedy.text);
});
