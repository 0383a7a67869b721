// What loading needs, as Node has it: workers are worker_threads, the engine's code is beside the library,
// memory can always be shared.
//
// The process stays alive while a load or a request is open, and no longer: a program that has its text
// ends by itself, even if it did not dispose of the model. Workers never keep the process alive; a timer
// does (see `hold`).

import { readFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';
import { choose, compile } from '../client/builds.js';
import { badOption, notStarted } from '../shared/errors.js';
import { disk } from './disk.js';
import { END, letGoOf } from './locks.js';

/** @import { WorkerEnd } from '../shared/protocol.d.ts' */
/** @import { Platform } from '../client/types.d.ts' */

/** The flags of the program (a loader, a test runner, the type of its input) are not for workers. */
const OPTIONS = { execArgv: [] };

/** The longest delay that a timer takes. Units: milliseconds. */
const LONG_MS = 2 ** 31 - 1;

/**
 * Keeps the process alive until the returned function is called. It is a timer, because `worker.ref()` and
 * `port.ref()` are not enough everywhere: Bun 1.4 ends a process in the middle of a load, although its
 * worker was ref'ed.
 */
function hold() {
  const timer = setInterval(() => {}, LONG_MS);
  return () => clearInterval(timer);
}

/** @type {Platform} */
export const node = {
  check() {}, // every Node that this is for has what the engine needs

  choose: (wanted) => choose(wanted, { cores: availableParallelism(), isolated: true }),
  compile: (build) => compile(build, read),
  spawn(kind) {
    if (kind === 'blob') throw badOption('worker', '"file" in Node', kind);
    return like(new Worker(new URL('./worker.js', import.meta.url), { ...OPTIONS, name: 'fireside' }), end);
  },
  spawnThread: () => like(new Worker(new URL('./thread.js', import.meta.url), { ...OPTIONS, name: 'fireside-thread' })),
  async notStarted(_kind, detail = 'it ended') {
    const remedy = "Leave fireside-lm out of the pack, for Node to import from node_modules (esbuild: --external:fireside-lm, Next: serverExternalPackages).";
    return notStarted(new URL('./worker.js', import.meta.url).href, detail.split('\n')[0].replace(/\.$/, ''), remedy);
  },

  memoryBytes() {
    const allowed = process.constrainedMemory?.() ?? 0; // 0 or beyond all memory: no limit
    return allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  },

  disk,
  hold,
};

/** The engine's code. @param {URL} url */
async function read(url) {
  const code = await readFile(url).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return code ? new Response(code, { headers: { 'Content-Type': 'application/wasm' } }) : new Response(null, { status: 404 });
}

/** How long an engine may take to end by itself. */
const END_MS = 1_000;

/**
 * Ends the engine's worker. It is asked to end itself: if it is ended while it unpacks an answer, it may be
 * between two steps of zlib, and then Node 20 ends the whole process ("close before init"). A worker that
 * does not answer is computing and can be ended. Resolves when it is gone.
 * @param {Worker} worker
 */
function end(worker) {
  if (!isNode) return worker.terminate();
  worker.ref(); // the end of the process would end it in the same way
  worker.postMessage(END);
  const late = setTimeout(() => worker.terminate(), END_MS);
  return new Promise((resolve) => worker.once('exit', (code) => (clearTimeout(late), resolve(code))));
}

/** Bun and Deno have no such zlib, and other ideas of what ends a worker. */
const isNode = !('Bun' in globalThis || 'Deno' in globalThis);

/**
 * A worker of Node in the shape of a browser's.
 * @template In, Out
 * @param {Worker} worker
 * @param {(worker: Worker) => unknown} [terminate]
 * @returns {WorkerEnd<In, Out>}
 */
function like(worker, terminate = (worker) => worker.terminate()) {
  const { threadId } = worker;
  let over = false;
  /** @type {WorkerEnd<In, Out>} */
  const shape = {
    tellsItsEnd: true,
    onmessage: null,
    onerror: null,
    postMessage: (message, transfer) => worker.postMessage(message, /** @type {any} */ (transfer)),
    terminate: () => (over ? undefined : terminate(worker)),
    addEventListener: (type, listener) => void worker.on(type, listener),
  };
  worker.on('message', (data) => shape.onmessage?.({ data }));
  worker.on('error', (error) => shape.onerror?.(error));
  worker.on('exit', (code) => {
    over = true;
    letGoOf(threadId);
    shape.onerror?.({ message: `its worker ended with exit code ${code}` });
  });
  worker.unref();
  return shape;
}
