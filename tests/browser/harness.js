// What the browser tests share: the two browsers, the servers, and a page that records everything that
// should not happen.

import assert from 'node:assert/strict';
import { dirname, join } from 'node:path';
import { after, before, describe } from 'node:test';
import puppeteer from 'puppeteer-core';
import { MOUNTS, serve } from '../../scripts/serve.mjs';
import { findBrowsers } from '../../scripts/setup.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { SHARED } from '../surface/golden.js';

/** In English and without transitions, during which colours are between those of the design. */
const LAUNCH = {
  chrome: {
    // Chromium's sandbox refuses to run as root, as in most CI containers.
    args: ['--lang=en-US', '--force-prefers-reduced-motion', ...(process.getuid?.() === 0 ? ['--no-sandbox', '--disable-dev-shm-usage'] : [])],
  },
  firefox: { extraPrefsFirefox: { 'intl.accept_languages': 'en-US', 'ui.prefersReducedMotion': 1 } },
};

/** Chrome logs every missing file, including the optional ones of a model. */
const OPTIONAL = /404 .*\/(chat_template\.jinja|generation_config\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|model\.safetensors(\.index\.json)?)$/;

/**
 * Firefox 140 reports this when a frame or a worker ends while it still works. It is no exception of ours: all
 * of ours are errors with a message.
 */
const ENDED = /^exception: uncaught exception: undefined$/;

/**
 * How long a test waits for a page. Only a failed test waits this long: the machine's two cores may be
 * building something else.
 */
export const PATIENCE_MS = 180_000;

export { golden } from '../surface/golden.js';

/**
 * The page's server, which also serves the fixtures and this folder.
 * @param {{ mounts?: object, isolation?: boolean, first?: (request: any, response: any) => boolean }}
 *   [settings] `mounts`: additional ones; `first`: as for `serve`
 */
export function serveTests({ mounts: more = {}, isolation = true, first } = {}) {
  const mounts = {
    ...more,
    '/fixtures/': join(ROOT, 'tests', 'fixtures'),
    '/shared/': SHARED,
    '/tests/': import.meta.dirname ?? dirname(new URL(import.meta.url).pathname),
    ...MOUNTS,
  };
  return serve({ mounts, isolation, first });
}

/** Serves dist/site in a sub-folder of a host that sends no special headers. */
export function serveSite(folder = join(ROOT, 'dist', 'site')) {
  return serve({ mounts: { '/some/where/': folder }, isolation: false });
}

/**
 * Starts a browser with a new profile.
 * @param {'chrome' | 'firefox'} name
 * @param {{ prefs?: object, [setting: string]: unknown }} [settings] `prefs`: additional ones for Firefox;
 *   others: puppeteer's
 */
export function launch(name, { prefs = {}, ...more } = {}) {
  const executablePath = findBrowsers()[name];
  assert(executablePath, `${name} is not installed`);
  const { extraPrefsFirefox, ...settings } = LAUNCH[name];
  return puppeteer.launch({ browser: name, executablePath, headless: true, protocolTimeout: PATIENCE_MS, ...settings, extraPrefsFirefox: { ...extraPrefsFirefox, ...prefs }, ...more });
}

/**
 * Defines the same tests for each browser. `define` gets an object whose `open` opens a page in a separate
 * profile; `settings` are for `launch`.
 */
export function inEachBrowser(title, define, settings = {}) {
  for (const name of /** @type {const} */ (['chrome', 'firefox'])) {
    describe(`${title}, ${name}`, () => {
      const context = { name, browser: undefined, open: (url, options) => open(context.browser, url, options) };
      before(async () => {
        context.browser = await launch(name, settings);
      });
      after(() => context.browser?.close());
      define(context);
    });
  }
}

/**
 * Opens a page that records console errors, exceptions, violations of the Content-Security-Policy and
 * requests to other hosts. `setup` runs in it before its own code.
 */
async function open(browser, url, { expected = /^$/, setup = () => {} } = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`console: ${message.text()} ${message.location()?.url ?? ''}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  page.on('request', (request) => {
    const address = new URL(request.url());
    if (/^https?:$/.test(address.protocol) && address.origin !== new URL(url).origin) problems.push(`request: ${address}`);
  });
  await page.evaluateOnNewDocument(() => {
    window.violations = [];
    addEventListener('securitypolicyviolation', (event) => window.violations.push(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.evaluateOnNewDocument(setup);
  await page.goto(url, { waitUntil: 'load' });
  return {
    page,
    /**
     * Waits until `condition`, run in the page, is true. Polls from here, because puppeteer's own waiting
     * needs eval in the page.
     */
    async until(condition, ...args) {
      const end = Date.now() + PATIENCE_MS;
      // A page cannot respond while it reloads.
      while (!(await page.evaluate(condition, ...args).catch(() => false))) {
        if (Date.now() > end) {
          const text = await page.evaluate(() => document.body.innerText);
          assert.fail(`waited in vain for ${condition} with ${JSON.stringify(args)}; the page shows: ${text}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    /** Closes the page. Errors: if something unexpected was recorded. `expected` matches the exceptions. */
    async close() {
      problems.push(...(await page.evaluate(() => window.violations)));
      await context.close();
      assert.deepEqual(problems.filter((problem) => !expected.test(problem) && !OPTIONAL.test(problem) && !ENDED.test(problem)), []);
    },
  };
}
