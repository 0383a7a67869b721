// What loading needs of the browser: that it can run the engine at all, the engine's code, and a worker to run it in.

import { FiresideError } from './errors.js';

/** @import { Platform } from './types.d.ts' */

// (module (func (result v128) i32.const 0 i8x16.splat i8x16.popcnt)): valid only where wasm has 128-bit SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);
const EMPTY = SIMD.subarray(0, 8);

/** @type {Promise<WebAssembly.Module> | undefined} */
let engine;

/** @type {Platform} */
export const browser = {
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
    if (!WebAssembly.validate(SIMD)) {
      throw unsupported('128-bit SIMD in WebAssembly', 'Use Chrome or Edge 91, Firefox 89, Safari 16.4 or later.');
    }
    if (typeof Worker !== 'function') throw unsupported('Web Workers', 'Outside a browser use `fireside-lm/wasm`, which needs none.');
  },

  // Compiled once for all models of a page, and on the page's side, so that it goes on while the worker is still starting.
  compile() {
    engine ??= compileEngine(new URL('./pkg/fireside_bg.wasm', import.meta.url));
    engine.catch(() => (engine = undefined));
    return engine;
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

/** @param {URL} url @returns {Promise<WebAssembly.Module>} */
async function compileEngine(url) {
  const response = await fetch(url).catch((cause) => {
    throw new FiresideError(
      'NETWORK',
      `the engine could not be fetched from ${url}. Check the connection and try again.`,
      { url: url.href },
      { cause },
    );
  });
  if (!response.ok) {
    const { status } = response;
    throw new FiresideError('NETWORK', `the engine is not at ${url} (HTTP ${status}). Copy the folder pkg/ along with the library.`, {
      url: url.href,
      status,
    });
  }
  // Streaming compilation insists on the media type; a static host may not know it.
  const streaming = response.headers.get('content-type')?.startsWith('application/wasm');
  const compiled = streaming ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((bytes) => WebAssembly.compile(bytes));
  return compiled.catch((cause) => {
    throw unsupported(`what the engine's code needs (${cause.message})`, 'Use a current browser.', cause);
  });
}

/** @param {string} lacks @param {string} remedy @param {unknown} [cause] */
function unsupported(lacks, remedy, cause) {
  return new FiresideError('UNSUPPORTED_ENVIRONMENT', `this browser lacks ${lacks}. ${remedy}`, { lacks }, { cause });
}
