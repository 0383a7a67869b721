// `fireside-lm/wasm`: the engine itself, for Node and for a worker of one's own: it blocks its thread while it computes.
//
//     import init, { Session } from 'fireside-lm/wasm';
//     await init();                                                        // in Node: initSync({ module: readFileSync('.../fireside_bg.wasm') })
//     const session = Session.fromBytes(config, tokenizer, weights, { tokenizerConfig });

// @ts-ignore -- made by the build; its shape is RawModule
import * as generated from './pkg/fireside.js';

/** @import { RawModule } from './types.d.ts' */

/** @type {RawModule} */
export const wasm = generated;

export default wasm.default;
export const { initSync, buildInfo, Loader, Model, Session, Run } = wasm;
