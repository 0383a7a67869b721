// Made of the rows in src/options by `FIRESIDE_WRITE=1 cargo test --test options`.

/** @import { Option } from './cli-options.js' */

/** @type {Record<string, Option>} */
export const LOADING = {
  'dtype': { key: 'dtype', takes: 'FORMAT', about: 'The storage format of the weights. `auto` keeps that of the files, or takes the widest narrower one that fits (one of auto, f32, f16, bf16, q8, q4)' },
  'kv-dtype': { key: 'kvDtype', takes: 'FORMAT', about: 'The storage format of the KV cache: `f16` takes half the memory, `q8` about half of that (one of f32, f16, q8)' },
  'threads': { key: 'threads', takes: 'N', read: 'numberOrAuto', about: 'The threads that compute. `auto` tries out what is fastest; in a browser several need a cross-origin isolated page (auto or a whole number from 1 to 32)' },
  'hub': { key: 'hub', takes: 'URL', about: 'The address that `hf:` sources are fetched from (an absolute URL)' },
};

/** @type {Record<string, Option>} */
export const SAMPLING = {
  'max-tokens': { key: 'maxTokens', takes: 'N', read: 'number', about: 'The most tokens to generate' },
  'min-tokens': { key: 'minTokens', takes: 'N', read: 'number', about: 'The least tokens to generate before the text may end (0 is off)' },
  'temperature': { key: 'temperature', takes: 'T', read: 'number', about: 'Divides the logits: likely tokens gain below 1, unlikely ones above 1 (0 is greedy)' },
  'top-k': { key: 'topK', takes: 'K', read: 'number', about: 'Keeps only the k likeliest tokens (0 is off)' },
  'top-p': { key: 'topP', takes: 'P', read: 'number', about: 'Keeps the fewest of the likeliest tokens that together have this probability' },
  'min-p': { key: 'minP', takes: 'P', read: 'number', about: 'Keeps only tokens at least this likely, relative to the likeliest' },
  'typical-p': { key: 'typicalP', takes: 'P', read: 'number', about: 'Keeps the tokens whose surprise is nearest to the expected one and that together have this probability' },
  'repetition-penalty': { key: 'repetitionPenalty', takes: 'X', read: 'number', about: 'Makes tokens that are already in the text less likely: divides their logits, or multiplies them if they are negative (1 is off)' },
  'frequency-penalty': { key: 'frequencyPenalty', takes: 'X', read: 'number', about: 'Subtracted from the logit of a token for each time it was generated (0 is off)' },
  'presence-penalty': { key: 'presencePenalty', takes: 'X', read: 'number', about: 'Subtracted from the logit of each token that was generated, however often (0 is off)' },
  'logit-bias': { key: 'logitBias', takes: 'ID=BIAS', read: 'bias', multiple: true, about: 'Added to the logits of these tokens; can be repeated' },
  'stop': { key: 'stop', takes: 'TEXT', multiple: true, about: 'The text ends before any of these texts or token ids, besides those of the model; can be repeated' },
  'stop-token': { key: 'stopTokenIds', takes: 'ID', read: 'number', multiple: true, about: 'The text ends before any of these token ids, besides those of `stop`; can be repeated' },
  'seed': { key: 'seed', takes: 'N', read: 'number', about: 'The seed of the random choices. The same seed gives the same text' },
  'logprobs': { key: 'logprobs', takes: 'K', read: 'number', about: 'Tells the log-probability of each token, and of this many of the likeliest in its place' },
  'n': { key: 'n', takes: 'N', read: 'number', short: 'n', about: 'How many completions to generate for the prompt. The first one is a chat\'s answer' },
  'overflow': { key: 'overflow', takes: 'POLICY', about: 'What to do when the context is full: refuse, drop the oldest turns, or forget the middle of the text (error, drop-oldest or shift)' },
};
