// A further thread of the engine, as worker.js is in a browser by its other name.

import { parentPort } from 'node:worker_threads';
import { join } from '../worker/threads.js';

join(/** @type {any} */ (parentPort));
