// Made of the rows in src/options by `FIRESIDE_WRITE=1 cargo test --test options`.

import type { Progress } from './types.d.ts';

/** How a model is loaded. */
export interface LoadOptions {
  /**
   * The storage format of the weights. `auto` keeps that of the files, or takes the widest narrower one
   * that fits.
   * Values: one of auto, f32, f16, bf16, q8, q4.
   * Default: `'auto'`.
   */
  dtype?: 'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4';
  /**
   * The storage format of the KV cache: `f16` takes half the memory, `q8` about half of that.
   * Values: one of f32, f16, q8.
   * Default: `'f32'`.
   */
  kvDtype?: 'f32' | 'f16' | 'q8';
  /**
   * The bytes that `dtype: 'auto'` may spend on weights.
   * Values: a number of bytes.
   * Default: half of the device's memory, at most 2 GiB.
   */
  weightBytesMax?: number;
  /**
   * The bytes that the model may take in all. A model that needs more is refused with `OUT_OF_MEMORY`.
   * Values: a number of bytes.
   * Default: the device's memory if it is known, at most 4 GiB.
   */
  memoryBytesMax?: number;
  /**
   * The bytes that the KV caches of all sessions may take together. A token more is refused with
   * `OUT_OF_MEMORY`.
   * Values: a number of bytes.
   * Default: what `memoryBytesMax` leaves beside the weights.
   */
  kvBytesMax?: number;
  /**
   * The threads that compute. `auto` tries out what is fastest; in a browser several need a cross-origin
   * isolated page.
   * Values: "auto" or a whole number from 1 to 32.
   * Default: `'auto'`.
   */
  threads?: 'auto' | number;
  /**
   * Takes only builds that compute the same bits on every machine. They do without relaxed SIMD, which
   * is faster.
   * Values: true or false.
   * Default: `false`.
   */
  deterministic?: boolean;
  /**
   * Keeps the files in the browser for the next time, and takes them from there.
   * Values: true or false.
   * Default: `true`.
   */
  cache?: boolean;
  /**
   * A download that brings nothing for this many milliseconds starts again where it stopped.
   * Values: a whole number of milliseconds.
   * Default: 20,000.
   */
  stallMs?: number;
  /**
   * Says what the files must be: `true` for the `fireside.lock.json` beside them, or the URL of another
   * lock file.
   * Values: true, or the URL of a lock file.
   * Default: `false`.
   */
  lock?: boolean | string | URL;
  /**
   * A chat template in place of the model's.
   * Values: the text of a template.
   * Default: the model's.
   */
  chatTemplate?: string;
  /**
   * Is called with the progress of the load.
   * Values: a function.
   * Default: none.
   */
  onProgress?: (progress: Progress) => void;
  /**
   * Aborts the load.
   * Values: an AbortSignal.
   * Default: none.
   */
  signal?: AbortSignal;
  /**
   * The address that `hf:` sources are fetched from.
   * Values: an absolute URL.
   * Default: https://huggingface.co.
   */
  hub?: string | URL;
  /**
   * How the engine's worker starts: from `worker.js` beside the library, or from a `blob:` URL, which
   * needs `worker-src blob:`.
   * Values: one of file, blob.
   * Default: `'file'`.
   */
  worker?: 'file' | 'blob';
}

/** The options of loading that the engine takes. */
export type StorageOptions = Pick<LoadOptions, 'dtype' | 'kvDtype' | 'weightBytesMax' | 'memoryBytesMax' | 'kvBytesMax'>;

