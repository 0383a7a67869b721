// What loading needs of where it runs: that it can run the engine at all, the engine's code, and a worker to run it in. Here is what browsers have;
// Node's is node/platform.js, which nothing here leads to.

import { choose, compile, hasSimd, unsupported } from './builds.js';

/** @import { Platform } from './types.d.ts' */

/** A module without anything in it. */
const EMPTY = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);

/** @type {Platform} */
const browser = {
  check() {
    if (typeof WebAssembly !== 'object') throw unsupported('WebAssembly', 'Use a current browser, with WebAssembly switched on.');
    try {
      new WebAssembly.Module(EMPTY);
    } catch (cause) {
      throw unsupported(
        "permission to compile WebAssembly: the page's Content-Security-Policy forbids it",
        "Add 'wasm-unsafe-eval' to its script-src.",
        cause,
      );
    }
    if (!hasSimd()) throw unsupported('128-bit SIMD in WebAssembly', 'Use Chrome or Edge 91, Firefox 89, Safari 16.4 or later.');
    if (typeof Worker !== 'function') throw unsupported('Web Workers', withoutWorkers());
  },

  choose,
  compile,

  // Not by the engine's worker: in Firefox 153 a worker that starts another hangs now and then, and older Safaris have no workers in workers.
  spawnThread() {
    return new Worker(new URL('./thread.js', import.meta.url), { type: 'module', name: 'fireside-thread' });
  },

  spawn() {
    try {
      return new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'fireside' });
    } catch (cause) {
      throw unsupported(
        `permission to start a worker from ${import.meta.url}`,
        "Serve fireside-lm from the page's own origin, and allow worker-src 'self'.",
        cause,
      );
    }
  },
};

/** What to do where there are no workers. */
function withoutWorkers() {
  if (!('ServiceWorkerGlobalScope' in globalThis)) return 'Outside a browser use `fireside-lm/wasm`, which needs none.';
  return /^https?:$/.test(globalThis.location.protocol)
    ? 'A service worker cannot start them: load the model in a page, and reach it from here by `fireside-lm/service-worker`.'
    : "An extension's service worker cannot start them: load the model in an offscreen document (`chrome.offscreen.createDocument`, reason WORKERS) and send it messages.";
}

/** Where models are loaded: in a browser, unless the package's entry for Node, before anything else can happen, says otherwise. @type {Platform} */
export let platform = browser;

/** Of node/index.js alone. @param {Platform} other */
export function runOn(other) {
  platform = other;
}
