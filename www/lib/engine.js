// The worker's side: owns the wasm objects, answers requests, and computes runs in slices of time, so that an abort gets in between.
//
//     for each run, when its turn in its session's queue has come:
//       step the engine for 16 ms; post the text of those steps as one piece; let messages in; aborted? end : go on

import { crashed, FiresideError, isFireside, toWire } from './errors.js';

/** @import { Engine, PortLike, RawLoader, RawModel, RawRun, RawSession, StartEngine } from './types.d.ts' */

/** @typedef {{ raw: RawSession, tail: Promise<unknown>, closed: boolean }} Slot a session and the end of its queue */

/** One frame of a 60 Hz screen: text is not seen sooner, and an abort is noticed within it. */
const SLICE_MS = 16;

/**
 * @param {PortLike} port
 * @param {StartEngine} start
 */
export function serve(port, start) {
  /** @type {Engine | undefined} */
  let engine;
  /** Of `info()`: which engine this is. @type {object} */
  let choice = {};
  /** @type {RawLoader | undefined} */
  let loader;
  /** @type {RawModel | undefined} */
  let model;
  /** @type {Map<number, Slot>} */
  const sessions = new Map();
  /** Requests without their end yet; true once aborted. @type {Map<number, boolean>} */
  const live = new Map();

  port.onmessage = async ({ data }) => {
    if ('abort' in data) {
      if (live.has(data.abort)) live.set(data.abort, true);
      return;
    }
    const { id, op, args } = data;
    live.set(id, false);
    try {
      port.postMessage({ id, result: await handlers[op](args, id) });
    } catch (error) {
      // A trap leaves the engine in an unknown state: nothing more is asked of it.
      port.postMessage(isFireside(error) || error instanceof Aborted ? { id, error: toWire(error) } : { fatal: toWire(error) });
    } finally {
      live.delete(id);
    }
  };

  port.onmessageerror = () => port.postMessage({ fatal: toWire(crashed('a message to the worker could not be read')) });

  /** What each request does; its arguments are those that session.js and load.js send. @type {Record<string, (args: any, id: number) => unknown>} */
  const handlers = {
    async init(args) {
      engine = await start(args);
      choice = { build: args.build, threadsReason: args.reason };
    },
    load({ files, options }) {
      loader?.free();
      loader = undefined;
      loader = new (must(engine).wasm.Loader)(files, options);
      return loader.files();
    },
    push: ({ chunk }) => must(loader).push(chunk),
    endFile: () => must(loader).endFile(),
    async finish({ threads: started }) {
      const whole = must(loader);
      loader = undefined; // finish() consumes it, whether it succeeds or not
      model = whole.finish();
      const { threads, reason } = await must(engine).settle(model, started);
      return { ...model.info(), ...choice, threads, ...(reason && { threadsReason: reason }) };
    },
    open({ session }) {
      sessions.set(session, { raw: must(model).session(), tail: Promise.resolve(), closed: false });
    },
    async close({ session }) {
      const slot = must(sessions.get(session));
      sessions.delete(session);
      slot.closed = true;
      await slot.tail;
      slot.raw.free();
    },
    generate: ({ session, input, options }, id) => queue(session, id, (slot) => stream(slot, id, () => slot.raw.generate(input, options))),
    chat: ({ session, input, options }, id) =>
      queue(session, id, async (slot) => {
        const end = await stream(slot, id, () => slot.raw.chat(input, options));
        return { ...end, result: { ...end.result, message: slot.raw.messages().at(-1) } };
      }),
    messages: ({ session }, id) => queue(session, id, ({ raw }) => raw.messages()),
    reset: ({ session }, id) => queue(session, id, ({ raw }) => (raw.reset(), raw.stats())),
    stats: ({ session }, id) => queue(session, id, ({ raw }) => raw.stats()),
    measure: ({ session, input }, id) => queue(session, id, ({ raw }) => raw.measureContextUsage(input)),
    tokenize: ({ text, options }) => must(model).tokenize(text, options),
    detokenize: ({ ids, options }) => must(model).detokenize(ids, options),
  };

  /**
   * Calls on one session happen one after the other, in the order in which they were made.
   * @template T
   * @param {number} session
   * @param {number} id
   * @param {(slot: Slot) => T | Promise<T>} job
   * @returns {Promise<T>}
   */
  function queue(session, id, job) {
    const slot = must(sessions.get(session));
    const turn = slot.tail.then(() => {
      if (live.get(id) || slot.closed) throw new Aborted();
      return job(slot);
    });
    slot.tail = turn.catch(() => {});
    return turn;
  }

  /** @param {Slot} slot @param {number} id @param {() => RawRun} start */
  async function stream(slot, id, start) {
    const begin = performance.now();
    const run = start();
    const turns = eventLoop();
    let [prefillEnd, firstToken, tokens] = [begin, 0, 0];
    let [text, unsent] = ['', ''];
    let trapped = false;
    const send = () => {
      if (!unsent) return;
      const seconds = (performance.now() - prefillEnd) / 1000;
      port.postMessage({ id, piece: { text: unsent, completionTokens: tokens, tokensPerSecond: rate(tokens, seconds * 1000) } });
      text += unsent;
      unsent = '';
    };
    try {
      for (;;) {
        const sliceEnd = performance.now() + SLICE_MS;
        do {
          const step = run.step();
          if (step.kind === 'prefill') {
            prefillEnd = performance.now();
            continue;
          }
          firstToken ||= performance.now();
          unsent += step.text;
          if (step.kind === 'token') {
            tokens = step.completionTokens;
            if (!text) send(); // the first word does not wait for its slice to end
            continue;
          }
          send();
          const { usage, finishReason } = step;
          const [prefillMs, decodeMs] = [prefillEnd - begin, performance.now() - prefillEnd];
          const timings = {
            prefillMs,
            decodeMs,
            ttftMs: firstToken - begin,
            prefillTokensPerSecond: rate(usage.promptTokens - usage.cachedTokens, prefillMs),
            decodeTokensPerSecond: rate(usage.completionTokens, decodeMs),
          };
          return { result: { text, finishReason, usage, timings }, stats: slot.raw.stats() };
        } while (performance.now() < sliceEnd);
        send();
        await turns.next();
        if (live.get(id) || slot.closed) {
          run.abort();
          throw new Aborted();
        }
      }
    } catch (error) {
      trapped = !isFireside(error);
      throw error;
    } finally {
      turns.close();
      if (!trapped) run.free(); // after a trap even this might trap
    }
  }
}

/** The end of a request that its caller gave up: the page has ended it already, so this is never shown. */
class Aborted extends FiresideError {
  constructor() {
    super('BAD_INPUT', 'the request was aborted');
  }
}

/** Lets other events in, without the 4 ms to which browsers clamp nested timers. */
function eventLoop() {
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

/**
 * @template T
 * @param {T | undefined} value
 * @returns {T}
 */
function must(value) {
  if (value === undefined) throw crashed('a request came out of order');
  return value;
}
