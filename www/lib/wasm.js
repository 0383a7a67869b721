// `fireside-lm/wasm`: the engine itself, for Node and for a worker of one's own: it blocks its thread while it computes. This is the build that runs
// everywhere and computes the same everywhere; the others are `fireside-lm/pkg/relaxed.js` and so on.
//
//     import init, { Session } from 'fireside-lm/wasm';
//     await init();                                                        // in Node: initSync({ module: readFileSync('.../simd128_bg.wasm') })
//     const session = Session.fromBytes(config, tokenizer, weights, { tokenizerConfig });

// @ts-ignore -- made by the build; its shape is RawModule
import * as generated from './pkg/simd128.js';

/** @import { RawModule } from './shared/types.d.ts' */

/** @type {RawModule} */
export const wasm = generated;

export default wasm.default;
export const { initSync, buildInfo, readsOlderFiles, Loader, Model, Session, Run } = wasm;
