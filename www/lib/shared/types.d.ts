/** The words shared by the page, the worker and the raw wasm. Types only; nothing here exists at run time. */

import type { FiresideError } from './errors.js';

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

/** What a token had for it. Units: natural logarithms of probabilities, as the model gave them, before penalties and filters. */
export interface Likelihood {
  id: number;
  /** What it spells by itself, special tokens shown; half a character is U+FFFD here and whole in the bytes of its tokens together. */
  text: string;
  bytes: number[];
  logprob: number;
}

/** A token that was drawn. */
export interface TokenLogprob extends Likelihood {
  /** As many as were asked for, the likeliest first. */
  top: Likelihood[];
}

/** A token of a text, and what of the text it stands for, in UTF-16 units. */
export interface TokenPiece {
  id: number;
  text: string;
  start: number;
  end: number;
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
  /** What the assistant thought before it said `content`: `message.reasoning_content` of a template, which decides whether it stays in the prompt. */
  reasoning_content?: string;
}

/** A message as it may be passed. */
export type MessageInput = Omit<Message, 'content'> & { content: string | TextPart[] };

/** What a session is opened with. */
export interface SessionOptions {
  /** What the model is told before the chat: the first message of every history that does not begin with a system message of its own. */
  system?: string;
  /** As in the options of a chat, from its first turn on. */
  chatTemplateKwargs?: Record<string, unknown>;
  chat_template_kwargs?: Record<string, unknown>;
}

