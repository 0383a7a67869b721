// The module worker: the engine behind a message port.

import { serve } from './engine.js';
import { wasm } from './wasm.js';

serve(/** @type {any} */ (self), wasm);
