// docs/openai.md: its examples, run as somebody runs them who has installed the package, and its table of parameters, which is the code's.

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT } from '../../scripts/tools.mjs';
import { inEachBrowser, serveTests } from '../browser/harness.js';
import { examples } from '../docs.js';
import { PARAMETERS, until } from './door.js';

const PAGE = 'docs/openai.md';
const [SERVE, CLIENT, IN_A_PAGE, HANDLER, FETCH] = examples(PAGE);

/** What is installed: the library where it is in the repository, under the names that the package has. */
const EXPORTS = { '.': './lib/node/index.js', './openai': './lib/doors/openai.js', './service-worker': './lib/doors/service-worker.js' };

let project;
before(() => {
  project = mkdtempSync(join(tmpdir(), 'fireside-openai-'));
  const installed = join(project, 'node_modules', 'fireside-lm');
  mkdirSync(installed, { recursive: true });
  mkdirSync(join(project, 'node_modules', '.bin'));
  writeFileSync(join(installed, 'package.json'), JSON.stringify({ name: 'fireside-lm', version: '0.0.0', type: 'module', exports: EXPORTS }));
  symlinkSync(join(ROOT, 'www', 'lib'), join(installed, 'lib'), 'junction');
  symlinkSync(join(ROOT, 'node_modules', 'openai'), join(project, 'node_modules', 'openai'), 'junction');
  symlinkSync(join(ROOT, 'models'), join(project, 'models'), 'junction');
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  // Which npx finds on PATH as well as in the project.
  writeFileSync(join(project, 'node_modules', '.bin', 'fireside'), `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, 'www', 'lib', 'node', 'cli.js')}" "$@"\n`, { mode: 0o755 });
});
after(() => rmSync(project, { recursive: true }));

/** What an example prints. */
async function printed({ code }, name) {
  writeFileSync(join(project, name), code);
  return (await promisify(execFile)(process.execPath, [name], { cwd: project, encoding: 'utf8' })).stdout;
}

test('the server is started as it says, and the official client holds the conversation', async () => {
  const env = { ...process.env, PATH: [join(project, 'node_modules', '.bin'), process.env.PATH].join(delimiter) };
  // A group of its own, since npx starts the program by a shell.
  const child = spawn('sh', ['-c', SERVE.code], { cwd: project, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const ended = new Promise((resolve) => child.on('close', resolve));
  try {
    await Promise.race([until(() => /^http:\/\/127\.0\.0\.1:8377\/v1 /m.test(output)), ended.then(() => assert.fail(output))]);
    assert.match(output, /^chat: bf16, \d+ threads?, 1024 tokens of context$/m);
    assert.equal(await printed(CLIENT, 'client.js'), 'Your name is Ada.');
  } finally {
    process.kill(-child.pid, 'SIGTERM');
    await ended;
  }
});

test('the handler answers without a server', async () => {
  assert.equal(await printed(HANDLER, 'handler.js'), "[ 'story' ]\n");
});

test('the handler is the fetch of the official client', async () => {
  assert.match(await printed(FETCH, 'fetch.js'), /^(Hello|Hi)/);
});

inEachBrowser('example', (browser) => {
  test('a page is answered inside the browser', async () => {
    const map = { imports: { 'fireside-lm': '/lib/index.js', 'fireside-lm/service-worker': '/lib/doors/service-worker.js' } };
    const files = {
      '/example.html': ['text/html', `<!doctype html><link rel="icon" href="data:," /><script type="importmap">${JSON.stringify(map)}</script><script type="module" src="/example.js"></script>`],
      '/example.js': ['text/javascript', IN_A_PAGE.code],
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
      assert.match(await page.evaluate(() => document.body.textContent), /^(Hello|Hi)/);
      assert(!server.requests.some((path) => path.startsWith('/v1/')), 'nothing left the browser');
      await close();
    } finally {
      await server.close();
    }
  });
});

test('the table of parameters is that of the code', () => {
  const table = readFileSync(join(ROOT, PAGE), 'utf8').split('<!-- the parameters -->')[1].split('\n## ')[0];
  const rows = [...table.matchAll(/^\| `(\w+)` \| (\w*) ?\| (\w*) ?\|/gm)].map(([, name, ...uses]) => [name, ...uses]);
  assert.equal(new Set(rows.map(([name]) => name)).size, rows.length);
  for (const [route, column] of [['chat', 1], ['completion', 2]]) {
    const written = Object.fromEntries(rows.filter((row) => row[column]).map((row) => [row[0], row[column]]));
    const known = Object.fromEntries(Object.entries(PARAMETERS[route]).map(([name, { use }]) => [name, use]));
    assert.deepEqual(written, known, route);
  }
});