/** What a generation is asked for. The engine checks it and refuses unknown names. */
export interface GenerateOptions {
  /**
   * The most tokens to generate.
   * Values: a whole number from 1.
   * Default: 512, or `minTokens` if that is more.
   */
  maxTokens?: number;
  /**
   * The least tokens to generate before the text may end.
   * Values: a whole number from 0 to maxTokens (0 is off).
   * Default: 0.
   */
  minTokens?: number;
  /**
   * Divides the logits: likely tokens gain below 1, unlikely ones above 1.
   * Values: a number from 0 (0 is greedy).
   * Default: 0.7; 1 or 0 if the model's file says `do_sample: true` or `false`.
   */
  temperature?: number;
  /**
   * Keeps only the k likeliest tokens.
   * Values: a whole number from 0 (0 is off).
   * Default: 0; 50 with `do_sample: true`.
   */
  topK?: number;
  /**
   * Keeps the fewest of the likeliest tokens that together have this probability.
   * Values: a number above 0 and at most 1.
   * Default: 0.95; 1, which is off, with `do_sample: true`.
   */
  topP?: number;
  /**
   * Keeps only tokens at least this likely, relative to the likeliest.
   * Values: a number from 0 to 1.
   * Default: 0: off.
   */
  minP?: number;
  /**
   * Keeps the tokens whose surprise is nearest to the expected one and that together have this
   * probability.
   * Values: a number above 0 and at most 1.
   * Default: 1: off.
   */
  typicalP?: number;
  /**
   * Makes tokens that are already in the text less likely: divides their logits, or multiplies them if
   * they are negative.
   * Values: a number above 0 (1 is off).
   * Default: 1.
   */
  repetitionPenalty?: number;
  /**
   * Subtracted from the logit of a token for each time it was generated.
   * Values: a number from -2 to 2 (0 is off).
   * Default: 0.
   */
  frequencyPenalty?: number;
  /**
   * Subtracted from the logit of each token that was generated, however often.
   * Values: a number from -2 to 2 (0 is off).
   * Default: 0.
   */
  presencePenalty?: number;
  /**
   * Added to the logits of these tokens.
   * Values: an object of at most 1024 token ids, each with a number from -100 to 100.
   * Default: none.
   */
  logitBias?: Record<number, number>;
  /**
   * The text ends before any of these texts or token ids, besides those of the model.
   * Values: a text or a token id or a list of them, at most 16 texts, none of them empty, and 64 ids.
   * Default: none; the `stop_strings` of the model's file end a text in any case.
   */
  stop?: string | number | (string | number)[];
  /**
   * The text ends before any of these token ids, besides those of `stop`.
   * Values: a token id or a list of at most 64.
   * Default: none.
   */
  stopTokenIds?: number | number[];
  /**
   * The seed of the random choices. The same seed gives the same text.
   * Values: a whole number from 0 to 2^53 - 1.
   * Default: drawn for each run.
   */
  seed?: number;
  /**
   * Tells the log-probability of each token, and of this many of the likeliest in its place.
   * Values: a whole number from 0 to 20, or true for 0.
   * Default: off.
   */
  logprobs?: boolean | number;
  /**
   * How many completions to generate for the prompt. The first one is a chat's answer.
   * Values: a whole number from 1 to 16.
   * Default: 1.
   */
  n?: number;
  /**
   * What to do when the context is full: refuse, drop the oldest turns, or forget the middle of the
   * text.
   * Values: "error", "drop-oldest" or "shift".
   * Default: `'error'`.
   */
  overflow?: 'error' | 'drop-oldest' | 'shift';
  /**
   * In a chat, what the model's chat template reads besides the messages. The session keeps it.
   * Values: an object of values for the names that the chat template reads.
   * Default: those of the session.
   */
  chatTemplateKwargs?: Record<string, unknown>;
  /**
   * No sequence of this many tokens occurs twice, the prompt included.
   * Values: a whole number from 0 (0 is off).
   * Default: 0.
   */
  noRepeatNgramSize?: number;
  /**
   * No sequence of this many tokens of the prompt is repeated.
   * Values: a whole number from 0 (0 is off).
   * Default: 0.
   */
  encoderNoRepeatNgramSize?: number;
  /**
   * Makes tokens of the prompt more likely (above 1) or less likely (below 1).
   * Values: a number above 0 (1 is off).
   * Default: 1.
   */
  encoderRepetitionPenalty?: number;
  /**
   * Sequences of token ids that are not generated. A token that ends the text may be.
   * Values: a list of lists of token ids, none of them empty, at most 65536 ids in all (an empty list is
   * off).
   * Default: none.
   */
  badWordsIds?: number[][];
  /**
   * Added to the logit of the last token of a sequence if the text ends with the tokens before it.
   * Values: a list of pairs [list of token ids, number], at most 65536 ids in all (an empty list is
   * off).
   * Default: none.
   */
  sequenceBias?: [number[], number][];
  /**
   * Token ids that are never generated.
   * Values: a token id or a list of at most 65536 (an empty list is off).
   * Default: none.
   */
  suppressTokens?: number | number[];
  /**
   * Token ids that are not generated first.
   * Values: a token id or a list of at most 65536 (an empty list is off).
   * Default: none.
   */
  beginSuppressTokens?: number | number[];
  /**
   * The token after a prompt of exactly one token is one of these.
   * Values: a token id or a list of at most 65536 (an empty list is off).
   * Default: none.
   */
  forcedBosTokenId?: number | number[];
  /**
   * The last token of a text that reaches `maxTokens` is one of these.
   * Values: a token id or a list of at most 65536 (an empty list is off).
   * Default: none.
   */
  forcedEosTokenId?: number | number[];
  /**
   * From the first number of generated tokens on, the factor by which tokens that end the text gain with
   * each token.
   * Values: a pair [whole number from 0, number from 0] (an empty list is off).
   * Default: none.
   */
  exponentialDecayLengthPenalty?: [number, number] | [];
  /**
   * Keeps the likeliest tokens that together have this share of the entropy.
   * Values: a number from 0 to 1 (0 is off).
   * Default: 0.
   */
  topH?: number;
  /**
   * Keeps the tokens that are at least this likely.
   * Values: a number from 0 to below 1 (0 is off).
   * Default: 0.
   */
  epsilonCutoff?: number;
  /**
   * As `epsilonCutoff`, with a lower bound where the model is unsure.
   * Values: a number from 0 to below 1 (0 is off).
   * Default: 0.
   */
  etaCutoff?: number;
  /**
   * Aborts the run: while it waits, in its prompt and in its text.
   * Values: an AbortSignal.
   * Default: none.
   */
  signal?: AbortSignal;
}

