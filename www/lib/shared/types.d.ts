/** The public types of the package. Those of the engine are derived from its Rust code. Types only. */

import type { EngineEstimate, EngineModelInfo, EngineStats } from './engine.d.ts';
import type { Continuation, TokenLogprob, Usage } from './engine.d.ts';
import type { GenerateAliases, GenerateOptions, LoadOptions } from './option-types.d.ts';

export type { Continuation, Likelihood, SessionStats, TokenLogprob, TokenPiece, Usage } from './engine.d.ts';
export type { GenerateAliases, GenerateOptions, LoadOptions, SamplingDefaults, StorageOptions } from './option-types.d.ts';

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

export type Dtype = NonNullable<LoadOptions['dtype']>;

/** One file's content, in any of the shapes in which a browser holds one. */
export type Input = Uint8Array | ArrayBuffer | Blob | Response | ReadableStream<Uint8Array> | URL;

/**
 * A model as separate files. `chatTemplate` may be the template's text itself. A GGUF file needs no other;
 * one that is given goes before what the GGUF file holds.
 */
export interface ModelFiles {
  /** Needed beside safetensors files, as is `tokenizer`. */
  config?: Input;
  tokenizer?: Input;
  /**
   * One file, or the shards in the order (or with the names) that `index` gives them, or a GGUF file, or the
   * parts of one.
   */
  weights: Input | Input[];
  tokenizerConfig?: Input;
  generationConfig?: Input;
  /**
   * `special_tokens_map.json` and `added_tokens.json`. They count where `tokenizer_config.json` has no
   * `added_tokens_decoder`.
   */
  specialTokensMap?: Input;
  addedTokens?: Input;
  /** `chat_template.jinja`, or a template of yours; it wins over the one in `tokenizerConfig`. */
  chatTemplate?: Input | string;
  /** `model.safetensors.index.json`, where there are several weight files. */
  index?: Input;
}

/**
 * The URL of a folder in Hugging Face layout or of a GGUF file (in Node also its path),
 * `hf:owner/name@revision`, `hf:owner/name:Q4_K_M`, `hf:owner/name/file.gguf`, a GGUF file, a list of
 * `File`s, a folder on disk, or each file by itself.
 */
export type Source = string | URL | Blob | ModelFiles | Iterable<File> | ArrayLike<File> | FileSystemDirectoryHandle;

export interface Progress {
  /**
   * `download` while files come from the network, `cache` while they come from the stored files, `build`
   * once, when everything has arrived.
   */
  phase: 'download' | 'cache' | 'build';
  /** The file at hand. */
  file: string;
  /** Bytes of all files so far; never runs backwards. */
  loaded: number;
  /** Bytes of all files, once known. */
  total?: number;
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

/** The options of a new session. */
export interface SessionOptions {
  /**
   * The system prompt: the first message of each history that does not begin with a system message.
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
