// A further thread of the engine, as a worker.

import { join } from './threads.js';

join(/** @type {any} */ (self));
