// The worker's part of a build: its glue, the JS that wasm-bindgen makes for it. A page's bundler packs
// none of it.

/** @import { Build } from '../shared/types.d.ts' */
/** @import { EngineModule } from './types.d.ts' */

// Imports are written out, because that is how bundlers find the files. Before the build they are not there.
/** @type {Record<Build, () => Promise<EngineModule>>} */
const GLUE = {
  // @ts-ignore
  simd128: () => import('../pkg/simd128.js'),
  // @ts-ignore
  relaxed: () => import('../pkg/relaxed.js'),
  // @ts-ignore
  'simd128-threads': () => import('../pkg/simd128-threads.js'),
  // @ts-ignore
  'relaxed-threads': () => import('../pkg/relaxed-threads.js'),
};

/**
 * Makes an instance of a build in the calling worker: the engine itself, or a further thread on the
 * engine's memory.
 * @param {Build} build
 * @param {{ module: WebAssembly.Module, memory?: WebAssembly.Memory, stackBytes?: number }} code
 * @returns {Promise<{ wasm: EngineModule, memory: WebAssembly.Memory }>}
 */
export async function instantiate(build, { module, memory, stackBytes }) {
  const wasm = await GLUE[build]();
  const exports = await wasm.default({ module_or_path: module, memory, thread_stack_size: stackBytes });
  return { wasm, memory: memory ?? exports.memory };
}
