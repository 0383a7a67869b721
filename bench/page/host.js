// The page's side of the benchmark. Each page holds one engine, a class with
//
//     load({ folder, format, threads, context, ours })   resolves when it can read a prompt
//     prefill(prompt)          reads a prompt into an empty cache and finds the next token: { ms }
//     decode(prompt, count)    `count` greedy steps after that prompt: { ms, text } of count + 1 tokens
//     memory()                 bytes of wasm memory, which never shrinks: the peak so far
//     dispose()
//
// `ours` has more load options. A prompt is { text, ids }. `ms` is the time inside the worker around the
// engine's own calls. Engines with their own worker run here, the others in worker.js.

import './memory.js';

const BRINGS_WORKER = { ours: true, wllama: true, transformers: false, candle: false };

/** Forwards calls to a worker that holds the engine. */
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

/**
 * Creates the engine of this page and loads a model. Resolves with the milliseconds from the start (no
 * code, no model) until it is ready.
 */
globalThis.load = async (name, options) => {
  const begin = performance.now();
  engine = BRINGS_WORKER[name] ? new (await import(`./engines/${name}.js`)).default() : inWorker(name);
  await engine.load(options);
  return performance.now() - begin;
};

globalThis.engineCall = (method, ...args) => engine[method](...args);
