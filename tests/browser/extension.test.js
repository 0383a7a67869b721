// Pages of a real extension load the model in their package, and its service worker says what to do
// instead.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { golden, launch, PATIENCE_MS } from './harness.js';

const HERE = join(ROOT, 'tests', 'browser', 'extension');
const [turn] = golden().find(({ model }) => model === 'chat').chats.find(({ turns }) => turns[0].user === 'Hello!')?.turns ?? [];
const TEXT = turn?.text ?? 'Hello! How are you today?';

const folders = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** Builds the extension, with the library and the model in it. */
function build() {
  const folder = mkdtempSync(join(tmpdir(), 'fireside-extension-'));
  folders.push(folder);
  cpSync(HERE, folder, { recursive: true });
  cpSync(join(ROOT, 'www', 'lib'), join(folder, 'lib'), { recursive: true });
  cpSync(join(ROOT, 'models', 'chat'), join(folder, 'models', 'chat'), { recursive: true });
  return folder;
}

/** Waits until a page or a service worker of the extension has loaded the library. @param {any} context */
async function ready(context) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await context.evaluate(() => Boolean(globalThis.ask)).catch(() => false))) {
    assert(Date.now() < end, 'the library has not been loaded');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** @param {any} page of the extension */
async function assertLoads(page) {
  await ready(page);
  for (const way of ['folder', 'getURL', 'responses', 'urls']) {
    assert.deepEqual(await page.evaluate((way) => globalThis.ask(way), way), { text: TEXT, cacheReason: 'local' }, way);
  }
}

let browser;
let id;
before(async () => {
  browser = await launch('chrome', { enableExtensions: true, pipe: true });
  id = await browser.installExtension(build());
});
after(() => browser?.close());

// Runs first, because an idle service worker is ended after 30 s.
test('the service worker\'s error names the offscreen document, and that works', async () => {
  const target = await browser.waitForTarget((target) => target.type() === 'service_worker' && target.url().includes(id));
  const worker = await target.worker();
  await ready(worker);
  const refused = await worker.evaluate(() => globalThis.load());
  assert.equal(refused.code, 'UNSUPPORTED_ENVIRONMENT');
  assert.match(refused.message, /chrome\.offscreen\.createDocument/);
  assert.deepEqual(await worker.evaluate(() => globalThis.ask('folder')), { text: TEXT, cacheReason: 'local' });
});

test('a page loads by folder, by getURL, by Responses and by URLs, and stores no second copy', async () => {
  const page = await browser.newPage();
  await page.goto(`chrome-extension://${id}/popup.html`);
  await assertLoads(page);
  await page.close();
});

// WebDriver opens no moz-extension: page. So the extension's background page loads the model and sends the
// result.
test('a page of a Firefox extension loads the model too', { timeout: PATIENCE_MS }, async () => {
  const folder = build();
  let told = (_text) => {};
  const answer = new Promise((resolve) => (told = resolve));
  const server = createServer(async (request, response) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    let text = '';
    for await (const part of request) text += part;
    response.end();
    if (request.method === 'POST') told(text);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const manifest = {
    manifest_version: 2,
    name: 'fireside',
    version: '1.0',
    background: { page: 'background.html' },
    content_security_policy: "script-src 'self' 'wasm-unsafe-eval'; object-src 'self'",
    browser_specific_settings: { gecko: { id: 'fireside@example.org' } },
  };
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest));
  writeFileSync(join(folder, 'background.html'), '<!doctype html><script type="module" src="report.js"></script>');
  const report = `
    import './popup.js';
    const ends = { scheme: location.protocol };
    for (const way of ['folder', 'getURL', 'responses', 'urls']) ends[way] = await ask(way);
    await fetch('http://127.0.0.1:${/** @type {any} */ (server.address()).port}/', { method: 'POST', body: JSON.stringify(ends) });`;
  writeFileSync(join(folder, 'report.js'), report);
  const firefox = await launch('firefox');
  try {
    await firefox.installExtension(folder);
    const right = { text: TEXT, cacheReason: 'local' };
    assert.deepEqual(JSON.parse(await answer), { scheme: 'moz-extension:', folder: right, getURL: right, responses: right, urls: right });
  } finally {
    await firefox.close();
    server.close();
  }
});
