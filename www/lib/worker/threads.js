// The engine's threads: the pool that they join, and how many of them compute. The page starts a
// worker for each (client/platform.js), which runs the same code over the same memory. If one cannot start,
// there is one thread fewer. They end with the engine's worker.

import { instantiate } from './instantiate.js';

/** @import { Model } from '../shared/engine.d.ts' */
/** @import { Choice, ThreadPort } from '../shared/protocol.d.ts' */
/** @import { Engine, EngineModule } from './types.d.ts' */

/** How long threads that have started may take to join the pool. */
const JOIN_MS = 1_000;

/**
 * How long `auto` tries out numbers of threads. Nobody notices it, and it is enough for the code to be
 * compiled well.
 */
const TRIAL_MS = 60;

/** Fewer threads win unless more are faster by this factor: they leave more of the machine to others. */
const WORTH = 0.97;

/**
 * The engine of a choice, in the calling worker.
 * @param {Choice & { module: WebAssembly.Module }} choice
 * @returns {Promise<Engine>}
 */
export async function start({ build, module, memory, threads, auto }) {
  const { wasm, memory: own } = await instantiate(build, { module, memory });
  if (!memory) return { wasm, memory: own, settle: async () => ({ threads: 1 }) };
  wasm.startPool?.(threads);
  return {
    wasm,
    memory,
    async settle(model, started) {
      // A thread says that it is there just before it joins.
      const late = performance.now() + JOIN_MS;
      while (threadsOf(wasm) < started && performance.now() < late) await new Promise((resolve) => setTimeout(resolve, 1));
      const there = threadsOf(wasm);
      const best = auto ? fastest(wasm, model, there) : there;
      wasm.limitThreads?.(best);
      return { threads: best, reason: best > 1 ? undefined : there > 1 ? 'not-faster' : 'not-started' };
    },
  };
}

/** As much as the engine's own thread has. Memory costs nothing until it is used. */
const STACK_BYTES = 1 << 20;

/**
 * A further thread, in its own worker: joins the pool in the memory that it is sent, and computes until the
 * engine ends.
 * @param {ThreadPort} port
 */
export function join(port) {
  port.onmessage = async ({ data: { build, module, memory } }) => {
    const { wasm } = await instantiate(build, { module, memory, stackBytes: STACK_BYTES });
    port.postMessage('here');
    try {
      wasm.joinPool?.();
    } catch (error) {
      wasm.failPool?.(); // else the engine would wait for ever for the work of this thread
      throw error;
    }
  };
}

/** @param {EngineModule} wasm */
const threadsOf = (wasm) => wasm.threads?.() ?? 1;

/**
 * The number of threads, of 1, 2, 4 and so on up to `most`, with which a rehearsal takes least time. They
 * are tried from the most to the fewest, since the first also pays for code that is not yet compiled, and
 * again until the time is up.
 * @param {EngineModule} wasm
 * @param {Model} model
 * @param {number} most
 */
export function fastest(wasm, model, most) {
  const trial = most > 1 && wasm.Rehearsal && new wasm.Rehearsal(model);
  if (!trial) return most;
  const numbers = [most];
  for (let number = 2 ** Math.floor(Math.log2(most - 1)); number >= 1; number /= 2) numbers.push(number);
  const times = new Map(numbers.map((number) => [number, Infinity]));
  const end = performance.now() + TRIAL_MS;
  trial.step();
  do {
    for (const number of numbers) {
      wasm.limitThreads?.(number);
      const begin = performance.now();
      let [steps, ms] = [0, 0];
      // Together long enough for a clock that browsers make coarse.
      for (; ms < 1; ms = performance.now() - begin) {
        trial.step();
        steps++;
      }
      times.set(number, Math.min(times.get(number) ?? Infinity, ms / steps));
    }
  } while (performance.now() < end);
  trial.free();
  const least = Math.min(...times.values());
  return numbers.findLast((number) => (times.get(number) ?? Infinity) * WORTH <= least) ?? 1;
}
