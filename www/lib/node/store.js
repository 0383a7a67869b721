// Node stores models in a folder of the user's cache, laid out as in browsers (shared/store.js), with the
// same journals and checksums.

import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { privateFiles } from '../shared/store.js';
import { Folder } from './disk.js';

/** The folder that models are stored in. */
export const cacheFolder = () => join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'fireside-lm');

/** The stored files; undefined where there is no such folder and none can be made. */
export async function openFolder() {
  try {
    const folder = join(cacheFolder(), 'models');
    await mkdir(folder, { recursive: true });
    return privateFiles(/** @type {any} */ (new Folder(folder)));
  } catch {
    return undefined;
  }
}