/** The spellings of OpenAI's, Hugging Face's and vLLM's APIs. An option may be given in one spelling only. */
export interface GenerateAliases {
  max_tokens?: number;
  max_new_tokens?: number;
  maxNewTokens?: number;
  max_completion_tokens?: number;
  maxCompletionTokens?: number;
  min_tokens?: number;
  min_new_tokens?: number;
  minNewTokens?: number;
  top_k?: number;
  top_p?: number;
  min_p?: number;
  typical_p?: number;
  repetition_penalty?: number;
  frequency_penalty?: number;
  presence_penalty?: number;
  logit_bias?: Record<number, number>;
  stop_strings?: string | number | (string | number)[];
  stopStrings?: string | number | (string | number)[];
  stop_token_ids?: number | number[];
  chat_template_kwargs?: Record<string, unknown>;
  no_repeat_ngram_size?: number;
  encoder_no_repeat_ngram_size?: number;
  encoder_repetition_penalty?: number;
  bad_words_ids?: number[][];
  sequence_bias?: [number[], number][];
  suppress_tokens?: number | number[];
  begin_suppress_tokens?: number | number[];
  forced_bos_token_id?: number | number[];
  forced_eos_token_id?: number | number[];
  exponential_decay_length_penalty?: [number, number] | [];
  top_h?: number;
  epsilon_cutoff?: number;
  eta_cutoff?: number;
}

/** The sampling options that a model's `generation_config.json` may set, with every default filled in. */
export interface SamplingDefaults {
  maxTokens: number;
  minP: number;
  minTokens: number;
  repetitionPenalty: number;
  temperature: number;
  topK: number;
  topP: number;
  typicalP: number;
}
