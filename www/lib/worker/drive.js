// The worker's driver of runs. The engine computes all runs of a model together, in slices of time. After
// each slice the driver posts one piece per completion and lets messages in, such as aborts.
//
//     until all runs have ended:
//         for 16 ms: poll each run; let the engine compute a step for all of them
//         post the new pieces; handle messages; end aborted runs; pause runs whose pieces are not wanted yet

import { isFireside } from '../shared/errors.js';

/** @import { Model, Run, RunStep } from '../shared/engine.d.ts' */
/** @import { RunEnd, RunPiece } from '../shared/protocol.d.ts' */
/** @import { Piece, TokenLogprob } from '../shared/types.d.ts' */

/** @typedef {Extract<RunStep, { kind: 'token' }>} Token */
/** The result of a run; undefined if it was aborted. @typedef {Omit<RunEnd, 'stats'> | undefined} End */
/**
 * The callbacks of a run. `post` takes each piece. `aborted` is called between two slices. `wanted` gets the
 * number of posted pieces and returns what to wait for before the run continues.
 * @typedef {object} Way
 * @property {(piece: RunPiece) => void} post
 * @property {() => boolean} aborted
 * @property {(given: number) => Promise<void> | undefined} [wanted]
 */

/** One frame of a 60 Hz screen: text is not visible sooner, and an abort takes effect within it. */
const SLICE_MS = 16;

/** A slice ends when the unsent pieces of a run hold this many tokens and log-probabilities. */
const PIECE_MAX = 512;

/** How long a step of prefill should take, since an abort waits for it. */
const PREFILL_MS = 50;
/** The first and the largest work of a prefill step. Units: tokens times layers. */
const [PREFILL_FIRST, PREFILL_MAX] = [256, 2 ** 30];

/** How much of a prompt a step computes. It adapts to the time that steps took. */
export class Pace {
  work = PREFILL_FIRST;

  /**
   * Chooses the work that would have taken `PREFILL_MS`, but at most halves or doubles it.
   * @param {number} work of a step
   * @param {number} ms that the step took
   */
  learn(work, ms) {
    const wanted = Math.round((work * PREFILL_MS) / Math.max(ms, 0.1));
    this.work = Math.min(Math.max(wanted, this.work >> 1, 1), 2 * this.work, PREFILL_MAX);
  }
}

/** All runs of one model. */
export class Driver {
  /** @type {Set<Job>} */
  #jobs = new Set();
  #pace = new Pace();
  #model;
  #isDriving = false;
  /** Resumes a loop that waits because no run's pieces are wanted. */
  #wake = () => {};

  /** @param {Pick<Model, 'step'>} model */
  constructor(model) {
    this.#model = model;
  }

