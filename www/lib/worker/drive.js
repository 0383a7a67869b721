// A run in the worker: the engine computes in slices of time, what comes of each is posted as one piece, and an abort gets in between.
//
//     step the engine for 16 ms; post the text of those steps as one piece; let messages in; wait while no more pieces are wanted; aborted? end : go on

/** @import { Piece, RawRun, RawStep, RunResult, TokenLogprob } from '../shared/types.d.ts' */

/** One frame of a 60 Hz screen: text is not seen sooner, and an abort is noticed within it. */
const SLICE_MS = 16;

/** What a piece holds at most: tokens, and likelihoods of others beside them. */
const PIECE_MAX = 512;

/** How long a step of prefill should take, since an abort waits for it; and what it may compute, in tokens times layers, at first and at most. */
const PREFILL_MS = 50;
const [PREFILL_FIRST, PREFILL_MAX] = [256, 2 ** 30];

/** What of a prompt a step computes, as the last steps took their time. */
export class Pace {
  work = PREFILL_FIRST;

  /** What the time for a step would have been enough for, changed by half or double at most. @param {number} work of a step @param {number} ms it took */
  learn(work, ms) {
    const wanted = Math.round((work * PREFILL_MS) / Math.max(ms, 0.1));
    this.work = Math.min(Math.max(wanted, this.work >> 1, 1), 2 * this.work, PREFILL_MAX);
  }
}

/**
 * Drives a run to its end. Where `aborted` says so between two slices, the run is given up and undefined is what comes.
 * @param {RawRun} run
 * @param {{ pace: Pace, post: (piece: Piece | { overflow: object }) => void, aborted: () => boolean, wanted?: (given: number) => Promise<void> | undefined }} how `wanted`: what to
 *   wait for before more is computed, where so many pieces were given
 * @returns {Promise<RunResult | undefined>}
 */
export async function drive(run, { pace, post, aborted, wanted = () => undefined }) {
  const begin = performance.now();
  const turns = eventLoop();
  const unsent = new Unsent();
  let [prefillEnd, firstToken, given] = [begin, 0, 0];
  const send = () => {
    const piece = unsent.take(performance.now() - prefillEnd);
    if (!piece) return;
    post(piece);
    given++;
  };
  try {
    for (;;) {
      const sliceEnd = performance.now() + SLICE_MS;
      do {
        const stepBegin = performance.now();
        const step = run.step(pace.work);
        if (step.kind === 'overflow') {
          send();
          const { droppedMessages, droppedTokens } = step;
          post({ overflow: { droppedMessages, droppedTokens } });
        } else if (step.kind === 'prefill') {
          prefillEnd = performance.now();
          pace.learn(step.work, prefillEnd - stepBegin);
        } else {
          const isFirst = !firstToken;
          firstToken ||= performance.now();
          if (step.kind === 'token') {
            if (step.choice !== unsent.choice) send();
            unsent.add(step);
            if (isFirst) send(); // the first word does not wait for its slice to end
            continue;
          }
          if (step.choices.length - 1 !== unsent.choice) send();
          unsent.add({ text: step.text, completionTokens: step.usage.completionTokens, choice: step.choices.length - 1 });
          send();
          const { usage, choices } = step;
          const [prefillMs, decodeMs] = [prefillEnd - begin, performance.now() - prefillEnd];
          const timings = {
            prefillMs,
            decodeMs,
            ttftMs: firstToken - begin,
            prefillTokensPerSecond: rate(usage.promptTokens - usage.cachedTokens, prefillMs),
            decodeTokensPerSecond: rate(usage.completionTokens, decodeMs),
          };
          return { ...choices[0], choices, usage, timings };
        }
      } while (performance.now() < sliceEnd && unsent.size < PIECE_MAX);
      send();
      await turns.next();
      for (let more = wanted(given); more; more = wanted(given)) await more;
      if (aborted()) {
        run.abort();
        return undefined;
      }
    }
  } finally {
    turns.close();
  }
}

/** What has been generated and not yet posted: of one continuation at a time. */
class Unsent {
  choice = 0;
  size = 0;
  #text = '';
  #tokens = 0;
  /** @type {TokenLogprob[]} */
  #logprobs = [];

  /** @param {Pick<Extract<RawStep, { kind: 'token' }>, 'text' | 'completionTokens' | 'choice' | 'logprobs'>} step */
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
 * Lets other events in, without the 4 ms to which browsers clamp nested timers. In Node a port that posts to itself is served a thousand times before others
 * are: there it has to be an immediate.
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
