// The page's side of the bench: one engine lives in one page. An engine is a class with
//
//     load({ folder, format, threads, context, ours })  resolves when a first prompt could be read; `ours`: further options of Session.load
//     prefill(prompt)          reads a prompt from an empty cache and finds its next token: { ms }
//     decode(prompt, count)    after that prompt, `count` further forward passes of one token each, greedily: { ms, text }, the text of count + 1 tokens
//     memory()                 bytes of wasm memory, which never shrink: the peak so far
//     dispose()
//
// where a prompt is { text, ids }, and `ms` is the time inside the worker around the engine's own calls. Engines that bring their own worker run here,
// the others in worker.js.

import './memory.js';

const BRINGS_WORKER = { ours: true, wllama: true, transformers: false, candle: false };

/** Answers calls by a worker that holds the engine. */
function inWorker(name) {
  const worker = new Worker(new URL('worker.js', import.meta.url), { type: 'module' });
  let pending;
  worker.onmessage = ({ data: { result, error } }) => (error === undefined ? pending.resolve(result) : pending.reject(new Error(error)));
  worker.onerror = (event) => pending?.reject(new Error(`the worker failed: ${event.message}`));
  const call = (method, ...args) => new Promise((resolve, reject) => {
    pending = { resolve, reject };
    worker.postMessage({ name, method, args });
  });
  const methods = ['load', 'prefill', 'decode', 'memory'].map((method) => [method, (...args) => call(method, ...args)]);
  return { ...Object.fromEntries(methods), dispose: () => worker.terminate() };
}

let engine;

/** Makes the engine of this page and loads a model. Resolves with the milliseconds from nothing (no code, no model) to being ready. */
globalThis.load = async (name, options) => {
  const begin = performance.now();
  engine = BRINGS_WORKER[name] ? new (await import(`./engines/${name}.js`)).default() : inWorker(name);
  await engine.load(options);
  return performance.now() - begin;
};

globalThis.engineCall = (method, ...args) => engine[method](...args);
