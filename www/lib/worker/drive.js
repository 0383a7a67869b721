// Drives a run: the engine computes in slices of time, and each slice posts its text as one piece.
// Messages, an abort among them, get in between two slices.
//
//     step the engine for 16 ms; post the text of these steps as one piece
//     let messages in; wait while no more pieces are wanted; aborted? end : go on

/** @import { Run, RunStep } from '../shared/engine.d.ts' */
/** @import { RunEnd, RunPiece } from '../shared/protocol.d.ts' */
/** @import { Piece, TokenLogprob } from '../shared/types.d.ts' */

/** One frame of a 60 Hz screen: nobody sees text sooner, and an abort takes no longer. */
const SLICE_MS = 16;

/** The most that a piece holds: tokens, and the likelihoods beside them. */
const PIECE_MAX = 512;

/** How long a step of prefill should take, since an abort waits for it. */
const PREFILL_MS = 50;

/** What a step of prefill computes at first, and at most. Units: tokens times layers. */
const [PREFILL_FIRST, PREFILL_MAX] = [256, 2 ** 30];

/** How much of a prompt one step computes, by the time that earlier steps took. */
export class Pace {
  work = PREFILL_FIRST;

  /**
   * Aims for PREFILL_MS, by half or double at most.
   * @param {number} work of a step
   * @param {number} ms that it took
   */
  learn(work, ms) {
    const wanted = Math.round((work * PREFILL_MS) / Math.max(ms, 0.1));
    this.work = Math.min(Math.max(wanted, this.work >> 1, 1), 2 * this.work, PREFILL_MAX);
  }
}

/** How a run is driven. @typedef {{ pace: Pace, post: (piece: RunPiece) => void }} Driving */

/**
 * Drives a run to its end. Where `aborted` says so between two slices, the run is ended and the result is
 * undefined.
 * @param {Run} run
 * @param {Driving & { aborted: () => boolean, wanted?: (given: number) => Promise<void> | undefined }} how
 *   `wanted`: returns what to wait for before more is computed, after so many pieces
 * @returns {Promise<Omit<RunEnd, 'stats'> | undefined>}
 */
export async function drive(run, { pace, post, aborted, wanted = () => undefined }) {
  const turns = eventLoop();
  const slices = new Slices(run, { pace, post });
  try {
    for (;;) {
      const end = slices.next();
      if (end) return end;
      await turns.next();
      for (let more = wanted(slices.given); more; more = wanted(slices.given)) await more;
      if (aborted()) {
        run.abort();
        return undefined;
      }
    }
  } finally {
    turns.close();
  }
}

/** The slices of time of one run. */
class Slices {
  #run;
  #pace;
  #post;
  #unsent = new Unsent();
  #begin = performance.now();
  #prefillEnd = this.#begin;
  /** When the first token was there, or 0. */
  #firstToken = 0;
  /** Pieces posted so far. */
  given = 0;

  /** @param {Run} run @param {Driving} driving */
  constructor(run, { pace, post }) {
    this.#run = run;
    this.#pace = pace;
    this.#post = post;
  }

  /** Steps the engine for one slice and posts what came of it. Returns how the run ended, once it has. */
  next() {
    const sliceEnd = performance.now() + SLICE_MS;
    do {
      const begin = performance.now();
      const step = this.#run.step(this.#pace.work);
      if (step.kind === 'end') return this.#end(step);
      if (step.kind === 'token') this.#token(step);
      else if (step.kind === 'prefill') {
        this.#prefillEnd = performance.now();
        this.#pace.learn(step.work, this.#prefillEnd - begin);
      } else {
        this.#send();
        this.#post({ overflow: { droppedMessages: step.droppedMessages, droppedTokens: step.droppedTokens } });
      }
    } while (performance.now() < sliceEnd && this.#unsent.size < PIECE_MAX);
    this.#send();
    return undefined;
  }

  /** @param {Extract<RunStep, { kind: 'token' }>} step */
  #token(step) {
    if (step.choice !== this.#unsent.choice) this.#send();
    this.#unsent.add(step);
    if (this.#firstToken) return;
    this.#firstToken = performance.now();
    this.#send(); // the first word does not wait for its slice to end
  }

  /** @param {Extract<RunStep, { kind: 'end' }>} step */
  #end({ text, choices, usage }) {
    const last = choices.length - 1;
    const now = performance.now();
    if (last !== this.#unsent.choice) this.#send();
    this.#unsent.add({ text, completionTokens: usage.completionTokens, choice: last });
    this.#send();
    const [prefillMs, decodeMs] = [this.#prefillEnd - this.#begin, now - this.#prefillEnd];
    const timings = {
      prefillMs,
      decodeMs,
      ttftMs: (this.#firstToken || now) - this.#begin,
      prefillTokensPerSecond: rate(usage.promptTokens - usage.cachedTokens, prefillMs),
      decodeTokensPerSecond: rate(usage.completionTokens, decodeMs),
    };
    return { choices, usage, timings };
  }

  #send() {
    const piece = this.#unsent.take(performance.now() - this.#prefillEnd);
    if (!piece) return;
    this.#post(piece);
    this.given++;
  }
}

/** What has been generated and not yet posted, of one choice at a time. */
class Unsent {
  choice = 0;
  size = 0;
  #text = '';
  #tokens = 0;
  /** @type {TokenLogprob[]} */
  #logprobs = [];

  /**
   * @param {Pick<Extract<RunStep, { kind: 'token' }>, 'text' | 'completionTokens' | 'choice' | 'logprobs'>}
   *   step
   */
  add({ text, completionTokens, choice, logprobs }) {
    this.choice = choice;
    this.#text += text;
    this.#tokens = completionTokens;
    if (logprobs) this.#logprobs.push(logprobs);
    this.size += 1 + (logprobs?.top.length ?? 0);
  }

  /** @param {number} ms of decoding so far @returns {Piece | undefined} */
  take(ms) {
    const [text, logprobs] = [this.#text, this.#logprobs];
    this.size = 0;
    if (!text && logprobs.length === 0) return undefined;
    [this.#text, this.#logprobs] = ['', []];
    const piece = { text, completionTokens: this.#tokens, tokensPerSecond: rate(this.#tokens, ms), choice: this.choice };
    return logprobs.length > 0 ? { ...piece, logprobs } : piece;
  }
}

/**
 * Lets other events in, without the 4 ms to which browsers clamp nested timers. Node serves a port that
 * posts to itself a thousand times before others, so there it is an immediate.
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

/** @param {number} count @param {number} ms */
function rate(count, ms) {
  return ms > 0 ? (count / ms) * 1000 : 0;
}
