// Measures the limits of the machine in this browser with a number of threads: bytes per second read from
// memory, and multiply-adds per second.

/**
 * Runs one worker for each thread, all measuring at the same time. Resolves with rates in 1/s, summed over
 * the threads.
 */
globalThis.limits = async (threads) => {
  const wasm = await (await fetch('/bench-cache/limits.wasm')).arrayBuffer();
  const workers = Array.from({ length: threads }, () => new Worker(new URL('limits-worker.js', import.meta.url), { type: 'module' }));
  const ask = (message) => Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data: { result, error } }) => (error === undefined ? resolve(result) : reject(new Error(error)));
    worker.onerror = (event) => reject(new Error(event.message));
    worker.postMessage(message);
  })));
  await ask({ wasm });
  const rates = {};
  for (const what of ['readBytes', 'multiplyAdd', 'relaxedFma']) {
    rates[what] = (await ask({ what })).reduce((sum, rate) => sum + rate, 0);
  }
  for (const worker of workers) worker.terminate();
  return rates;
};
