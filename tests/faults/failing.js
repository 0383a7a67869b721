// The library's worker with the real engine, which fails on request by the beginning of the prompt. `trap:`
// ends as a wasm trap, `full:` does so with all memory used, and `slow:` makes each prefill step take 50 ms
// more and report itself.

import { serve } from '/lib/worker/engine.js';
import { start } from '/lib/worker/threads.js';

/** A module whose start function is the instruction `unreachable`. */
const TRAP = new WebAssembly.Module(
  Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 8, 1, 0, 10, 5, 1, 3, 0, 0, 11),
);

const steps = new BroadcastChannel('prefill');

const FAILURES = {
  trap: () => new WebAssembly.Instance(TRAP),
  full({ memory }) {
    for (let pages = 1 << 15; pages >= 1; ) {
      try {
        memory.grow(pages);
      } catch {
        pages >>= 1;
      }
    }
    new WebAssembly.Instance(TRAP);
  },
  slow(_engine, prefillWork) {
    if (!prefillWork) return;
    const end = performance.now() + 50;
    while (performance.now() < end);
    steps.postMessage(prefillWork);
  },
};

serve(self, async (choice) => {
  const engine = await start(choice);
  const { Session, Model } = engine.wasm;
  const { generate } = Session.prototype;
  const { step } = Model.prototype;
  let failure;
  Session.prototype.generate = function (prompt, options) {
    failure = FAILURES[prompt.split(':')[0]];
    return generate.call(this, prompt, options);
  };
  Model.prototype.step = function (...args) {
    const result = step.apply(this, args);
    failure?.(engine, result);
    return result;
  };
  return engine;
});
