/** The public types of the package. Those of the engine are derived from its Rust code. Types only. */

import type { EngineEstimate, EngineModelInfo, EngineStats } from './engine.d.ts';
import type { Continuation, TokenLogprob, Usage } from './engine.d.ts';

export type { Continuation, Likelihood, SamplingDefaults, SessionStats, TokenLogprob, TokenPiece, Usage } from './engine.d.ts';

/** What a program branches on. The first ten come from the engine, the others from JavaScript. */
export type ErrorCode =
  | 'NOT_A_MODEL_FILE'
  | 'BAD_FILE'
  | 'UNSUPPORTED_MODEL'
  | 'BAD_TOKENIZER'
  | 'BAD_TEMPLATE'
  | 'OUT_OF_MEMORY'
  | 'CONTEXT_OVERFLOW'
  | 'BAD_OPTION'
  | 'BAD_INPUT'
  | 'NON_FINITE'
  | 'INTEGRITY'
  | 'NETWORK'
  | 'DISPOSED'
  | 'CRASHED'
  | 'UNSUPPORTED_ENVIRONMENT';

export type Dtype = 'auto' | 'f32' | 'f16' | 'bf16' | 'q8' | 'q4';

/** One file's content, in any of the shapes in which a browser holds one. */
export type Input = Uint8Array | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array> | URL;

/** A model as separate files. `chatTemplate` may be the template's text itself. */
export interface ModelFiles {
  config: Input;
  tokenizer: Input;
  /** One file, or the shards in the order (or with the names) that `index` gives them. */
  weights: Input | Input[];
  tokenizerConfig?: Input;
  generationConfig?: Input;
  /** `special_tokens_map.json` and `added_tokens.json`: they count where `tokenizer_config.json` has no `added_tokens_decoder`. */
  specialTokensMap?: Input;
  addedTokens?: Input;
  /** `chat_template.jinja`, or a template of yours; it wins over the one in `tokenizerConfig`. */
  chatTemplate?: Input | string;
  /** `model.safetensors.index.json`, where there are several weight files. */
  index?: Input;
}

/** A folder URL in Hugging Face layout (in Node also a folder's path), `hf:owner/name@revision`, a list of `File`s, a folder on disk, or the files one by one. */
export type Source = string | URL | ModelFiles | Iterable<File> | ArrayLike<File> | FileSystemDirectoryHandle;

export interface Progress {
  /** `download` while files stream in, `cache` while they are read from the browser's own files, `build` once, when everything has arrived. */
  phase: 'download' | 'cache' | 'build';
  /** The file at hand. */
  file: string;
  /** Bytes of all files so far; never runs backwards. */
  loaded: number;
  /** Bytes of all files, once known. */
  total?: number;
}

export interface LoadOptions {
  /** How weights are stored: `auto` keeps the file's own format, or takes the widest narrower one that `weightBytesMax` has room for; `info().dtype` tells. */
  dtype?: Dtype;
  /** How the KV cache is stored: f32 unless said otherwise; f16 takes half the memory. */
  kvDtype?: 'f32' | 'f16';
  /** What `dtype: 'auto'` may spend on weights; half of the device's memory, at most 2 GiB, unless said otherwise. */
  weightBytesMax?: number;
  /** How many threads compute: `auto` tries out what is fastest here. More than one needs a cross-origin isolated page; `info().threads` tells. */
  threads?: 'auto' | number;
  /** Only builds that compute the same bits on every machine: without relaxed SIMD, which is faster. */
  deterministic?: boolean;
  /** What the KV caches of all sessions may take together; what is left of `memoryBytesMax` beside the weights, unless said otherwise. A token more is refused with OUT_OF_MEMORY. */
  kvBytesMax?: number;
  /** What the model may take in all: the device's memory as far as it is known, at most 4 GiB, unless said otherwise. One that needs more is refused with OUT_OF_MEMORY. */
  memoryBytesMax?: number;
  /** Whether files are kept in the browser for the next time, and taken from there: true unless said otherwise. */
  cache?: boolean;
  /** A download from which nothing came for so many milliseconds is begun again where it stopped; 20,000 unless said otherwise. */
  stallMs?: number;
  /**
   * What the files are to be: `true` for the `fireside.lock.json` beside them, or the URL of another. The load then takes only what the lock file states, and
   * rejects where there is no lock file. Of `hf:` sources the hub's own list tells the same.
   */
  lock?: boolean | string | URL;
  /** A chat template of yours in place of the model's, whatever the source. */
  chatTemplate?: string;
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
  /** Where `hf:` sources are fetched from; https://huggingface.co unless said otherwise. */
  hub?: string | URL;
  /** How the engine's worker starts: `file`, unless said otherwise, from worker.js beside the library; `blob` where that is of another origin, a CDN (needs `worker-src blob:`). */
  worker?: 'file' | 'blob';
}

