// Locks between the threads and processes of a machine, in the shape of a browser's
// `navigator.locks.request`: two programs that load the same model share one download.
//
//     A lock is a file that only one of them can make. It names its owner (machine or container, process,
//     thread, and a random word), which touches it every second.
//     When a thread ends, the thread that started it removes its locks.
//     A lock whose process is gone, or that was not touched for long, is removed and made again. Of a
//     process elsewhere (another container with the same folder) only the touch is known.
//
// Should two owners ever hold the same lock (both removed the same old one in the same instant), the cost
// is a download, never a wrong file: every stored chunk has its checksum.

import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { threadId } from 'node:worker_threads';
import { cacheFolder } from './store.js';

/** What tells the engine's worker to end (platform.js, worker.js). */
export const END = 'end';

const TOUCH_MS = 1_000;
const STALE_MS = 10_000;
const LOOK_MS = 100;

/**
 * Resolves or rejects as `job` does, which runs once the lock is ours.
 * @param {string} name
 * @param {{ signal: AbortSignal }} options ends the waiting
 * @param {() => Promise<unknown>} job
 */
export async function request(name, { signal }, job) {
  const folder = lockFolder();
  await mkdir(folder, { recursive: true });
  const file = join(folder, createHash('sha256').update(name).digest('hex').slice(0, 32));
  const owner = JSON.stringify({ host: hostname(), pid: process.pid, thread: threadId, id: randomUUID() });
  while (!(await make(file, owner))) {
    if (await isLeft(file)) await takeAway(file);
    else await wait(LOOK_MS, undefined, { signal });
  }
  const touching = setInterval(() => touch(file, owner).catch(() => {}), TOUCH_MS);
  try {
    signal.throwIfAborted();
    return await job();
  } finally {
    clearInterval(touching);
    letGo(file, owner);
  }
}

const lockFolder = () => join(cacheFolder(), 'locks');

/** The files of all locks; none where there is no folder. */
function lockFiles() {
  try {
    return readdirSync(lockFolder()).map((name) => join(lockFolder(), name));
  } catch {
    return [];
  }
}

/** Removes the locks of a thread of this process that has ended. @param {number} thread */
export function letGoOf(thread) {
  for (const file of lockFiles()) {
    try {
      const owner = readFileSync(file, 'utf8');
      const { host, pid, thread: holder } = JSON.parse(owner);
      if (host === hostname() && pid === process.pid && holder === thread) letGo(file, owner);
    } catch {
      // removed or made just now
    }
  }
}

/** Whether the lock's file could be made. @param {string} file @param {string} owner */
async function make(file, owner) {
  try {
    await writeFile(file, owner, { flag: 'wx' });
    return true;
  } catch (error) {
    if (Reflect.get(error ?? {}, 'code') === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Touches a lock. After a long pause the lock may be another owner's.
 * @param {string} file
 * @param {string} owner
 */
async function touch(file, owner) {
  if ((await readFile(file, 'utf8')) === owner) await utimes(file, new Date(), new Date());
}

/**
 * Removes a lock, without waiting: the worker may be ended at once.
 * @param {string} file
 * @param {string} owner
 */
function letGo(file, owner) {
  try {
    if (readFileSync(file, 'utf8') === owner) rmSync(file, { force: true });
  } catch {
    // removed by another
  }
}

/** Whether nobody holds a lock any more. @param {string} file */
async function isLeft(file) {
  try {
    const [{ mtimeMs }, owner] = [await stat(file), await readFile(file, 'utf8')];
    return Date.now() - mtimeMs > STALE_MS || isGone(owner);
  } catch {
    return false; // let go of just now, or made just now
  }
}

/**
 * Whether the process of a lock is known to be gone. Throws where the lock is not written yet.
 * @param {string} owner as the file has it
 */
function isGone(owner) {
  const { host, pid } = JSON.parse(owner);
  return host === hostname() && !isAlive(pid);
}

/**
 * Removes a lock of another owner. It is renamed first: of several that try, one can.
 * @param {string} file
 */
async function takeAway(file) {
  const old = `${file}.${randomUUID()}`;
  await rename(file, old).then(() => rm(old, { force: true }), () => {});
}

/** @param {number} pid */
function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return Reflect.get(error ?? {}, 'code') === 'EPERM'; // another user's
  }
}
