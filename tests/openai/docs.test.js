// docs/openai.md and docs/clients.md: the examples, run as a user of the installed package runs them, and
// the table of parameters, compared with the code.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { ROOT } from '../../scripts/tools.mjs';
import { inEachBrowser, serveTests } from '../browser/harness.js';
import { examples } from '../docs.js';
import { PARAMETERS, until } from './handler.js';

const PAGE = 'docs/openai.md';
const [SERVE, CLIENT, IN_A_PAGE, HANDLER, FETCH] = examples(PAGE);
const [MODEL, WITH_OPENAI, WITH_AI_SDK, WITH_LANGCHAIN, SERVE_CLIENTS, SERVED] = examples('docs/clients.md');
/** The examples by the name of their file. */
const CLIENTS = { 'openai.js': WITH_OPENAI, 'ai-sdk.js': WITH_AI_SDK, 'langchain.js': WITH_LANGCHAIN };
/** How the bundled chat model answers `Hello!` at temperature 0. */
const GREETING = /^(Hello|Hi)/;

/** The installed package: the library's folder in the repository, under the export names of the package. */
const EXPORTS = { '.': './lib/node/index.js', './openai': './lib/integrations/openai.js', './service-worker': './lib/integrations/service-worker.js' };

let project;
before(() => {
  project = mkdtempSync(join(tmpdir(), 'fireside-openai-'));
  const installed = join(project, 'node_modules', 'fireside-lm');
  mkdirSync(installed, { recursive: true });
  mkdirSync(join(project, 'node_modules', '.bin'));
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'fireside-lm', version: '0.0.0', type: 'module', exports: EXPORTS }));
  symlinkSync(join(ROOT, 'www', 'lib'), join(installed, 'lib'), 'junction');
  for (const name of ['openai', 'ai', '@ai-sdk', '@langchain']) symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name), 'junction');
  symlinkSync(join(ROOT, 'models'), join(project, 'models'), 'junction');
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  for (const [name, { code }] of Object.entries({ 'model.js': MODEL, ...CLIENTS })) writeFileSync(join(project, name), code);
  // npx finds it on PATH as well as in the project.
  writeFileSync(join(project, 'node_modules', '.bin', 'fireside'), `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'www', 'lib', 'node', 'cli.js')}" "$@"\n`, { mode: 0o755 });
});
after(() => rmSync(project, { recursive: true }));

/** The output of an example. */
async function printed({ code }, name) {
  writeFileSync(join(project, name), code);
  return (await promisify(execFile)(process.execPath, [name], { cwd: project, encoding: 'utf8' })).stdout;
}

/** Starts the server as an example does, calls `ask` with what the server printed, and ends it. */
async function whileServed({ code }, ask) {
  const env = { ...process.env, PATH: [join(project, 'node_modules', '.bin'), process.env.PATH].join(delimiter) };
  // A separate process group, because npx starts the program through a shell.
  const child = spawn('sh', ['-c', code], { cwd: project, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  try {
    await Promise.race([until(() => /^http:\/\/127\.0\.0\.1:8377\/v1 /m.test(output)), ended.then(() => assert.fail(output))]);
    await ask(output);
  } finally {
    process.kill(-child.pid, 'SIGTERM');
    await ended;
  }
}

test('the server starts as the page says, and the official client holds the conversation', () =>
  whileServed(SERVE, async (output) => {
    assert.match(output, /^chat: bf16, \d+ threads?, 1024 tokens of context$/m);
    assert.equal(await printed(CLIENT, 'client.js'), 'Your name is Ada.');
  }));

test('the server gives the three clients the same answer', () =>
  whileServed(SERVE_CLIENTS, async () => {
    const [first, ...others] = (await printed(SERVED, 'served.js')).trimEnd().split('\n');
    assert.match(first, /Ada/);
    assert.deepEqual(others, [first, first]);
  }));

test('the handler answers without a server', async () => {
  assert.equal(await printed(HANDLER, 'handler.js'), "[ 'story' ]\n");
});

test('the handler works as the fetch of the official client', async () => {
  assert.match(await printed(FETCH, 'fetch.js'), GREETING);
});

test('the handler works as the fetch of all three clients', async () => {
  const texts = [];
  for (const [name, example] of Object.entries(CLIENTS)) texts.push((await printed(example, name)).replaceAll('\n', ''));
  assert.match(texts[0], GREETING);
  assert.deepEqual(texts, texts.map(() => texts[0]));
});

/** The text that a page with this script shows. Fails if a request leaves the browser. */
async function shown(browser, script) {
  const entries = { 'fireside-lm': 'index.js', 'fireside-lm/openai': 'integrations/openai.js', 'fireside-lm/service-worker': 'integrations/service-worker.js' };
  const map = JSON.stringify({ imports: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, `/lib/${file}`])) });
  const files = {
    '/example.html': ['text/html', `<!doctype html><link rel="icon" href="data:," /><script type="importmap">${map}</script><script type="module" src="/example.js"></script>`],
    '/example.js': ['text/javascript', script],
    '/service-worker.js': ['text/javascript', readFileSync(join(ROOT, 'www', 'lib', 'bundled', 'service-worker.js'), 'utf8')],
  };
  const first = (request, response) => {
    const [type, text] = files[request.url] ?? [];
    if (type) response.writeHead(200, { 'Content-Type': type }).end(text);
    return type !== undefined;
  };
  const server = await serveTests({ first });
  try {
    const { page, until, close } = await browser.open(`${server.url}example.html`);
    await until(() => document.body.textContent.length > 0);
    const text = await page.evaluate(() => document.body.textContent);
    assert(!server.requests.some((path) => path.startsWith('/v1/')), 'nothing left the browser');
    await close();
    return text;
  } finally {
    await server.close();
  }
}

/** The examples of the three clients, bundled for a page that shows the output of each. */
async function forAPage() {
  const contents = `
    const texts = [];
    console.log = (piece) => texts.push(texts.pop() + piece);
    for (const run of [${Object.keys(CLIENTS).map((name) => `() => import('./${name}')`)}]) {
      texts.push('');
      await run();
    }
    document.body.textContent = JSON.stringify(texts);`;
  const external = ['fireside-lm', 'fireside-lm/openai'];
  const { outputFiles } = await build({ stdin: { contents, resolveDir: project }, bundle: true, format: 'esm', target: 'es2022', external, write: false });
  return outputFiles[0].text;
}

inEachBrowser('example', (browser) => {
  test('a page is answered inside the browser', async () => {
    assert.match(await shown(browser, IN_A_PAGE.code), GREETING);
  });

  test('the handler works as the fetch of all three clients in a page', async () => {
    const texts = JSON.parse(await shown(browser, await forAPage()));
    assert.match(texts[0], GREETING);
    assert.deepEqual(texts, Object.keys(CLIENTS).map(() => texts[0]));
  });
});

test('the table of parameters matches the code', () => {
  const table = readFileSync(join(ROOT, PAGE), 'utf8').split('<!-- the parameters -->')[1].split('\n## ')[0];
  const rows = [...table.matchAll(/^\| `(\w+)` \| (\w*) ?\| (\w*) ?\|/gm)].map(([, name, ...uses]) => [name, ...uses]);
  assert.equal(new Set(rows.map(([name]) => name)).size, rows.length);
  for (const [route, column] of [['chat', 1], ['completion', 2]]) {
    const written = Object.fromEntries(rows.filter((row) => row[column]).map((row) => [row[0], row[column]]));
    const known = Object.fromEntries(Object.entries(PARAMETERS[route]).map(([name, { use }]) => [name, use]));
    assert.deepEqual(written, known, route);
  }
});
