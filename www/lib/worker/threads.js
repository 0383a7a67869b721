// The engine's threads: the pool that they join, and how many of them compute. The page starts them (platform.js), each a worker of its own that runs the
// same code over the same memory; one that cannot start is a thread fewer. They end with the engine's worker.

import { instantiate } from './instantiate.js';

/** @import { Choice, Engine, PortLike, RawModel, RawModule } from '../shared/types.d.ts' */

/** How long threads that have said that they are there may take to join. */
const JOIN_MS = 1_000;

/** How long `auto` tries out numbers of threads: what nobody notices, and enough for a small model's code to be compiled well. */
const TRIAL_MS = 60;

/** Fewer threads win unless more are better by this: they leave more of the machine to others. */
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

/** As much as the engine's own thread has. A thread's stack is memory like any other, which costs nothing until it is used. */
const STACK_BYTES = 1 << 20;

/** A further thread, from its own worker: joins the pool in the memory that it is sent, and computes until the engine's worker ends. @param {PortLike} port */
export function join(port) {
  port.onmessage = async ({ data: { build, module, memory } }) => {
    const { wasm } = await instantiate(build, { module, memory, stackBytes: STACK_BYTES });
    port.postMessage(/** @type {any} */ ('here'));
    try {
      wasm.joinPool?.();
    } catch (error) {
      wasm.failPool?.(); // the engine would wait for ever for what this thread had begun
      throw error;
    }
  };
}

/** @param {RawModule} wasm */
const threadsOf = (wasm) => wasm.threads?.() ?? 1;

/**
 * The number of threads, of 1, 2, 4 and so on up to `most`, with which a rehearsal takes least time. Tried from the most to the fewest, since whatever
 * comes first also pays for what is not yet compiled, and round again until the time is up.
 * @param {RawModule} wasm @param {RawModel} model @param {number} most
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
