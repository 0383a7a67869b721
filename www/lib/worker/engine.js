// The worker's side: owns the wasm objects and answers requests, of the page that made it and of whoever that page lets in by a port of their own.

import { crashed, FiresideError, isFireside, outOfMemory, toWire } from '../shared/errors.js';
import { Files } from './files.js';
import { holdLock, lockReleased } from '../shared/locks.js';
import { drive, Pace } from './drive.js';

/** @import { Store } from './files.js' */
/** @import { Engine, PortLike, RawLoader, RawModel, RawModule, RawRun, RawSession, RawSurvey, StartEngine } from '../shared/types.d.ts' */

/** A session, or why there is none, and the end of its queue. @typedef {{ raw: RawSession, tail: Promise<unknown>, closed: boolean }} Slot */
/**
 * Whether it was aborted, whether it waits for its turn, and whether it was answered before its end. `until`: how many pieces it may give; `wake`: looks again whether it may.
 * @typedef {{ aborted: boolean, waits: boolean, ended: boolean, until: number, wake: () => void }} Request
 */
/** Requests without their end yet. @typedef {Map<number, Request>} Live */
/** What each request does; its arguments are those that session.js and load.js send. @typedef {Record<string, (args: any, id: number) => unknown>} Handlers */
/** @typedef {(phase: 'download' | 'cache', bytes: number, total: number | undefined) => void} Report says how much of a file is here */

/** How long a port may be on its way to whom it is for. */
const GREETING_MS = 60_000;

