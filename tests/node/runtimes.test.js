// Bun and Deno, which run the library's entry for Node: a load, a run, an attached model, a stored
// download, and the programs chat and serve. npm installs both runtimes (optionalDependencies of
// package.json). If one is missing, its tests are skipped.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { ENTRY, folder, GOLDEN, GREEDY, PROMPT, STORY } from './harness.js';

const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');
const PATIENCE_MS = 60_000;

/**
 * The program in the one of the packages that npm chooses for this machine.
 * @param {string} scope
 * @param {string} path in the package
 */
function installed(scope, path) {
  const packages = join(ROOT, 'node_modules', scope);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const places = existsSync(packages) ? readdirSync(packages).map((name) => join(packages, name, path + suffix)) : [];
  // Of several (glibc and musl), the first that starts.
  return places.find(starts);
}

const starts = (/** @type {string} */ place) => existsSync(place) && spawnSync(place, ['--version']).status === 0;

/** Where Bun's own install script, if npm allows it, moves the program. */
const MOVED = join(ROOT, 'node_modules', 'bun', 'bin', 'bun.exe');

const RUNTIMES = [
  { name: 'Bun', program: installed('@oven', join('bin', 'bun')) ?? (starts(MOVED) ? MOVED : undefined), flags: [] },
  { name: 'Deno', program: installed('@deno', 'deno'), flags: ['run', '--allow-all', '--quiet'] },
];

/**
 * Runs a program with these lines and returns its output. The program has no top-level `await`, which would
 * keep the process alive in any case.
 * @param {{ program?: string, flags: string[] }} runtime
 * @param {string} lines
 * @param {object} [env]
 */
async function written({ program, flags }, lines, env) {
  const file = join(folder(), 'program.mjs');
  writeFileSync(file, `import { Model, Session } from ${JSON.stringify(ENTRY)};\n(async () => {\n${lines}\n})();`);
  const child = spawn(/** @type {string} */ (program), [...flags, file], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: PATIENCE_MS });
  let [output, errors] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
  const status = await new Promise((resolve) => child.on('close', (code, signal) => resolve(signal ?? code)));
  assert.equal(status, 0, `${status} ${output} ${errors}`);
  return output;
}

const GENERATE = `generate(${JSON.stringify(PROMPT)}, ${JSON.stringify({ ...GREEDY, maxTokens: GOLDEN.tokens.length })})`;

for (const runtime of RUNTIMES) {
  const { name, program, flags } = runtime;
  const options = { skip: !program && `${name} is not installed: npm install`, timeout: 2 * PATIENCE_MS };

  test(`${name}: a process lives until its load and its run end, then exits by itself`, options, async () => {
    for (const threads of [1, 2]) {
      const lines = `const session = await Session.load(${JSON.stringify(STORY)}, { threads: ${threads} });
        await new Promise((resolve) => setTimeout(resolve, 50)); // idle in between
        const { text } = await session.${GENERATE};
        console.log(text);`;
      assert.equal(await written(runtime, lines), `${GOLDEN.text}\n`);
    }
  });

  test(`${name}: a model attached through a port answers`, options, async () => {
    const lines = `const model = await Model.load(${JSON.stringify(STORY)});
      const attached = await Model.attach(await model.port());
      const { text } = await attached.session().${GENERATE};
      console.log(text);
      attached.dispose();
      model.dispose();`;
    assert.equal(await written(runtime, lines), `${GOLDEN.text}\n`);
  });

  test(`${name}: a load can be aborted, and a missing model is an error`, options, async () => {
    const lines = `const late = await Session.load(${JSON.stringify(STORY)}, { signal: AbortSignal.abort() }).catch(({ name }) => name);
      const none = await Session.load('nobody/nothing').catch(({ code, message }) => code + ' ' + message);
      console.log(late, none);`;
    assert.match(await written(runtime, lines), /^AbortError BAD_INPUT source: expected .*did you mean `hf:nobody\/nothing`\?/);
  });

  test(`${name}: a downloaded model is stored and read from the cache`, options, async () => {
    const { url, close } = await serve({ mounts: { '/models/': join(ROOT, 'models') } });
    const cache = folder();
    const lines = `const session = await Session.load(${JSON.stringify(`${url}models/story/`)});
      const { text } = await session.${GENERATE};
      console.log(session.info().cache + ' ' + text);`;
    const all = [];
    for (const _ of [1, 2]) all.push(await written(runtime, lines, { XDG_CACHE_HOME: cache }));
    await close();
    assert.deepEqual(all, [`stored ${GOLDEN.text}\n`, `reused ${GOLDEN.text}\n`]);
  });

  test(`${name}: chat answers over a pipe`, options, () => {
    const args = [...flags, CLI, 'chat', '--model', join(ROOT, 'models', 'chat'), '--temperature', '0'];
    const { status, stdout, stderr } = spawnSync(/** @type {string} */ (program), args, { input: 'My name is Ada.\nWhat is my name?\n', encoding: 'utf8', timeout: PATIENCE_MS });
    assert.equal(status, 0, stderr);
    assert.equal(stdout, 'Nice to meet you, Ada!\nYour name is Ada.\n');
  });

  test(`${name}: serve answers, and exits with 0 when told to`, { ...options, skip: options.skip || process.platform === 'win32' }, async () => {
    const child = spawn(/** @type {string} */ (program), [...flags, CLI, 'serve', '--model', join(ROOT, 'models', 'chat'), '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      let output = '';
      for await (const text of child.stdout.setEncoding('utf8').iterator({ destroyOnReturn: false })) if ((output += text).includes('Ctrl-C')) break;
      const [url] = /http:\S+/.exec(output) ?? [];
      const body = JSON.stringify({ messages: [{ role: 'user', content: 'My name is Ada.' }], model: 'chat', temperature: 0 });
      const answer = await fetch(`${url}/chat/completions`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
      assert.equal((await answer.json()).choices[0].message.content, 'Nice to meet you, Ada!');
      child.kill('SIGTERM');
      assert.equal(await new Promise((resolve) => child.on('close', resolve)), 0);
    } finally {
      child.kill('SIGKILL');
    }
  });
}
