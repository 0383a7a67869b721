// fireside-lm: language models that run inside a browser tab. The engine is a worker; these are its proxies.

export { cache } from './cache.js';
export { FiresideError } from './errors.js';
export { Model } from './model.js';
export { Session } from './session.js';

/** @typedef {import('./types.d.ts').Source} Source */
/** @typedef {import('./types.d.ts').LoadOptions} LoadOptions */
/** @typedef {import('./types.d.ts').GenerateOptions} GenerateOptions */
/** @typedef {import('./types.d.ts').GenerateAliases} GenerateAliases */
/** @typedef {import('./types.d.ts').Message} Message */
/** @typedef {import('./types.d.ts').MessageInput} MessageInput */
/** @typedef {import('./types.d.ts').TextPart} TextPart */
/** @typedef {import('./types.d.ts').Role} Role */
/** @typedef {import('./types.d.ts').ContextOverflow} ContextOverflow */
/** @typedef {import('./types.d.ts').SessionEventMap} SessionEventMap */
/** @typedef {import('./types.d.ts').SessionOptions} SessionOptions */
/** @typedef {import('./types.d.ts').Continuation} Continuation */
/** @typedef {import('./types.d.ts').Likelihood} Likelihood */
/** @typedef {import('./types.d.ts').TokenLogprob} TokenLogprob */
/** @typedef {import('./types.d.ts').TokenPiece} TokenPiece */
/** @typedef {import('./types.d.ts').ModelStats} ModelStats */
/** @typedef {import('./types.d.ts').Estimate} Estimate */
/** @typedef {import('./types.d.ts').CachedModel} CachedModel */
/** @typedef {import('./types.d.ts').ModelFiles} ModelFiles */
/** @typedef {import('./types.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('./types.d.ts').Input} Input */
/** @typedef {import('./types.d.ts').Dtype} Dtype */
/** @typedef {import('./types.d.ts').Build} Build */
/** @typedef {import('./types.d.ts').Piece} Piece */
/** @typedef {import('./types.d.ts').Progress} Progress */
/** @typedef {import('./types.d.ts').RunResult} RunResult */
/** @typedef {import('./types.d.ts').SamplingDefaults} SamplingDefaults */
/** @typedef {import('./types.d.ts').SessionStats} SessionStats */
/** @typedef {import('./types.d.ts').ThreadsReason} ThreadsReason */
/** @typedef {import('./types.d.ts').CacheReason} CacheReason */
/** @typedef {import('./types.d.ts').Timings} Timings */
/** @typedef {import('./types.d.ts').Usage} Usage */
/** @typedef {import('./types.d.ts').ErrorCode} ErrorCode */
/** @typedef {import('./run.js').Run} Run */
