// The library's worker in a world that lacks something.

import './lack.js';
import '/lib/worker.js';
