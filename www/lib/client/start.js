// Starts the engine and does something with it: loads a model, or estimates one. Whatever fails first ends
// the rest: the fetches of the page by a signal, the worker by its end.

import { abortError, crashed, FiresideError, hubHint } from '../shared/errors.js';
import { locate } from './source.js';
import { SILENT, WorkerClient } from './worker-client.js';

/** @import { Choice } from '../shared/protocol.d.ts' */
/** @import { LoadOptions, Source } from '../shared/types.d.ts' */
/** @import { Located } from './source.js' */
/** @import { Platform, Settings } from './types.d.ts' */

/**
 * What runs while the engine starts. `threads`: the threads of the engine, once it is there.
 * @typedef {{ client: WorkerClient, threads: Promise<Promise<boolean>[]>, located: Located, signal:
 *   AbortSignal }} Started
 */

/** How often a load is attempted whose files change while they are read. */
const ATTEMPTS = 2;

/**
 * How long a load waits for its worker, and a loaded model for threads that have neither started nor
 * failed.
 */
export const START_MS = 5_000;

/**
 * @template T
 * @param {Source} source
 * @param {Settings} settings
 * @param {Platform} platform
 * @param {(started: Started) => Promise<T>} job
 * @returns {Promise<T>}
 */
export async function inWorker(source, settings, platform, job) {
  const letGo = platform.hold?.();
  try {
    const { hub, lock, signal, worker, stallMs, threads, deterministic, storage } = settings;
    if (signal?.aborted) throw abortError(signal);
    const located = await locate(source, { hub, lock }, platform.disk);
    platform.check();
    await platform.prepare?.(worker, stallMs, signal);
    const choice = platform.choose({ threads, deterministic });
    storage.memoryBytesMax = Math.min(storage.memoryBytesMax, choice.memoryBytesMax ?? Infinity);
    return await attempts(source, settings, platform, { located, choice, job });
  } finally {
    letGo?.();
  }
}

/**
 * Where files change while they are read, starts over with a new engine.
 * @template T
 * @param {Source} source
 * @param {Settings} settings
 * @param {Platform} platform
 * @param {{ located: Located, choice: Choice, job: (started: Started) => Promise<T> }} what
 * @returns {Promise<T>}
 */
async function attempts(source, settings, platform, { located, choice, job }) {
  const { signal: outer, worker } = settings;
  for (let attempt = 1; ; attempt++) {
    if (outer?.aborted) throw abortError(outer); // while something was awaited
    const stop = new AbortController();
    const client = new WorkerClient(platform.spawn(worker), platform.hold);
    const onAbort = () => {
      stop.abort(abortError(outer));
      client.close(abortError(outer));
    };
    outer?.addEventListener('abort', onAbort, { once: true });
    try {
      const threads = start(client, settings, platform, choice);
      await answered(client, settings);
      return await job({ client, threads, located, signal: stop.signal });
    } catch (error) {
      const reason = outer?.aborted ? abortError(outer) : await explained(error, { source, client, platform, worker });
      stop.abort(reason);
      client.close(reason);
      const changed = reason instanceof FiresideError && reason.code === 'INTEGRITY' && reason.details.again;
      if (!changed || attempt === ATTEMPTS) throw reason;
    } finally {
      outer?.removeEventListener('abort', onAbort);
    }
  }
}

/**
 * Resolves when the worker has answered for the first time.
 * @param {WorkerClient} client
 * @param {Settings} settings
 */
async function answered(client, { modelCache, stallMs }) {
  const lateMs = Math.max(stallMs, START_MS);
  const late = setTimeout(() => client.close(crashed(`it did not answer within ${lateMs / 1000} seconds`)), lateMs);
  try {
    await client.request('openFiles', { modelCache, stallMs, alive: client.name });
    client.watch();
  } finally {
    clearTimeout(late);
  }
}

/**
 * Starts the engine and its threads.
 * @param {WorkerClient} client
 * @param {Settings} settings
 * @param {Platform} platform
 * @param {Choice} choice
 */
function start(client, { worker }, platform, choice) {
  const { build, memory } = choice;
  const threads = platform.compile(build).then(async (module) => {
    await client.request('startEngine', { ...choice, module });
    const code = { build, module, memory };
    return Array.from({ length: choice.threads - 1 }, () => client.startThread(() => platform.spawnThread(worker), code));
  });
  threads.catch(() => {}); // awaited by the job; until then not "unhandled"
  return threads;
}

/**
 * What a load rejects with. If the worker ended before it said anything, the platform says why. A name of
 * the hub without `hf:` is a relative address, at which there is nothing.
 * @param {unknown} error
 * @param {{ source: Source, client: WorkerClient, platform: Platform, worker: LoadOptions['worker'] }} load
 */
async function explained(error, { source, client, platform, worker }) {
  if (!(error instanceof FiresideError)) return error;
  const { code, message, details } = error;
  if (code === 'CRASHED' && !client.heard) {
    return platform.notStarted(worker, details.detail === SILENT ? undefined : /** @type {string} */ (details.detail));
  }
  const status = Number(details.status);
  const isNothing = code === 'NOT_A_MODEL_FILE' || (code === 'NETWORK' && status >= 400 && status < 500);
  const hint = isNothing && details.file === 'config.json' && hubHint(source);
  return hint ? new FiresideError(code, `${message} Or ${hint}`, details) : error;
}