  /**
   * Drives a run to its end, together with all others. Resolves with undefined if it was aborted.
   * @param {Run} run
   * @param {Way} way
   * @returns {Promise<End>}
   */
  drive(run, way) {
    const job = new Job(run, way);
    this.#jobs.add(job);
    this.#wake();
    if (!this.#isDriving) void this.#loop();
    return job.ended.promise.finally(() => this.#jobs.delete(job));
  }

  async #loop() {
    this.#isDriving = true;
    const turns = eventLoop();
    try {
      while (this.#jobs.size > 0) {
        // Messages first: an abort right after the call, or further runs to compute with this one.
        await turns.next();
        for (const job of this.#jobs) job.look();
        const jobs = [...this.#jobs].filter((job) => job.isWanted());
        if (jobs.length > 0) this.#slice(jobs);
        else if (this.#jobs.size > 0) await new Promise((/** @type {(_: void) => void} */ resolve) => this.#pause(resolve));
        for (const job of jobs) job.send();
      }
    } catch (error) {
      // The engine has trapped, so all runs under way fail.
      for (const job of this.#jobs) job.ended.reject(error);
    } finally {
      turns.close();
      this.#isDriving = false;
    }
  }

  /** Computes some runs for one slice. @param {Job[]} jobs */
  #slice(jobs) {
    const end = performance.now() + SLICE_MS;
    for (const job of jobs) job.take();
    do {
      const begin = performance.now();
      const work = this.#model.step(this.#pace.work);
      if (work === undefined) return;
      if (work > 0) this.#pace.learn(work, performance.now() - begin);
      for (const job of jobs) job.take();
    } while (performance.now() < end && jobs.every((job) => job.size < PIECE_MAX));
  }

  /** Waits until a run's pieces are wanted again, or another run begins. @param {() => void} resolve */
  #pause(resolve) {
    this.#wake = resolve;
    for (const job of this.#jobs) job.waiting?.then(resolve);
  }
}

/** A run under way. */
class Job {
  /** Resolves when pieces are wanted again; undefined if they are. @type {Promise<void> | undefined} */
  waiting;
  /** @type {PromiseWithResolvers<End>} */
  ended = withResolvers();
  /** How many tokens and log-probabilities are not posted yet. */
  size = 0;
  #run;
  #way;
  #isOver = false;
  #begin = performance.now();
  #prefillEnd = this.#begin;
  #firstToken = 0;
  #given = 0;
  /** The unsent output of each completion. @type {Map<number, Unsent>} */
  #unsent = new Map();

  /** @param {Run} run @param {Way} way */
  constructor(run, way) {
    this.#run = run;
    this.#way = way;
  }

  isWanted() {
    return !this.#isOver && !this.waiting;
  }

  /** Takes the run's steps until it waits. Throws if the engine has trapped. */
  take() {
    try {
      for (let step; !this.#isOver && (step = this.#run.poll()); ) this.#note(step);
    } catch (error) {
      this.#isOver = true;
      if (!isFireside(error)) throw error;
      this.send();
      this.ended.reject(error);
    }
  }

  /** @param {RunStep} step */
  #note(step) {
    if (step.kind === 'overflow') {
      this.send();
      const { droppedMessages, droppedTokens } = step;
      this.#way.post({ overflow: { droppedMessages, droppedTokens } });
    } else if (step.kind === 'prefill') {
      this.#prefillEnd = performance.now();
    } else {
      const isFirst = !this.#firstToken;
      this.#firstToken ||= performance.now();
      if (step.kind === 'token') this.#add(step);
      else this.#end(step);
      if (isFirst) this.send(); // do not wait for the end of the slice
    }
  }

  /** @param {Pick<Token, 'text' | 'completionTokens' | 'choice' | 'logprobs'>} token */
  #add(token) {
    let unsent = this.#unsent.get(token.choice);
    if (!unsent) this.#unsent.set(token.choice, (unsent = new Unsent(token.choice)));
    unsent.add(token);
    this.size += 1 + (token.logprobs?.top.length ?? 0);
  }

  /** @param {Extract<RunStep, { kind: 'end' }>} step */
  #end({ text, choice, choices, usage }) {
    this.#isOver = true;
    this.#add({ text, completionTokens: usage.completionTokens, choice });
    this.send();
    const [prefillMs, decodeMs] = [this.#prefillEnd - this.#begin, performance.now() - this.#prefillEnd];
    const timings = {
      prefillMs,
      decodeMs,
      ttftMs: this.#firstToken - this.#begin,
      prefillTokensPerSecond: rate(usage.promptTokens - usage.cachedTokens, prefillMs),
      decodeTokensPerSecond: rate(usage.completionTokens, decodeMs),
    };
    this.ended.resolve({ choices, usage, timings });
  }

  /** Posts the unsent output. */
  send() {
    this.size = 0;
    for (const unsent of this.#unsent.values()) {
      const piece = unsent.take(performance.now() - this.#prefillEnd);
      if (!piece) continue;
      this.#way.post(piece);
      this.#given++;
    }
  }

  /** Between two slices: ends the run if it was aborted, and checks whether its pieces are wanted. */
  look() {
    if (this.#isOver) return;
    if (this.#way.aborted()) {
      this.#isOver = true;
      this.#run.abort();
      this.ended.resolve(undefined);
    } else if (!this.waiting) {
      this.waiting = this.#way.wanted?.(this.#given)?.then(() => void (this.waiting = undefined));
    }
  }
}

/** The unsent output of one completion. */
class Unsent {
  #choice;
  #text = '';
  #tokens = 0;
  /** @type {TokenLogprob[]} */
  #logprobs = [];

  /** @param {number} choice */
  constructor(choice) {
    this.#choice = choice;
  }

  /** @param {Pick<Token, 'text' | 'completionTokens' | 'logprobs'>} token */
  add({ text, completionTokens, logprobs }) {
    this.#text += text;
    this.#tokens = completionTokens;
    if (logprobs) this.#logprobs.push(logprobs);
  }

  /** @param {number} ms of decoding so far @returns {Piece | undefined} */
  take(ms) {
    const [text, logprobs] = [this.#text, this.#logprobs];
    if (!text && logprobs.length === 0) return undefined;
    [this.#text, this.#logprobs] = ['', []];
    const piece = { text, completionTokens: this.#tokens, tokensPerSecond: rate(this.#tokens, ms), choice: this.#choice };
    return logprobs.length > 0 ? { ...piece, logprobs } : piece;
  }
}

/**
 * Yields to other events without the 4 ms to which browsers clamp nested timers. Node serves a port that
 * posts to itself a thousand times before other events, so in Node this uses `setImmediate`.
 */
function eventLoop() {
  const immediate = Reflect.get(globalThis, 'setImmediate');
  if (immediate) return { next: () => new Promise((resolve) => immediate(resolve)), close() {} };
  const { port1, port2 } = new MessageChannel();
  return {
    /** @returns {Promise<void>} */
    next: () =>
      new Promise((resolve) => {
        port1.onmessage = () => resolve();
        port2.postMessage(null);
      }),
    close: () => port1.close(),
  };
}

/** `Promise.withResolvers`, which Node 20 lacks. @template T @returns {PromiseWithResolvers<T>} */
function withResolvers() {
  const made = /** @type {PromiseWithResolvers<T>} */ ({});
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

/** @param {number} count @param {number} ms */
function rate(count, ms) {
  return ms > 0 ? (count / ms) * 1000 : 0;
}
