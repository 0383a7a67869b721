// The builds of the engine, {simd128, relaxed SIMD} x {one thread, threads}, and which of them can run
// here. A visitor fetches one.

import { wasmFiles } from '../assets.js';
import { FiresideError } from '../shared/errors.js';

/** @import { Choice } from '../shared/protocol.d.ts' */
/** @import { Build } from '../shared/types.d.ts' */
/**
 * What a choice depends on besides WebAssembly. `isolated`: memory may be shared between threads.
 * @typedef {{ cores: number, isolated: boolean }} Machine
 */

/** @param {string} base64 */
const code = (base64) => Uint8Array.from(atob(`AGFzbQEAAAAB${base64}`), (char) => char.charCodeAt(0));

/**
 * The smallest modules that are valid only with one feature each: i8x16.popcnt, i8x16.relaxed_swizzle,
 * i32.atomic.load in a shared memory.
 */
const SIMD = code('BQFgAAF7AwIBAAoKAQgAQQD9D/1iCw==');
export const RELAXED = code('BQFgAAF7AwIBAAoPAQ0AQQH9D0EC/Q/9gAIL');
const THREADS = code('BAFgAAADAgEABQQBAwEBCgsBCQBBAP4QAgAaCw==');

/**
 * The most threads that `auto` starts. Decoding is bound by memory bandwidth, which eight threads use up,
 * and prefill gains little by more.
 */
const AUTO_MAX = 8;

/**
 * The size of a shared memory at first: a little more than the linker was told (scripts/build.mjs), since
 * wasm-bindgen adds a page. Units: pages of 64 KiB.
 */
const MEMORY_INITIAL = 40;

/** The largest size: what 32 bits reach, or less where a browser does not reserve so much. */
const MEMORY_MAXIMA = [65_536, 49_152, 32_768, 16_384, 8_192];

/** The visitor's machine. @returns {Machine} */
const visitors = () => ({
  cores: globalThis.navigator?.hardwareConcurrency || 1,
  isolated: Boolean(globalThis.crossOriginIsolated) && typeof SharedArrayBuffer === 'function',
});

/** Whether the browser has the SIMD that every build needs. */
export const hasSimd = () => WebAssembly.validate(SIMD);

/**
 * The fastest build that is allowed, and how many threads to start. `reason`: why it is one thread, where
 * more were possible or asked for.
 * @param {{ threads: 'auto' | number, deterministic: boolean }} wanted
 * @param {Machine} [machine]
 * @returns {Choice}
 */
export function choose({ threads: wanted, deterministic }, { cores, isolated } = visitors()) {
  const kernels = !deterministic && WebAssembly.validate(RELAXED) ? 'relaxed' : 'simd128';
  const auto = wanted === 'auto';
  const threads = auto ? Math.min(cores, AUTO_MAX) : wanted;
  /** @param {Choice['reason']} [reason] @returns {Choice} */
  const alone = (reason) => ({ build: kernels, threads: 1, auto, reason });
  if (threads === 1) return alone(auto ? 'one-core' : undefined);
  if (!WebAssembly.validate(THREADS)) return alone('unsupported');
  if (!isolated) return alone('not-isolated');
  const shared = sharedMemory();
  return shared ? { build: `${kernels}-threads`, threads, auto, ...shared } : alone('no-memory');
}

/** @returns {{ memory: WebAssembly.Memory, memoryBytesMax: number } | undefined} */
function sharedMemory() {
  for (const maximum of MEMORY_MAXIMA) {
    try {
      return { memory: new WebAssembly.Memory({ initial: MEMORY_INITIAL, maximum, shared: true }), memoryBytesMax: maximum * 65_536 };
    } catch {
      // the next smaller one
    }
  }
  return undefined;
}

/** @type {Map<Build, Promise<WebAssembly.Module>>} */
const compiled = new Map();

/**
 * The code of a build. The page compiles it once for all its models, while the worker is starting.
 * @param {Build} build
 * @param {(url: URL, how: { signal: AbortSignal }) => Promise<Response>} [read]
 */
export function compile(build, read = fetch) {
  let module = compiled.get(build);
  if (!module) {
    module = compileFrom(wasmFiles[build](), read);
    module.catch(() => compiled.delete(build));
    compiled.set(build, module);
  }
  return module;
}

/** How long the fetch of the code may take. Streaming compilation does not tell how far it is. */
const CODE_MS = 180_000;

/**
 * @param {URL} url
 * @param {(url: URL, how: { signal: AbortSignal }) => Promise<Response>} read
 * @returns {Promise<WebAssembly.Module>}
 */
async function compileFrom(url, read) {
  const stop = new AbortController();
  const late = setTimeout(() => stop.abort(), CODE_MS);
  try {
    return await compiledFrom(url, await read(url, { signal: stop.signal }));
  } catch (cause) {
    // The fetch failed, or broke off while its answer was compiled.
    if (!(cause instanceof TypeError || cause instanceof DOMException)) throw cause;
    const details = { url: url.href };
    throw new FiresideError('NETWORK', `the engine could not be fetched from ${url}. Check the connection and try again.`, details, { cause });
  } finally {
    clearTimeout(late);
  }
}

/** @param {URL} url @param {Response} response */
async function compiledFrom(url, response) {
  if (!response.ok) {
    const { status } = response;
    throw new FiresideError('NETWORK', `the engine is not at ${url} (HTTP ${status}). Copy the folder pkg/ along with the library.`, {
      url: url.href,
      status,
    });
  }
  // Streaming compilation needs the media type, which some static hosts do not send.
  const streaming = response.headers.get('content-type')?.startsWith('application/wasm');
  const module = streaming ? WebAssembly.compileStreaming(response) : response.arrayBuffer().then((bytes) => WebAssembly.compile(bytes));
  return module.catch((cause) => {
    if (!(cause instanceof WebAssembly.CompileError)) throw cause;
    throw unsupported(`what the engine's code needs (${cause.message})`, 'Use a current browser.', cause);
  });
}

/** @param {string} lacks @param {string} remedy @param {unknown} [cause] */
export function unsupported(lacks, remedy, cause) {
  return new FiresideError('UNSUPPORTED_ENVIRONMENT', `this browser lacks ${lacks}. ${remedy}`, { lacks }, { cause });
}
