// The worker's script: the engine behind a message port, or a further thread of one, as its name says. One
// script, so that a page that copies its files by hand has one to copy.

import { serve } from './worker/engine.js';
import { join, start } from './worker/threads.js';

if (self.name === 'fireside-thread') join(/** @type {any} */ (self));
else serve(/** @type {any} */ (self), start);