/** The options of loading that the engine takes. */
export type StorageOptions = Pick<LoadOptions, 'dtype' | 'kvDtype' | 'weightBytesMax' | 'memoryBytesMax' | 'kvBytesMax'>;

/** Sampling and length. The engine checks these, with their aliases, and refuses what it does not know. */
export interface GenerateOptions {
  maxTokens?: number;
  /** The text does not end before so many tokens. */
  minTokens?: number;
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  typicalP?: number;
  repetitionPenalty?: number;
  frequencyPenalty?: number;
  presencePenalty?: number;
  /** Added to the logits of these token ids: -100 to 100. */
  logitBias?: Record<number, number>;
  /** Texts, and ids of tokens, that end the text and are not part of it, besides the model's own. */
  stop?: string | number | (string | number)[];
  /** Ids of tokens that end the text, beside those of `stop`. */
  stopTokenIds?: number | number[];
  /** No sequence of so many tokens occurs twice, the prompt included; 0 is off. */
  noRepeatNgramSize?: number;
  /** No sequence of so many tokens of the prompt is repeated; 0 is off. */
  encoderNoRepeatNgramSize?: number;
  /** Above 1, tokens of the prompt are more likely. */
  encoderRepetitionPenalty?: number;
  /** Sequences of token ids that are not generated. */
  badWordsIds?: number[][];
  /** Added to the logit of the last id of a sequence where the others precede it. */
  sequenceBias?: [number[], number][];
  /** Ids of tokens that are never generated. */
  suppressTokens?: number | number[];
  /** Ids of tokens that are not generated first. */
  beginSuppressTokens?: number | number[];
  /** The token after a prompt of one token. */
  forcedBosTokenId?: number | number[];
  /** The last token of a text of `maxTokens`. */
  forcedEosTokenId?: number | number[];
  /** From the first number of generated tokens on, the ends gain by the second with each token. */
  exponentialDecayLengthPenalty?: [number, number] | [];
  topH?: number;
  epsilonCutoff?: number;
  etaCutoff?: number;
  seed?: number;
  /** Tell the probability of each token, and of so many of the likeliest in its place: 0 to 20; `true` is 0. */
  logprobs?: boolean | number;
  /** So many continuations of one prompt, one after the other: 1 to 16. The first one is a chat's answer. */
  n?: number;
  /**
   * What to do where the context is too small: `error`, unless said otherwise, refuses the prompt and changes nothing; `drop-oldest` drops whole turns of the chat, the
   * oldest first and never the system's; `shift` lets a text run on, forgetting its middle: the first few tokens and the latest stay.
   */
  overflow?: 'error' | 'drop-oldest' | 'shift';
  /**
   * Of a chat: values for what the model's chat template reads besides the messages, `{ enable_thinking: false }` say; `info().chatTemplateKwargs` names them. They stay with
   * the session until others are given; `{}` takes them back.
   */
  chatTemplateKwargs?: Record<string, unknown>;
  signal?: AbortSignal;
}

/** The spellings of OpenAI's, Hugging Face's and vLLM's APIs, which are taken as well. An option may be given in one spelling only. */
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
  stop_strings?: string | string[];
  stopStrings?: string | string[];
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

/** The options of reading messages without an answer. */
export type AppendOptions = Pick<GenerateOptions, 'overflow' | 'chatTemplateKwargs'> & Pick<GenerateAliases, 'chat_template_kwargs'>;

/** What was forgotten for want of room: the detail of the event `contextoverflow`. */
export interface ContextOverflow {
  droppedMessages: number;
  /** Of the prompt, or of the text so far. */
  droppedTokens: number;
}