export interface Usage {
  promptTokens: number;
  completionTokens: number;
  /** Tokens of the prompt whose computation was reused from the session's cache. */
  cachedTokens: number;
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

/** One of `n` continuations. */
export interface Continuation {
  text: string;
  finishReason: 'stop' | 'length' | 'abort';
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

export interface SamplingDefaults {
  maxTokens: number;
  minTokens: number;
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  typicalP: number;
  repetitionPenalty: number;
}

/** What a model's sessions hold together. Units: bytes. */
export interface ModelStats {
  sessions: number;
  /** Of their KV caches; what several share is counted once. */
  kvBytes: number;
  kvBytesMax?: number;
  wasmBytes: number;
}

/** A build of the engine, as its files are named. */
export type Build = 'simd128' | 'relaxed' | 'simd128-threads' | 'relaxed-threads';

/**
 * Why a model is computed on one thread though more were possible or asked for: the page is not cross-origin isolated (send COOP and COEP, or use
 * `fireside-lm/isolation`); the browser has no threads in WebAssembly, or no memory for them; the machine has one core; no further worker could start;
 * one thread was the fastest when `auto` tried.
 */
export type ThreadsReason = 'not-isolated' | 'unsupported' | 'no-memory' | 'one-core' | 'not-started' | 'not-faster';

/**
 * Why files were not kept: `cache: false`; the browser keeps none here (a private window, a page from plain http); there is no room for them; what was kept got
 * lost under way; they were in the page's hands anyway.
 */
export type CacheReason = 'off' | 'unavailable' | 'quota' | 'lost' | 'local';

/** What a model would take. Units: bytes and tokens. */
export interface Estimate {
  /** How its weights would be stored. */
  dtype: string;
  weightBytes: number;
  /** Of its weight files: the download. */
  fileBytes: number;
  kvBytesPerToken: number;
  kvBytesPer1000Tokens: number;
  /** Tokens of context that it was made for, and for which there is room. */
  context: number;
  contextThatFits: number;
  /** At the peak of loading: the weights and all that is not the KV cache. */
  loadBytes: number;
  /** What there is. */
  memoryBytes: number;
  fits: boolean;
  /** Where it does not fit: what would. */
  remedy?: string;
}

/** What is kept of a model. */
export interface CachedModel {
  /** The address that it was loaded from. */
  source: string;
  bytes: number;
  complete: boolean;
  files: { file: string; bytes: number; complete: boolean }[];
}

export interface ModelInfo {
  build: Build;
  /** The threads in use. */
  threads: number;
  threadsReason?: ThreadsReason;
  /** Where its files were or went: kept for the next time, all of them taken from there, or not kept. */
  cache: 'stored' | 'reused' | 'none';
  cacheReason?: CacheReason;
  family: string;
  parameters: number;
  vocab: number;
  layers: number;
  hidden: number;
  context: number;
  dtype: string;
  weightBytes: number;
  kvBytesPerToken: number;
  /** Whose template `chat` uses; `broken`: the model's cannot be used, and `chat` rejects with BAD_TEMPLATE until you load with one of yours. */
  chatTemplate: 'model' | 'chatml' | 'broken';
  /** What the chat template reads besides the messages: names for `chatTemplateKwargs`. */
  chatTemplateKwargs: string[];
  /** The fields of a message that the chat template reads: `role`, `content`, perhaps `name` and `reasoning_content`. */
  messageFields: string[];
  kernels: string;
  defaults: SamplingDefaults;
  /** The fields of `config.json` and `generation_config.json` that are not used, by name; a file that cannot be read by its own. `load` warns of them once. */
  ignoredConfig: string[];
  /** Tensors of the weight files that the model does not read, numbers as `*` and how many: `mtp.layers.*.norm.weight (2)`. */
  ignoredTensors: string[];
}

export interface SessionStats {
  contextUsage: number;
  contextWindow: number;
  kvBytes: number;
  /** What of them it shares with other sessions, since it was cloned. */
  sharedBytes: number;
  wasmBytes: number;
}

/** A file of a model as the raw loader takes it. */
export interface RawFiles {
  config: Uint8Array;
  tokenizer: Uint8Array;
  index?: Uint8Array;
  tokenizerConfig?: Uint8Array;
  generationConfig?: Uint8Array;
  specialTokensMap?: Uint8Array;
  addedTokens?: Uint8Array;
  chatTemplate?: Uint8Array;
}

export type RawLoadOptions = Pick<LoadOptions, 'dtype' | 'kvDtype' | 'weightBytesMax' | 'memoryBytesMax' | 'kvBytesMax'>;

export type RawStep =
  | ({ kind: 'overflow' } & ContextOverflow)
  | { kind: 'prefill'; done: number; total: number; work: number }
  | { kind: 'token'; text: string; completionTokens: number; choice: number; logprobs?: TokenLogprob }
  | { kind: 'end'; text: string; choices: Continuation[]; usage: Usage };

export interface RawRun {
  /** `prefillWork`: what of the prompt this step and those after it compute about, in tokens times layers. */
  step(prefillWork?: number): RawStep;
  abort(): unknown;
  free(): void;
}

export interface RawSession {
  generate(prompt: string, options?: object): RawRun;
  chat(input: string | MessageInput[], options?: object): RawRun;
  regenerate(options?: object): RawRun;
  /** Of the options, `overflow` and `chatTemplateKwargs`. */
  append(messages: MessageInput[], options?: object): RawRun;
  clone(): RawSession;
  save(options?: { cache?: boolean }): Uint8Array;
  messages(): Message[];
  /** The system prompt, and the switches of the template as of the last turn. */
  options(): SessionOptions;
  setMessages(messages: MessageInput[]): void;
  reset(): void;
  stats(): SessionStats;
  measureContextUsage(input: string | MessageInput[], options?: Pick<GenerateOptions, 'chatTemplateKwargs'>): number;
  info(): ReturnType<RawModel['info']>;
  free(): void;
}

export interface RawModel {
  /** Of the model alone: the choice of the build is not the engine's. */
  info(): Omit<ModelInfo, 'build' | 'threads' | 'threadsReason' | 'cache' | 'cacheReason'>;
  session(options?: SessionOptions): RawSession;
  restore(bytes: Uint8Array): RawSession;
  stats(): Omit<ModelStats, 'sessions'>;
  tokenize(text: string, options?: { special?: boolean }): Uint32Array;
  pieces(text: string, options?: { special?: boolean }): TokenPiece[];
  detokenize(ids: Uint32Array, options?: { skipSpecial?: boolean }): string;
  free(): void;
}

export interface RawLoader {
  files(): string[];
  push(chunk: Uint8Array): void;
  endFile(): void;
  finish(): RawModel;
  free(): void;
}

export interface RawSurvey {
  files(): string[];
  header(head: Uint8Array): number;
  finish(): Omit<Estimate, 'kvBytesPer1000Tokens'>;
  free(): void;
}

/** A wasm-bindgen module `pkg/<build>.js`. What is optional is only there in builds with threads. */
export interface RawModule {
  default(input?: { module_or_path: unknown; memory?: WebAssembly.Memory; thread_stack_size?: number }): Promise<{ memory: WebAssembly.Memory }>;
  initSync(input: { module: unknown; memory?: WebAssembly.Memory }): unknown;
  startPool?(threads: number): void;
  joinPool?(): void;
  failPool?(): void;
  limitThreads?(threads: number): void;
  threads?(): number;
  Rehearsal?: new (model: RawModel) => { step(): void; free(): void };
  buildInfo(): { kernels: string; version: string };
  /** Whether `special_tokens_map.json` and `added_tokens.json` count beside this file. */
  readsOlderFiles(tokenizerConfig?: Uint8Array): boolean;
  Loader: new (files: RawFiles, options?: RawLoadOptions) => RawLoader;
  Survey: new (files: Pick<RawFiles, 'config' | 'index'>, options?: RawLoadOptions) => RawSurvey;
  Sha256: new () => { update(bytes: Uint8Array): void; digest(): string; free(): void };
  Model: { prototype: RawModel };
  Session: {
    prototype: RawSession;
    fromBytes(
      config: Uint8Array,
      tokenizer: Uint8Array,
      weights: Uint8Array | Uint8Array[],
      options?: Partial<RawFiles> & RawLoadOptions & SessionOptions,
    ): RawSession;
  };
  Run: { prototype: RawRun };
}

/** Page to worker: one request has exactly one reply; `abort` is a notice about an earlier request and has none. */
export type Request = { id: number; op: string; args: any } | { abort: number } | { pace: number; until: number };

/** Worker to page: pieces (of text, or news of a file) while a request lasts, then its one end; `fatal` ends them all. */
export type Reply =
  { id: number; piece: any } | { id: number; result: unknown } | { id: number; error: WireError } | { fatal: WireError };

/** An error as plain data, since a class does not survive `postMessage`. */
export interface WireError {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
}

/** The two ends of a worker, as `worker-client.js` needs them. */
export interface WorkerLike {
  postMessage(message: Request, transfer?: Transferable[]): void;
  /** A promise where the worker ends in its own time. */
  terminate(): unknown;
  onmessage: ((event: MessageEvent<Reply>) => void) | null;
  onerror?: ((event: any) => void) | null;
  onmessageerror?: ((event: any) => void) | null;
  addEventListener?(type: string, listener: () => void): void;
  /** Whether `onerror` is also told that it has ended, whatever ended it. */
  tellsItsEnd?: boolean;
}

/** The worker's side, as `engine.js` needs it. */
export interface PortLike {
  addEventListener?(type: string, listener: () => void): void;
  onmessageerror?: ((event: any) => void) | null;
  postMessage(message: Reply, transfer?: Transferable[]): void;
  onmessage: ((event: any) => void) | null;
}

/** A build, and how many threads to start; `memory` is there where they are more than one. */
export interface Choice {
  build: Build;
  threads: number;
  /** Whether the number may be lowered to what is fastest. */
  auto: boolean;
  memory?: WebAssembly.Memory;
  /** As far as that can grow. */
  memoryBytesMax?: number;
  reason?: ThreadsReason;
}

/** The engine in its worker. */
export interface Engine {
  wasm: RawModule;
  memory?: WebAssembly.Memory;
  /** Decides how many threads compute this model, of those that have started, the engine's own among them. */
  settle(model: RawModel, started: number): Promise<{ threads: number; reason?: ThreadsReason }>;
}

/** Brings a choice to life; tests bring their own. */
export type StartEngine = (choice: Choice & { module: any }) => Promise<Engine>;

/** What loading needs of where it runs: a browser or Node; tests bring their own. */
export interface Platform {
  /** Throws where this environment cannot run the engine. */
  check(): void;
  choose(wanted: { threads: 'auto' | number; deterministic: boolean }): Choice;
  /** The compiled engine, or rejects saying why not. */
  compile(build: Build): Promise<unknown>;
  /** What has to be there before a worker can start. It takes at most `stallMs`, and resolves early where `signal` is aborted. */
  prepare?(kind: LoadOptions['worker'], stallMs: number, signal?: AbortSignal): Promise<void>;
  spawn(kind: LoadOptions['worker']): WorkerLike;
  spawnThread(kind: LoadOptions['worker']): WorkerLike;
  /** Why a worker ended before it said anything; `detail`: what was heard of it. */
  notStarted(kind: LoadOptions['worker'], detail?: string): Promise<FiresideError>;
  /** Keeps the process alive until the returned function is called, where a process could end. */
  hold?(): () => void;
  /** Of the machine, where that is known. Units: bytes. */
  memoryBytes?(): number;
  /** Where addresses may be those of folders and files on disk: what such an address stands for; undefined where it is another. */
  disk?: {
    folder(address: string | URL): FileSystemDirectoryHandle | undefined;
    file(address: URL): File | undefined;
  };
}
