// Runs in the worker: the engine computes them together in slices of time. What comes of a slice is posted as one piece
// for each completion, and messages such as aborts are let in between two slices.
//
//     until all runs have ended:
//         for 16 ms: take what each run has come to; let the engine compute a step for all of them
//         post what is new; let messages in; a run that was aborted ends, one whose pieces are not wanted yet waits

import { isFireside } from '../shared/errors.js';

/** @import { Model, Run, RunStep } from '../shared/engine.d.ts' */
/** @import { RunEnd, RunPiece } from '../shared/protocol.d.ts' */
/** @import { Piece, TokenLogprob } from '../shared/types.d.ts' */

/** @typedef {Extract<RunStep, { kind: 'token' }>} Token */
/** How a run ended; undefined if it was aborted. @typedef {Omit<RunEnd, 'stats'> | undefined} End */
/**
 * How a run is driven. `post`: takes each piece. `aborted`: looked at between two slices. `wanted`: what to wait for
 * before more is computed, when so many pieces were given.
 * @typedef {object} Way
 * @property {(piece: RunPiece) => void} post
 * @property {() => boolean} aborted
 * @property {(given: number) => Promise<void> | undefined} [wanted]
 */

/** One frame of a 60 Hz screen: text is not seen sooner, and an abort is noticed within it. */
const SLICE_MS = 16;

/** What the pieces of a run hold at most before a slice ends: tokens, and alternatives with their probabilities. */
const PIECE_MAX = 512;

/** How long a step of prefill should take, since an abort waits for it. */
const PREFILL_MS = 50;
/** What a step of prefill may compute at first and at most. Units: tokens times layers. */
const [PREFILL_FIRST, PREFILL_MAX] = [256, 2 ** 30];

/** How much of a prompt a step computes, learnt from the time that steps took. */
export class Pace {
  work = PREFILL_FIRST;

  /**
   * Takes what would have filled the time for a step, but changes by half or double at most.
   * @param {number} work of a step
   * @param {number} ms that it took
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
  /** Lets a loop go on that waits for runs whose pieces are not wanted. */
  #wake = () => {};

  /** @param {Pick<Model, 'step'>} model */
  constructor(model) {
    this.#model = model;
  }

  /**
   * Drives a run to its end, beside all others. Resolves with undefined if it was aborted.
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
        const jobs = [...this.#jobs].filter((job) => job.isWanted());
        if (jobs.length > 0) this.#slice(jobs);
        else await new Promise((/** @type {(_: void) => void} */ resolve) => this.#pause(resolve));
        for (const job of jobs) job.send();
        await turns.next();
        for (const job of this.#jobs) job.look();
      }
    } catch (error) {
      // The engine has trapped: every run under way has failed.
      for (const job of this.#jobs) job.ended.reject(error);
    } finally {
      turns.close();
      this.#isDriving = false;
    }
  }

  /** Computes for some runs, for the time of a slice. @param {Job[]} jobs */
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

  /** Waits until more is wanted of a run, or another one begins. @param {() => void} resolve */
  #pause(resolve) {
    this.#wake = resolve;
    for (const job of this.#jobs) job.waiting?.then(resolve);
  }
}

/** A run under way. */
class Job {
  /** What is to be waited for before more is computed. @type {Promise<void> | undefined} */
  waiting;
  /** @type {PromiseWithResolvers<End>} */
  ended = withResolvers();
  /** What its pieces hold that were not posted yet. */
  size = 0;
  #run;
  #way;
  #isOver = false;
  #begin = performance.now();
  #prefillEnd = this.#begin;
  #firstToken = 0;
  #given = 0;
  /** What was generated and not posted yet, of each completion. @type {Map<number, Unsent>} */
  #unsent = new Map();

  /** @param {Run} run @param {Way} way */
  constructor(run, way) {
    this.#run = run;
    this.#way = way;
  }

  isWanted() {
    return !this.#isOver && !this.waiting;
  }

  /** Takes what the run has come to. Throws what is no error of ours: the engine has trapped. */
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
      if (isFirst) this.send(); // the first word does not wait for its slice to end
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

  /** Posts what was not posted yet. */
  send() {
    this.size = 0;
    for (const unsent of this.#unsent.values()) {
      const piece = unsent.take(performance.now() - this.#prefillEnd);
      if (!piece) continue;
      this.#way.post(piece);
      this.#given++;
    }
  }

  /** Between two slices: ends the run if it was aborted, and asks whether more is wanted. */
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

/** What has been generated of one completion and not posted yet. */
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
 * Lets other events in, without the 4 ms to which browsers clamp nested timers. In Node a port that posts to itself is
 * served a thousand times before others are: there it has to be an immediate.
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
