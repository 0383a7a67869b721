// The module worker: the engine behind a message port.

import { serve } from './engine.js';
import { start } from './threads.js';

serve(/** @type {any} */ (self), start);
