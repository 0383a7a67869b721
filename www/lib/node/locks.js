// Locks that hold between the threads and processes of a machine, in the shape of a browser's `navigator.locks.request`: two programs that load the same
// model share one download.
//
//     a lock is a file that only one can make; it says whose it is, and is touched every second for as long as it is held
//     one whose process is gone, or that has not been touched for long (its thread was ended), is taken away and made anew
//
// Should two ever believe that they hold it (both took the same old one away in the same instant), the cost is a download, never a wrong file: every chunk
// that is kept has its checksum.

import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { cacheFolder } from './store.js';

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
  const folder = join(cacheFolder(), 'locks');
  await mkdir(folder, { recursive: true });
  const file = join(folder, createHash('sha256').update(name).digest('hex').slice(0, 32));
  while (!(await make(file))) {
    if (await isLeft(file)) await takeAway(file);
    else await wait(LOOK_MS, undefined, { signal });
  }
  const touching = setInterval(() => utimes(file, new Date(), new Date()).catch(() => {}), TOUCH_MS);
  try {
    signal.throwIfAborted();
    return await job();
  } finally {
    clearInterval(touching);
    rmSync(file, { force: true }); // at once: the worker may be ended before it would come to it
  }
}

/** Whether the lock's file could be made. @param {string} file */
async function make(file) {
  try {
    await writeFile(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (Reflect.get(error ?? {}, 'code') === 'EEXIST') return false;
    throw error;
  }
}

/** Whether nobody holds it any more. @param {string} file */
async function isLeft(file) {
  try {
    const [{ mtimeMs }, pid] = [await stat(file), Number(await readFile(file, 'utf8'))];
    return Date.now() - mtimeMs > STALE_MS || (pid > 0 && !isAlive(pid));
  } catch {
    return false; // let go of just now
  }
}

/** By another name first: of several who try, one can. @param {string} file */
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
