// The worker's side: owns the wasm objects, answers requests, and computes runs in slices of time, so that an abort gets in between.
//
//     for each run, when its turn in its session's queue has come:
//       step the engine for 16 ms; post the text of those steps as one piece; let messages in; aborted? end : go on

import { crashed, FiresideError, isFireside, outOfMemory, toWire } from './errors.js';
import { Files } from './files.js';

/** @import { Store } from './files.js' */
/** @import { Engine, PortLike, RawLoader, RawModel, RawModule, RawRun, RawSession, RawSurvey, StartEngine } from './types.d.ts' */

/** @typedef {{ raw: RawSession, tail: Promise<unknown>, closed: boolean }} Slot a session and the end of its queue */

/** One frame of a 60 Hz screen: text is not seen sooner, and an abort is noticed within it. */
const SLICE_MS = 16;

/** Units: pages of 64 KiB. A memory that cannot grow by these 16 MB is full. */
const OOM_PAGES = 256;

/** How long a step of prefill should take, since an abort waits for it; and what it may compute, in tokens times layers, at first and at most. */
const PREFILL_MS = 50;
const [PREFILL_FIRST, PREFILL_MAX] = [256, 2 ** 30];

/**
 * @param {PortLike} port
 * @param {StartEngine} start
 * @param {Store} [store] where files are kept, if not where browsers keep them
 */
export function serve(port, start, store) {
  /** @type {Engine | undefined} */
  let engine;
  /** Of `info()`: which engine this is. @type {object} */
  let choice = {};
  /** @type {RawLoader | undefined} */
  let loader;
  /** @type {RawModel | undefined} */
  let model;
  /** @type {RawSurvey | undefined} */
  let survey;
  /** @type {Files | undefined} */
  let files;
  /** The engine's code, once it is there. @type {(wasm: RawModule) => void} */
  let arrived;
  const wasm = new Promise((/** @type {(wasm: RawModule) => void} */ resolve) => (arrived = resolve));
  /** What of a prompt a step computes, as the last steps took their time. */
  let prefillWork = PREFILL_FIRST;
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
      port.postMessage(isFireside(error) || error instanceof Aborted ? { id, error: toWire(error) } : { fatal: toWire(fatal(error)) });
    } finally {
      live.delete(id);
    }
  };

  port.onmessageerror = () => port.postMessage({ fatal: toWire(crashed('a message to the worker could not be read')) });

  /** What each request does; its arguments are those that session.js and load.js send. @type {Record<string, (args: any, id: number) => unknown>} */
  const handlers = {
    async files({ alive, ...options }) {
      files = new Files(wasm, options, store);
      // Held for as long as this worker lives: the page waits for it, to learn of its end.
      const locks = globalThis.navigator?.locks;
      if (alive && locks) await new Promise((held) => locks.request(alive, () => new Promise(() => held(undefined))).catch(held));
    },
    absent: ({ wanted }) => must(files).absent(wanted),
    read: ({ wanted }, id) => must(files).read(wanted, report(id)),
    async weights({ wanted }, id) {
      const opened = await must(files).open(wanted, report(id));
      if (!opened) return false;
      try {
        for await (const chunk of opened.chunks) must(loader).push(chunk);
        must(loader).endFile();
      } catch (error) {
        // What the engine refuses is of no use in the cache.
        if (isFireside(error) && error.code !== 'NETWORK' && error.code !== 'OUT_OF_MEMORY') await must(files).forget(wanted);
        throw error;
      }
      return true;
    },
    async prefetch({ wanted }, id) {
      if (!(await must(files).keeps())) return;
      const opened = await must(files).open(wanted, report(id));
      for await (const _ of opened?.chunks ?? []);
    },
    async survey({ files, options }) {
      survey?.free();
      survey = undefined;
      survey = new (await wasm).Survey(files, options);
      return survey.files();
    },
    async surveyHead({ wanted, bytes, head }) {
      const beginning = wanted ? await must(files).head(wanted, bytes) : head;
      return beginning && { need: must(survey).header(beginning) };
    },
    surveyEnd() {
      const whole = must(survey);
      survey = undefined; // finish() consumes it
      return whole.finish();
    },
    async init(args) {
      engine = await start(args);
      arrived(engine.wasm);
      choice = { build: args.build, threadsReason: args.reason };
    },
    async load({ files: small, options }) {
      loader?.free();
      loader = undefined;
      try {
        loader = new (must(engine).wasm.Loader)(small, options);
        return loader.files();
      } catch (error) {
        // A model too large for this device is none the worse for it.
        if (isFireside(error) && error.code !== 'OUT_OF_MEMORY') await must(files).forgetSmall();
        throw error;
      }
    },
    push: ({ chunk }) => must(loader).push(chunk),
    endFile: () => must(loader).endFile(),
    async finish({ threads: started, local }) {
      const whole = must(loader);
      loader = undefined; // finish() consumes it, whether it succeeds or not
      model = whole.finish();
      const { threads, reason } = await must(engine).settle(model, started);
      const { cache, reason: cacheReason } = local ? { cache: 'none', reason: 'local' } : must(files);
      return { ...model.info(), ...choice, threads, ...(reason && { threadsReason: reason }), cache, ...(cacheReason && { cacheReason }) };
    },
    open({ session, messages }) {
      const raw = must(model).session();
      if (messages?.length) raw.setMessages(messages);
      sessions.set(session, { raw, tail: Promise.resolve(), closed: false });
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
        const messages = slot.raw.messages();
        return { ...end, messages, result: { ...end.result, message: messages.at(-1) } };
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

  /** Says how much of a file is here. @param {number} id */
  function report(id) {
    return (/** @type {'download' | 'cache'} */ phase, /** @type {number} */ bytes, /** @type {number | undefined} */ total) =>
      port.postMessage({ id, piece: { phase, bytes, total } });
  }

  /** What ends the worker: a trap of the engine's, for want of memory if no more is to be had. @param {unknown} error */
  function fatal(error) {
    const memory = engine?.memory;
    try {
      memory?.grow(OOM_PAGES);
    } catch {
      return outOfMemory();
    }
    return error instanceof RangeError && /memory/i.test(error.message) ? outOfMemory() : error;
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
          const stepBegin = performance.now();
          const step = run.step(prefillWork);
          if (step.kind === 'prefill') {
            prefillEnd = performance.now();
            prefillWork = paced(prefillWork, step.work, prefillEnd - stepBegin);
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

/** What the time for a step would have been enough for, changed by half or double at most. @param {number} present @param {number} work of a step @param {number} ms it took */
function paced(present, work, ms) {
  const wanted = Math.round((work * PREFILL_MS) / Math.max(ms, 0.1));
  return Math.min(Math.max(wanted, present >> 1, 1), 2 * present, PREFILL_MAX);
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
