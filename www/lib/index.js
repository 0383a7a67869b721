// fireside-lm: language models that run inside a browser tab. The engine is a worker; these are its proxies.

export { modelCache } from './client/model-cache.js';
/** @deprecated Use `modelCache`. */
export { modelCache as cache } from './client/model-cache.js';
export { FiresideError } from './shared/errors.js';
export { Model } from './client/model.js';
export { Session } from './client/session.js';

/** @typedef {import('./shared/types.d.ts').Source} Source */
/** @typedef {import('./shared/types.d.ts').LoadOptions} LoadOptions */
/** @typedef {import('./shared/types.d.ts').GenerateOptions} GenerateOptions */
/** @typedef {import('./shared/types.d.ts').GenerateAliases} GenerateAliases */
/** @typedef {import('./shared/types.d.ts').AppendOptions} AppendOptions */
/** @typedef {import('./shared/types.d.ts').Message} Message */
/** @typedef {import('./shared/types.d.ts').MessageInput} MessageInput */
/** @typedef {import('./shared/types.d.ts').TextPart} TextPart */
/** @typedef {import('./shared/types.d.ts').Role} Role */
/** @typedef {import('./shared/types.d.ts').ContextOverflow} ContextOverflow */
/** @typedef {import('./shared/types.d.ts').SessionEventMap} SessionEventMap */
/** @typedef {import('./shared/types.d.ts').SessionOptions} SessionOptions */
/** @typedef {import('./shared/types.d.ts').Continuation} Continuation */
/** @typedef {import('./shared/types.d.ts').Likelihood} Likelihood */
/** @typedef {import('./shared/types.d.ts').TokenLogprob} TokenLogprob */
/** @typedef {import('./shared/types.d.ts').TokenPiece} TokenPiece */
/** @typedef {import('./shared/types.d.ts').ModelStats} ModelStats */
/** @typedef {import('./shared/types.d.ts').Estimate} Estimate */
/** @typedef {import('./shared/types.d.ts').CachedModel} CachedModel */
/** @typedef {import('./shared/types.d.ts').ModelFiles} ModelFiles */
/** @typedef {import('./shared/types.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('./shared/types.d.ts').Input} Input */
/** @typedef {import('./shared/types.d.ts').Dtype} Dtype */
/** @typedef {import('./shared/types.d.ts').Build} Build */
/** @typedef {import('./shared/types.d.ts').Piece} Piece */
/** @typedef {import('./shared/types.d.ts').Progress} Progress */
/** @typedef {import('./shared/types.d.ts').RunResult} RunResult */
/** @typedef {import('./shared/types.d.ts').SamplingDefaults} SamplingDefaults */
/** @typedef {import('./shared/types.d.ts').SessionStats} SessionStats */
/** @typedef {import('./shared/types.d.ts').ThreadsReason} ThreadsReason */
/** @typedef {import('./shared/types.d.ts').CacheReason} CacheReason */
/** @typedef {import('./shared/types.d.ts').Timings} Timings */
/** @typedef {import('./shared/types.d.ts').Usage} Usage */
/** @typedef {import('./shared/types.d.ts').ErrorCode} ErrorCode */
/** @typedef {import('./client/run.js').Run} Run */
