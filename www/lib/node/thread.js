// A further thread of the engine, as thread.js is in a browser.

import { parentPort } from 'node:worker_threads';
import { join } from '../threads.js';

join(/** @type {any} */ (parentPort));
