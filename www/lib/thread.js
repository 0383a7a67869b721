// A further thread of the engine: joins the pool in the memory it is given, and computes until the engine's worker ends.

import { instantiate } from './builds.js';

/** As much as the engine's own thread has. A thread's stack is memory like any other, which costs nothing until it is used. */
const STACK_BYTES = 1 << 20;

self.onmessage = async ({ data: { build, module, memory } }) => {
  const { wasm } = await instantiate(build, { module, memory, stackBytes: STACK_BYTES });
  self.postMessage('here');
  try {
    wasm.joinPool?.();
  } catch (error) {
    wasm.failPool?.(); // the engine would wait for ever for what this thread had begun
    throw error;
  }
};
