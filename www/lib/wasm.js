// `fireside-lm/wasm`: the engine itself, for Node and for a worker of your own. It blocks its thread while
// it computes. This is the build that runs everywhere and computes the same everywhere. The others are
// `fireside-lm/pkg/relaxed.js` and so on.
//
//     import init, { Session } from 'fireside-lm/wasm';
//     await init();                    // in Node: initSync({ module: readFileSync('.../simd128_bg.wasm') })
//     const session = Session.fromBytes(config, tokenizer, weights, { tokenizerConfig });

// @ts-ignore -- the build makes it; its types are shared/engine.d.ts
export { buildInfo, default, initSync, Loader, Model, readsOlderFiles, Run, Session } from './pkg/simd128.js';

// @ts-ignore
export * as wasm from './pkg/simd128.js';
