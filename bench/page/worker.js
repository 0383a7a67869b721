// Holds one engine that has no worker.

import './memory.js';

let engine;

onmessage = async ({ data: { name, method, args } }) => {
  try {
    engine ??= new (await import(`./engines/${name}.js`)).default();
    postMessage({ result: await engine[method](...args) });
  } catch (error) {
    postMessage({ error: String(error?.stack ?? error) });
  }
};
