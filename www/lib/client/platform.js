// What loading needs of where it runs: that it can run the engine at all, the engine's code, and a worker
// to run it in. Here is what browsers have; Node's is node/platform.js, which nothing here leads to.

import { workerScript } from '../assets.js';
import { choose, compile, hasSimd, unsupported } from './builds.js';
import { FiresideError, isHtml, notStarted } from '../shared/errors.js';

/** @import { LoadOptions } from '../shared/types.d.ts' */
/** @import { Platform } from './types.d.ts' */

/** A module without anything in it. */
const EMPTY = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);

/** How long a worker's address may take to say why no worker started from it. */
const DIAGNOSIS_MS = 5_000;

/**
 * The address of a copy of the worker's script: a blob is of the page's own origin, whatever origin the
 * package comes from.
 */
let blob = '';

/**
 * Makes that copy, where it is asked for. An abort ends the wait, and is the load's to tell.
 * @type {NonNullable<Platform['prepare']>}
 */
async function prepare(kind, stallMs, signal) {
  if (kind !== 'blob' || blob) return;
  const late = AbortSignal.timeout(stallMs);
  const text = await fetch(workerScript(), { signal: signal && 'any' in AbortSignal ? AbortSignal.any([late, signal]) : late })
    .then((answer) => (answer.ok && !isHtml(answer) ? answer.text() : undefined))
    .catch(() => undefined);
  if (text !== undefined) blob ||= URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  else if (!signal?.aborted) throw await diagnose(kind);
}

/** @param {LoadOptions['worker']} kind @param {string} name by which the script knows what it is to be */
function spawn(kind, name) {
  const { href } = workerScript();
  try {
    return new Worker(kind === 'blob' ? blob : href, { type: 'module', name });
  } catch (cause) {
    const isElsewhere = kind !== 'blob' && new URL(href).origin !== globalThis.location?.origin;
    const why = isElsewhere ? 'a browser starts no worker from another origin' : "the page's Content-Security-Policy forbids it";
    const remedy = isElsewhere ? "Load with `worker: 'blob'`, or serve fireside-lm from the page's own origin." : allow(kind);
    throw notStarted(href, why, remedy, cause);
  }
}

/** @param {LoadOptions['worker']} kind */
const allow = (kind) => `Add ${kind === 'blob' ? 'blob:' : "'self'"} to its worker-src.`;

/** Asks a worker's address why no worker started from it. @type {Platform['notStarted']} */
async function diagnose(kind, detail) {
  const { href } = workerScript();
  const copy = 'Copy worker.js and pkg/ of fireside-lm/lib beside the packed script; docs/bundlers.md of the package says how for each bundler.';
  const answer = await fetch(href, { signal: AbortSignal.timeout(DIAGNOSIS_MS) }).catch(() => undefined);
  answer?.body?.cancel().catch(() => {});
  if (!answer) {
    const cors = kind === 'blob' ? ', and that its server allows this page by Access-Control-Allow-Origin' : '';
    return new FiresideError('NETWORK', `the engine's worker could not be fetched from ${href}. Check the connection${cors}, and try again.`, { url: href });
  }
  if (!answer.ok) return notStarted(href, `the address answers HTTP ${answer.status}`, copy);
  if (isHtml(answer)) return notStarted(href, 'the address gives an HTML page, not a script', copy);
  const type = answer.headers.get('content-type') ?? 'no Content-Type';
  if (!/(java|ecma)script/.test(type)) return notStarted(href, `the address gives ${type}`, 'Have the server send Content-Type: text/javascript.');
  if (detail) return notStarted(href, detail, `Make sure that it is the worker.js of fireside-lm. ${copy}`);
  if (kind !== 'blob' && globalThis.crossOriginIsolated && !answer.headers.has('cross-origin-embedder-policy')) {
    return notStarted(href, 'the page is cross-origin isolated and the script is not', 'Send Cross-Origin-Embedder-Policy: require-corp with it too.');
  }
  return notStarted(href, "the page's Content-Security-Policy forbids it", allow(kind));
}

/** @type {Platform} */
const browser = {
  check() {
    // What bundlers leave of it in a script that is no module.
    if (!import.meta.url) {
      const lacks = 'the address of its script, by which it finds its worker and its wasm';
      throw new FiresideError('UNSUPPORTED_ENVIRONMENT', `fireside-lm lacks ${lacks}. Have the bundler write ES modules (esbuild: --format=esm), and load them by <script type="module">.`, { lacks });
    }
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

  // Not by the engine's worker: in Firefox 153 a worker that starts another hangs now and then, and older
  // Safaris have no workers in workers.
  spawnThread: (kind) => spawn(kind, 'fireside-thread'),
  spawn: (kind) => spawn(kind, 'fireside'),
  prepare,
  notStarted: diagnose,
};

/** What to do where there are no workers. */
function withoutWorkers() {
  if (!('ServiceWorkerGlobalScope' in globalThis)) return 'Outside a browser use `fireside-lm/wasm`, which needs none.';
  return /^https?:$/.test(globalThis.location.protocol)
    ? 'A service worker cannot start them: load the model in a page, and reach it from here by `fireside-lm/service-worker`.'
    : "An extension's service worker cannot start them: load the model in an offscreen document (`chrome.offscreen.createDocument`, reason WORKERS) and send it messages.";
}

/**
 * Where models are loaded: in a browser, unless the package's entry for Node, before anything else can
 * happen, says otherwise.
 * @type {Platform}
 */
export let platform = browser;

/** Of node/index.js alone. @param {Platform} other */
export function runOn(other) {
  platform = other;
}
