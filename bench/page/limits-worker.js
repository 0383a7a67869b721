// One thread of limits.js.

const READ_BYTES = 256 << 20; // far beyond any cache
const SPAN_MS = 250;
const ROUNDS = 100_000;

let exports;

const MEASURES = {
  readBytes: () => (exports.read(READ_BYTES), READ_BYTES),
  multiplyAdd: () => (exports.multiply_add(ROUNDS), ROUNDS * exports.FLOPS.value),
  relaxedFma: () => (exports.relaxed_fma(ROUNDS), ROUNDS * exports.FLOPS.value),
};

async function start(wasm) {
  exports = (await WebAssembly.instantiate(wasm)).instance.exports;
  new Uint8Array(exports.memory.buffer).fill(1); // pages that were never written share one page of zeros
  for (const measure of Object.values(MEASURES)) for (let i = 0; i < 3; i++) measure();
}

function rate(measure) {
  const begin = performance.now();
  let done = 0;
  let ms;
  do {
    done += measure();
    ms = performance.now() - begin;
  } while (ms < SPAN_MS);
  return (done / ms) * 1000;
}

onmessage = async ({ data: { wasm, what } }) => {
  try {
    postMessage({ result: wasm ? await start(wasm) : rate(MEASURES[what]) });
  } catch (error) {
    postMessage({ error: String(error) });
  }
};
