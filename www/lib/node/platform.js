// What loading needs, as Node has it: workers are worker_threads, the engine's code lies beside the library, memory can always be shared.
//
// A worker keeps the process alive for as long as something is asked of it, and no longer: a program that has its text ends by itself, whether it disposed
// of the model or not, as one does that forgot to close an idle file.

import { readFile } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { Worker } from 'node:worker_threads';
import { choose, compile } from '../builds.js';
import { disk } from './disk.js';

/** @import { Platform, WorkerLike } from '../types.d.ts' */

/** The program's own flags (a loader, a test runner, the type of its input) are not for workers. */
const OPTIONS = { execArgv: [] };

/** @type {Platform} */
export const node = {
  check() {}, // every Node that this is for has what the engine needs

  choose: (wanted) => choose(wanted, { cores: availableParallelism(), isolated: true }),
  compile: (build) => compile(build, read),
  spawn: () => like(new Worker(new URL('./worker.js', import.meta.url), { ...OPTIONS, name: 'fireside' })),
  spawnThread: () => like(new Worker(new URL('./thread.js', import.meta.url), { ...OPTIONS, name: 'fireside-thread' })),

  memoryBytes() {
    const allowed = process.constrainedMemory?.() ?? 0; // 0 or beyond all memory: no limit
    return allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  },

  disk,
};

/** The engine's code. @param {URL} url */
async function read(url) {
  const code = await readFile(url).catch((error) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  return code ? new Response(code, { headers: { 'Content-Type': 'application/wasm' } }) : new Response(null, { status: 404 });
}

/** A worker in the shape of a browser's. @param {Worker} worker @returns {WorkerLike} */
function like(worker) {
  /** @type {WorkerLike} */
  const shape = {
    tellsItsEnd: true,
    onmessage: null,
    onerror: null,
    postMessage: (message, transfer) => worker.postMessage(message, /** @type {any} */ (transfer)),
    terminate: () => void worker.terminate(),
    addEventListener: (type, listener) => void worker.on(type, listener),
    ref: () => worker.ref(),
    unref: () => worker.unref(),
  };
  worker.on('message', (data) => shape.onmessage?.(/** @type {any} */ ({ data })));
  worker.on('error', (error) => shape.onerror?.(error));
  worker.on('exit', (code) => shape.onerror?.({ message: `its worker ended with exit code ${code}` }));
  worker.unref();
  return shape;
}
