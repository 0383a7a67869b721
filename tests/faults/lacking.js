// The library's worker in an environment that lacks a feature.

import './lack.js';
import '/lib/worker.js';
