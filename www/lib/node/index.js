// fireside-lm in Node: the same code as in a browser, on Node's platform: worker_threads, files on disk,
// models stored in a folder.
//
//     import { Session } from 'fireside-lm';
//     const session = await Session.load('models/story');

import { modelCacheIn } from '../client/model-cache.js';
import { runOn } from '../client/platform.js';
import { node } from './platform.js';
import { openFolder } from './store.js';

runOn(node);

/**
 * The stored files of models on this machine: in `$XDG_CACHE_HOME/fireside-lm`, or `~/.cache/fireside-lm`.
 */
export const modelCache = modelCacheIn(openFolder);

/** @deprecated Use `modelCache`. */
export const cache = modelCache;

export { FiresideError } from '../shared/errors.js';
export { Model } from '../client/model.js';
export { Session } from '../client/session.js';
