// The engine's threads: nested workers that run the same code over the same memory. They start while the model loads; one that cannot start
// (blocked by a policy, not found, no nested workers in this browser) is a thread fewer. They end with the engine's worker.

import { instantiate } from './builds.js';

/** @import { Choice, RawModel, RawModule } from './types.d.ts' */

/** How long a model that is loaded waits for threads that have neither started nor failed. */
const START_MS = 5_000;

/** How long `auto` tries out numbers of threads: what nobody notices, and enough for a small model's code to be compiled well. */
const TRIAL_MS = 60;

/** Fewer threads win unless more are better by this: they leave more of the machine to others. */
const WORTH = 0.97;

/**
 * The engine of a choice, its threads on their way, in the calling worker.
 * @param {Choice & { module: WebAssembly.Module }} choice
 */
export async function start({ build, module, memory, threads, auto }) {
  const wasm = await instantiate(build, { module, memory });
  if (!memory) return { wasm, settle: async () => ({ threads: 1 }) };
  wasm.startPool?.(threads);
  const coming = Array.from({ length: threads - 1 }, () => startThread({ build, module, memory }));
  return {
    wasm,
    /** How many threads this model is computed with, once that is known. @param {RawModel} model @returns {Promise<{ threads: number, reason?: Choice['reason'] }>} */
    async settle(model) {
      const late = performance.now() + START_MS;
      await Promise.race([Promise.all(coming), new Promise((resolve) => setTimeout(resolve, START_MS))]);
      const count = 1 + (await Promise.all(coming.map((thread) => Promise.race([thread, false])))).filter(Boolean).length;
      // A thread says that it is there just before it joins.
      while (threadsOf(wasm) < count && performance.now() < late) await new Promise((resolve) => setTimeout(resolve, 1));
      const there = threadsOf(wasm);
      const best = auto ? fastest(wasm, model, there) : there;
      wasm.limitThreads?.(best);
      return { threads: best, reason: best > 1 ? undefined : there > 1 ? 'not-faster' : 'not-started' };
    },
  };
}

/** @param {RawModule} wasm */
const threadsOf = (wasm) => wasm.threads?.() ?? 1;

/** Starts a thread. Resolves with whether it is there; never rejects. @param {object} code @returns {Promise<boolean>} */
function startThread(code) {
  return new Promise((resolve) => {
    try {
      const worker = new Worker(new URL('./thread.js', import.meta.url), { type: 'module', name: 'fireside-thread' });
      worker.onmessage = () => resolve(true);
      worker.onerror = (event) => {
        event.preventDefault();
        resolve(false);
      };
      worker.postMessage(code);
    } catch {
      resolve(false);
    }
  });
}

/**
 * The number of threads, of 1, 2, 4 and so on up to `most`, with which a token takes least time. Tried from the most to the fewest, since whatever
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
