// The engine behind a message port, as worker.js is in a browser.

import { parentPort } from 'node:worker_threads';
import { serve } from '../worker/engine.js';
import { start } from '../worker/threads.js';
import { END, request } from './locks.js';
import { openFolder } from './store.js';

// This listener is added before that of the engine, for which this message is not. Only Node sends it. In
// Deno a second listener would keep messages from the engine.
if (!('Deno' in globalThis)) parentPort?.on('message', (message) => message === END && process.exit());

serve(/** @type {any} */ (parentPort), start, { open: openFolder, locks: () => /** @type {any} */ ({ request }) });
