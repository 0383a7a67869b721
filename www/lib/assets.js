// The addresses of the files that are not modules of the page: the worker's script and the wasm builds.
// Bundlers find and copy a file by its address written out like this. This module stands beside these
// files, so that a page whose files are copied by hand finds them beside its packed script.

/** @import { Build } from './shared/types.d.ts' */

/** The worker's script. The package has it as one file, which imports nothing. */
export const workerScript = () => new URL('./worker.js', import.meta.url);

/** The wasm of each build, as scripts/build.mjs makes it. @type {Record<Build, () => URL>} */
export const wasmFiles = {
  simd128: () => new URL('./pkg/simd128_bg.wasm', import.meta.url),
  relaxed: () => new URL('./pkg/relaxed_bg.wasm', import.meta.url),
  'simd128-threads': () => new URL('./pkg/simd128-threads_bg.wasm', import.meta.url),
  'relaxed-threads': () => new URL('./pkg/relaxed-threads_bg.wasm', import.meta.url),
};
