// What the bundler tests share: a project with the packed tarball installed, and a browser that reads what
// its page writes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { launch, PATIENCE_MS } from '../browser/harness.js';
import { examples } from '../docs.js';
import { golden } from '../surface/golden.js';

export const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** The page and the program of docs/bundlers.md. */
const [HTML, PROGRAM] = examples('docs/bundlers.md').map(({ code }) => code);
const { greedy } = golden().find(({ model }) => model === 'story').cases[0];

const folder = mkdtempSync(join(tmpdir(), 'fireside-bundlers-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** The tarball of dist/npm, once it is packed. */
let tarball = '';
function pack() {
  const args = ['pack', '--json', '--pack-destination', folder];
  const [{ filename }] = JSON.parse(execFileSync('npm', args, { cwd: join(ROOT, 'dist', 'npm'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }));
  return join(folder, filename);
}

/**
 * An empty project with the tarball and no configuration: the program (default: that of the manual) and the
 * story model. `tools`: packages of ours to install too. `threads`: makes the program ask for two threads,
 * because `auto` uses one on a machine with one core.
 * @param {{ tools?: string[], program?: string, threads?: boolean }} settings
 */
export function project({ tools = [], program = PROGRAM, threads = false } = {}) {
  const root = mkdtempSync(join(folder, 'project-'));
  const write = (/** @type {string} */ path, /** @type {string} */ text) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  write('package.json', '{"name": "project", "private": true, "type": "module"}');
  execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', (tarball ||= pack())], { cwd: root, stdio: 'ignore' });
  for (const tool of tools) symlinkSync(join(ROOT, 'node_modules', tool), join(root, 'node_modules', tool), 'junction');
  write('src/index.js', threads ? program.replace("load('models/story/')", "load('models/story/', { threads: 2 })") : program);
  cpSync(join(ROOT, 'models', 'story'), join(root, 'public', 'models', 'story'), { recursive: true });
  return { root, write };
}

/** The page, with the program in this element. @param {string} script */
export const html = (script) => HTML.replace(/<script.*<\/script>/, script);

/** The story of the golden values. */
export const STORY = greedy.text;

/**
 * A program that writes the error if there is no story.
 * @param {string} [options] of the load, as source text
 */
export const telling = (options = '{}') => `
  import { Session } from 'fireside-lm';
  const story = document.querySelector('#story');
  try {
    const session = await Session.load('models/story/', ${options});
    for await (const { text } of session.generate('Once upon a time', { temperature: 0, maxTokens: 200 })) story.append(text);
    story.dataset.build = session.info().build;
  } catch ({ code, message }) {
    story.append(message);
    story.dataset.build = code;
  }
`;

/**
 * Chromium for the tests of a file. `read(url)` resolves with the build that wrote the golden text. If the
 * page is expected to fail, it resolves with what the page wrote. `elsewhere`: an additional origin that
 * the page may request.
 */
export function chromium() {
  /** @type {import('puppeteer-core').Browser} */
  let browser;
  before(async () => void (browser = await launch('chrome')));
  after(() => browser.close());

  /**
   * @param {string} url
   * @param {{ fails?: boolean, elsewhere?: string }} [expected]
   * @returns {Promise<string>}
   */
  return async function read(url, { fails = false, elsewhere } = {}) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const problems = [];
    page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
    // The story model has no template, but a server is asked for one.
    const isOptional = (/** @type {string} */ url) => url.endsWith('/chat_template.jinja');
    // A request that the page ended itself: the page closed, it aborted, or its worker ended. Chromium also
    // counts a HEAD as aborted when its headers have arrived.
    const isEnded = (/** @type {import('puppeteer-core').HTTPRequest} */ request) => request.failure()?.errorText === 'net::ERR_ABORTED';
    page.on('requestfailed', (request) => isOptional(request.url()) || isEnded(request) || problems.push(`failed: ${request.method()} ${request.url()} ${request.failure()?.errorText}`));
    page.on('response', (response) => response.status() >= 400 && !isOptional(response.url()) && problems.push(`HTTP ${response.status()}: ${response.url()}`));
    page.on('request', (request) => {
      const { protocol, origin } = new URL(request.url());
      if (protocol.startsWith('http') && ![new URL(url).origin, elsewhere].includes(origin)) problems.push(`elsewhere: ${request.url()}`);
    });
    await page.goto(url);
    await page.waitForSelector('#story[data-build]').catch((error) => assert.fail([error.message, ...problems].join('\n')));
    const { text, build } = await page.$eval('#story', (element) => ({ text: element.textContent, build: element.getAttribute('data-build') }));
    await context.close();
    if (fails) return `${build}: ${text}`;
    assert.deepEqual(problems, []);
    assert.equal(text, STORY);
    return build ?? '';
  };
}

/** The build that Chromium gets; it has relaxed SIMD. @param {boolean} threads */
export const expectedBuild = (threads) => (threads ? 'relaxed-threads' : 'relaxed');

/**
 * The text of a file of a project.
 * @param {string} root
 * @param {string} path
 */
export const textOf = (root, path) => readFileSync(join(root, path), 'utf8');
