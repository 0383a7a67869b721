// The package from another origin, as from a CDN, and its worker if the page's policy or server forbids it,
// with two servers on two ports.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { serve } from '../../scripts/serve.mjs';
import { chromium, expectedBuild, html, project, telling } from './harness.js';

const read = chromium();

/**
 * Opens a page that imports the package from another origin, and returns what it writes. `csp`: the page's
 * policy, in which CDN stands for that origin; `cors`: whether that origin allows others to read.
 * @param {{ options?: string, csp?: string, cors?: boolean, isolation?: boolean, fails?: boolean }}
 *   settings
 */
async function across({ options, csp, cors = true, isolation = false, fails = false }) {
  const { root, write } = project({ program: telling(options) });
  const cdn = await serve({
    mounts: { '/npm/': join(root, 'node_modules') },
    isolation: false,
    first(_request, response) {
      if (cors) response.setHeader('Access-Control-Allow-Origin', '*');
      return false;
    },
  });
  const { origin } = new URL(cdn.url);
  write('index.html', html(`<script type="importmap">{ "imports": { "fireside-lm": "${origin}/npm/fireside-lm/lib/index.js" } }</script><script type="module" src="./src/index.js"></script>`));
  const page = await serve({
    mounts: { '/models/': join(root, 'public', 'models'), '/': root },
    isolation,
    first(_request, response) {
      if (csp) response.setHeader('Content-Security-Policy', csp.replaceAll('CDN', origin));
      return false;
    },
  });
  const told = await read(page.url, { fails, elsewhere: origin }).finally(() => Promise.all([cdn.close(), page.close()]));
  return told.replaceAll(origin, 'CDN');
}

for (const threads of [1, 2]) {
  test(`the package from another origin works with a blob worker, with ${threads} of its threads`, async () => {
    const told = await across({ options: `{ worker: 'blob', threads: ${threads} }`, isolation: threads > 1 });
    assert.equal(told, expectedBuild(threads > 1));
  });
}

/** The strictest policy that allows it; `unsafe-inline` is for the import map of this page. */
const POLICY = "default-src 'none'; script-src 'self' CDN 'unsafe-inline' 'wasm-unsafe-eval'; connect-src 'self' CDN; img-src data:; worker-src";

test('the policy in the docs is sufficient', async () => {
  assert.equal(await across({ options: "{ worker: 'blob' }", csp: `${POLICY} blob:` }), expectedBuild(false));
});

test('without worker-src blob: the error names it', async () => {
  const told = await across({ options: "{ worker: 'blob' }", csp: `${POLICY} 'self'`, fails: true });
  assert.match(told, /^UNSUPPORTED_ENVIRONMENT: the engine's worker could not be started from CDN\/npm\/fireside-lm\/lib\/worker\.js: the page's Content-Security-Policy forbids it\. Add blob: to its worker-src\.$/);
});

test('without worker: \'blob\' a worker of another origin fails with an error that names the option', async () => {
  const told = await across({ fails: true });
  assert.match(told, /^UNSUPPORTED_ENVIRONMENT: .*CDN\/npm\/fireside-lm\/lib\/worker\.js: a browser starts no worker from another origin\. Load with `worker: 'blob'`/);
});

/**
 * A page whose server responds to the request for the worker.
 * @param {(response: import('node:http').ServerResponse) => boolean | void} answer
 * @param {{ csp?: string, isolation?: boolean }} [settings]
 */
async function answering(answer, { csp, isolation = false } = {}) {
  const { root, write } = project({ program: telling() });
  write('index.html', html('<script type="module" src="./bundle.js"></script>'));
  const { build } = await import('esbuild');
  await build({ entryPoints: [join(root, 'src', 'index.js')], bundle: true, format: 'esm', outfile: join(root, 'bundle.js'), logLevel: 'error' });
  const { url, close } = await serve({
    mounts: { '/models/': join(root, 'public', 'models'), '/': root },
    isolation,
    first(request, response) {
      if (csp) response.setHeader('Content-Security-Policy', csp);
      return request.url === '/worker.js' && answer(response) === true;
    },
  });
  return (await read(url, { fails: true }).finally(close)).replaceAll(url, '/');
}

/**
 * @param {string} type
 * @param {string} text
 * @returns {(response: import('node:http').ServerResponse) => boolean}
 */
const giving = (type, text) => (response) => (response.writeHead(200, { 'Content-Type': type }).end(text), true);

test('the errors distinguish an HTML page in place of the worker, a wrong type, another script and a policy', async () => {
  const begin = /^UNSUPPORTED_ENVIRONMENT: the engine's worker could not be started from \/worker\.js: /;
  for (const [told, why] of /** @type {[string, RegExp][]} */ ([
    [await answering(giving('text/html', '<!doctype html>')), /gives an HTML page, not a script\. Copy worker\.js/],
    [await answering(giving('text/plain', 'postMessage(1)')), /gives text\/plain\. Have the server send Content-Type: text\/javascript\.$/],
    [await answering(giving('text/javascript', 'throw new Error("other")')), /other\. Make sure that it is the worker\.js of fireside-lm/],
    [await answering(giving('text/javascript', ''), { csp: "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'none'; img-src data:" }), /Content-Security-Policy forbids it\. Add 'self' to its worker-src\.$/],
    [await answering(giving('text/javascript', ''), { isolation: true }), /is cross-origin isolated and the script is not\. Send Cross-Origin-Embedder-Policy/],
  ])) {
    assert.match(told, begin);
    assert.match(told, why);
  }
});