/** Units: pages of 64 KiB. A memory that cannot grow by these 16 MB is full. */
const OOM_PAGES = 256;

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
  /** What is known of the model. @type {object | undefined} */
  let info;
  /** @type {RawSurvey | undefined} */
  let survey;
  /** @type {Files | undefined} */
  let files;
  /** What the lock is called that this worker holds. */
  let name = '';
  /** The engine's code, once it is there. @type {(wasm: RawModule) => void} */
  let arrived;
  const wasm = new Promise((/** @type {(wasm: RawModule) => void} */ resolve) => (arrived = resolve));
  const pace = new Pace();
  /** Ports by which somebody has come in. @type {WeakSet<PortLike>} */
  const greeted = new WeakSet();
  /** Who asks: each port with sessions of its own. @type {Map<PortLike, Map<number, Slot>>} */
  const ports = new Map();

  /** What loads a model: of the page that made the worker alone. @param {(id: number) => Report} report @returns {Handlers} */
  const loading = (report) => ({
    async files({ alive, ...options }) {
      files = new Files(wasm, options, store);
      // Held for as long as this worker lives: the page waits for it, to learn of its end.
      name = alive ?? '';
      if (alive) await holdLock(alive);
    },
    list: ({ wanted, needed }, id) => must(files).list(wanted, needed, report(id)),
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
    readsOlderFiles: async ({ tokenizerConfig }) => (await wasm).readsOlderFiles(tokenizerConfig),
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
      info = { ...model.info(), ...choice, threads, ...(reason && { threadsReason: reason }), cache, ...(cacheReason && { cacheReason }) };
      return info;
    },
  });

  listen(port, loading);

  /** Answers what comes by a port. @param {PortLike} port @param {(report: (id: number) => Report) => Handlers} [more] */
  function listen(port, more) {
    /** @type {Map<number, Slot>} */
    const sessions = new Map();
    /** @type {Live} */
    const live = new Map();
    ports.set(port, sessions);
    const report = (/** @type {number} */ id) => (/** @type {Parameters<Report>} */ ...[phase, bytes, total]) =>
      port.postMessage({ id, piece: { phase, bytes, total } });
    const handlers = { ...answering(port, sessions, live), ...more?.(report) };

    port.onmessage = async ({ data }) => {
      const { abort, pace: paced, until, id, op, args } = data ?? {};
      if (abort !== undefined) return giveUp(abort);
      if (paced !== undefined) return letGo(paced, until);
      /** @type {Request} */
      const request = { aborted: false, waits: false, ended: false, until: Infinity, wake() {} };
      live.set(id, request);
      try {
        // Who came in by a port may be of another version.
        if (!Object.hasOwn(handlers, op)) throw new FiresideError('BAD_INPUT', `request: the engine knows no ${op}.`, { op });
        const result = await handlers[op](args ?? {}, id);
        port.postMessage({ id, result }, op === 'save' ? [/** @type {Uint8Array<ArrayBuffer>} */ (result).buffer] : []);
      } catch (error) {
        // A trap leaves the engine in an unknown state: nothing more is asked of it.
        if (!isFireside(error)) {
          const end = { fatal: toWire(fatal(error)) };
          for (const each of ports.keys()) each.postMessage(end);
        } else if (!request.ended) port.postMessage({ id, error: toWire(error) });
      } finally {
        live.delete(id);
      }
    };

    /** Ends a request where it stands; one that still waits for its turn at once. @param {number} id */
    function giveUp(id) {
      const request = live.get(id);
      if (!request) return;
      request.aborted = true;
      request.wake();
      if (!request.waits) return;
      request.ended = true;
      port.postMessage({ id, error: toWire(new Aborted()) });
    }

    /** @param {number} id @param {number} until */
    function letGo(id, until) {
      const request = live.get(id);
      if (!request) return;
      request.until = until;
      request.wake();
    }

    port.onmessageerror = () => port.postMessage({ fatal: toWire(crashed('a message to the worker could not be read')) });
    return () => handlers.bye({}, 0);
  }

  /** What a port asks of the model and of its sessions. @param {PortLike} port @param {Map<number, Slot>} sessions @param {Live} live @returns {Handlers} */
  function answering(port, sessions, live) {
    const keep = (/** @type {number} */ session, /** @type {RawSession} */ raw) => sessions.set(session, { raw, tail: Promise.resolve(), closed: false });
    /** Sessions that could not be opened, and why. @type {Map<number, unknown>} */
    const refused = new Map();
    const told = (/** @type {RawSession} */ raw) => ({ messages: raw.messages(), options: raw.options(), stats: raw.stats() });

    async function close(/** @type {number} */ session) {
      if (refused.delete(session)) return;
      const slot = must(sessions.get(session));
      sessions.delete(session);
      slot.closed = true;
      for (const request of live.values()) request.wake();
      await slot.tail;
      slot.raw.free();
    }

    /**
     * Calls on one session happen one after the other, in the order in which they were made.
     * @template T
     * @param {number} session
     * @param {number} id
     * @param {(slot: Slot) => T | Promise<T>} job
     * @returns {Promise<T>}
     */
    function queue(session, id, job) {
      if (refused.has(session)) throw refused.get(session);
      const slot = must(sessions.get(session));
      const request = must(live.get(id));
      request.waits = true;
      const turn = slot.tail.then(() => {
        if (request.aborted || slot.closed) throw new Aborted();
        request.waits = false;
        return job(slot);
      });
      slot.tail = turn.catch(() => {});
      return turn;
    }

    /** @param {Slot} slot @param {number} id @param {RawRun} run */
    async function stream(slot, id, run) {
      let trapped = false;
      try {
        const post = (/** @type {object} */ piece) => port.postMessage({ id, piece });
        const request = must(live.get(id));
        const aborted = () => request.aborted || slot.closed;
        const wanted = (/** @type {number} */ given) =>
          given < request.until || aborted() ? undefined : new Promise((/** @type {(_: void) => void} */ resolve) => (request.wake = resolve));
        const result = await drive(run, { pace, post, aborted, wanted });
        if (!result) throw new Aborted();
        return { result, stats: slot.raw.stats() };
      } catch (error) {
        trapped = !isFireside(error);
        throw error;
      } finally {
        if (!trapped) run.free(); // after a trap even this might trap
      }
    }

    /** A run that changes the conversation. @param {Slot} slot @param {number} id @param {RawRun} run */
    async function turn(slot, id, run) {
      const end = await stream(slot, id, run);
      const made = told(slot.raw);
      return { ...end, ...made, result: { ...end.result, message: made.messages.at(-1) } };
    }

    function leave() {
      for (const session of [...sessions.keys()]) void close(session);
      ports.delete(port);
    }

    return {
      open({ session, messages, options }) {
        try {
          const raw = must(model).session(options);
          if (messages?.length) raw.setMessages(messages);
          keep(session, raw);
        } catch (error) {
          if (isFireside(error)) refused.set(session, error);
          throw error;
        }
      },
      close: ({ session }) => close(session),
      clone: ({ session, as }, id) =>
        queue(session, id, ({ raw }) => {
          keep(as, raw.clone());
          return told(raw);
        }),
      restore({ as, bytes }) {
        const raw = must(model).restore(bytes);
        keep(as, raw);
        return told(raw);
      },
      save: ({ session, options }, id) => queue(session, id, ({ raw }) => raw.save(options)),
      generate: ({ session, input, options }, id) => queue(session, id, (slot) => stream(slot, id, slot.raw.generate(input, options))),
      chat: ({ session, input, options }, id) => queue(session, id, (slot) => turn(slot, id, slot.raw.chat(input, options))),
      regenerate: ({ session, options }, id) => queue(session, id, (slot) => turn(slot, id, slot.raw.regenerate(options))),
      append: ({ session, input, options }, id) => queue(session, id, (slot) => turn(slot, id, slot.raw.append(input, options))),
      messages: ({ session }, id) => queue(session, id, ({ raw }) => raw.messages()),
      setMessages: ({ session, messages }, id) => queue(session, id, ({ raw }) => (raw.setMessages(messages), raw.messages())),
      reset: ({ session }, id) => queue(session, id, ({ raw }) => (raw.reset(), told(raw))),
      stats: ({ session }, id) => queue(session, id, ({ raw }) => raw.stats()),
      measure: ({ session, input, options }, id) => queue(session, id, ({ raw }) => raw.measureContextUsage(input, options)),
      tokenize: ({ text, options }) => must(model).tokenize(text, options),
      pieces: ({ text, options }) => must(model).pieces(text, options),
      detokenize: ({ ids, options }) => must(model).detokenize(ids, options),
      modelStats() {
        const sessions = [...ports.values()].reduce((count, sessions) => count + sessions.size, 0);
        return { sessions, ...must(model).stats() };
      },
      connect({ port }) {
        const leave = listen(port);
        // Whom it was meant for may have gone before it came there.
        const late = setTimeout(() => greeted.has(port) || leave(), GREETING_MS);
        /** @type {any} */ (late).unref?.(); // Node would wait for it
      },
      // Who came in by a port of its own says so, and how its end can be told where it cannot say that as well.
      hello({ alive }) {
        greeted.add(port);
        lockReleased(alive).then(leave, () => {});
        port.addEventListener?.('close', leave);
        return { info: must(info), name };
      },
      bye: leave,
    };
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
}

/** The end of a request that its caller gave up: the page has ended it already, so this is never shown. */
class Aborted extends FiresideError {
  constructor() {
    super('BAD_INPUT', 'the request was aborted');
  }
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