/** The events of a session, by their types. */
export interface SessionEventMap {
  contextoverflow: CustomEvent<ContextOverflow>;
}

/** An EventTarget that knows the events of `Events`. */
export interface TypedEventTarget<Events> extends EventTarget {
  addEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof Events>(type: K, listener: (event: Events[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** Who speaks. Which of them a model knows, its chat template decides. */
export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool';

/** A message's content in parts: they are joined, with nothing in between. */
export interface TextPart {
  type: 'text';
  text: string;
}

/** A message of a chat. Those that a session gives have a text as their content. */
export interface Message {
  role: Role;
  content: string;
  /** Which of several users or assistants speaks: `message.name` of a template. */
  name?: string;
  /**
   * What the assistant thought before it said `content`: `message.reasoning_content` of a template, which
   * decides whether it stays in the prompt.
   */
  reasoning_content?: string;
}

/** A message as it may be passed. */
export type MessageInput = Omit<Message, 'content'> & { content: string | TextPart[] };

/** What a session is opened with. */
export interface SessionOptions {
  /**
   * What the model is told before the chat: the first message of every history that does not begin with a
   * system message of its own.
   */
  system?: string;
  /** As in the options of a chat, from its first turn on. */
  chatTemplateKwargs?: Record<string, unknown>;
  chat_template_kwargs?: Record<string, unknown>;
}

/** Milliseconds on the wall clock of the worker, from the run's turn in the queue. */
export interface Timings {
  prefillMs: number;
  decodeMs: number;
  /** Until the first token. */
  ttftMs: number;
  /** Tokens that were computed (not cached) per second of prefill. */
  prefillTokensPerSecond: number;
  decodeTokensPerSecond: number;
}

/** What the async iterator of a run yields: whole characters, some tokens' worth of them. */
export interface Piece {
  text: string;
  /** Tokens generated so far. */
  completionTokens: number;
  /** Decode speed so far. */
  tokensPerSecond: number;
  /** Which of `n` continuations it belongs to, from 0. */
  choice: number;
  /** Of its tokens, where they were asked for. */
  logprobs?: TokenLogprob[];
}

/** A run that has ended; its text is that of its first choice. */
export interface RunResult extends Continuation {
  choices: Continuation[];
  usage: Usage;
  timings: Timings;
  /** The turn that a chat added to the history. */
  message?: Message;
}

/** What the sessions of a model hold together. Units: bytes. */
export interface ModelStats extends EngineStats {
  sessions: number;
}

/** A build of the engine, as its files are named. */
export type Build = 'simd128' | 'relaxed' | 'simd128-threads' | 'relaxed-threads';

/**
 * Why a model is computed on one thread though more were possible or asked for: the page is not
 * cross-origin isolated (send COOP and COEP, or use `fireside-lm/isolation`); the browser has no threads in
 * WebAssembly, or no memory for them; the machine has one core; no further worker could start; one thread
 * was the fastest when `auto` tried.
 */
export type ThreadsReason = 'not-isolated' | 'unsupported' | 'no-memory' | 'one-core' | 'not-started' | 'not-faster';

/**
 * Why files were not kept: `cache: false`; the browser keeps none here (a private window, a page from plain
 * http); there is no room for them; what was kept got lost under way; they were in the page's hands anyway.
 */
export type CacheReason = 'off' | 'unavailable' | 'quota' | 'lost' | 'local';

/** What a model would take. Units: bytes and tokens. */
export interface Estimate extends EngineEstimate {
  kvBytesPer1000Tokens: number;
}

/** What is kept of a model. */
export interface CachedModel {
  /** The address that it was loaded from. */
  source: string;
  bytes: number;
  complete: boolean;
  files: { file: string; bytes: number; complete: boolean }[];
}

/** What is known of a loaded model. */
export interface ModelInfo extends EngineModelInfo {
  build: Build;
  /** The threads in use. */
  threads: number;
  threadsReason?: ThreadsReason;
  /** Where its files were or went: kept for the next time, all of them taken from there, or not kept. */
  cache: 'stored' | 'reused' | 'none';
  cacheReason?: CacheReason;
}
