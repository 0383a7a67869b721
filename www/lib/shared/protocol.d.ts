/**
 * The protocol between a page and the worker of its engine: every operation with its arguments, its result
 * and its pieces. `client/` and `worker/` know each other by these types alone, and tsc checks both sides
 * against them. Types only.
 */

import type {
  EngineEstimate,
  RunOptions,
  SessionStats,
  SmallFiles,
  TokenPiece,
} from './engine.d.ts';
import type {
  AppendOptions,
  Build,
  ContextOverflow,
  Continuation,
  ErrorCode,
  Message,
  MessageInput,
  ModelInfo,
  ModelStats,
  Piece,
  SessionOptions,
  StorageOptions,
  ThreadsReason,
  Timings,
  Usage,
} from './types.d.ts';

/** What the publisher states about a file. `id` differs for every content. */
export interface Pin {
  id: string;
  size?: number;
  sha256?: string;
}

/** A file to fetch. */
export interface FileWanted {
  /** The address of the folder it belongs to, by which stored files are known. */
  source: string;
  url: string;
  file: string;
  /** Whether it may be absent. */
  optional?: boolean;
  /** Whether it is a weight file. */
  weights?: boolean;
  pin?: Pin;
  /** The most bytes that it may have. */
  max?: number;
}

/** How much of a file is here. */
export interface FileNews {
  /** `download`: from the network; `cache`: from the stored files. */
  phase: 'download' | 'cache';
  bytes: number;
  total?: number;
}

/** A build, and how many threads to start. `memory` is there where they are more than one. */
export interface Choice {
  build: Build;
  threads: number;
  /** Whether the number may be lowered to the fastest one. */
  auto: boolean;
  memory?: WebAssembly.Memory;
  /** The most bytes that the memory can grow to. */
  memoryBytesMax?: number;
  reason?: ThreadsReason;
}

/** What a thread of the engine runs. */
export interface ThreadCode {
  build: Build;
  module: WebAssembly.Module;
  memory?: WebAssembly.Memory;
}

/** A conversation as the worker holds it. */
export interface SessionState {
  messages: Message[];
  options: SessionOptions;
  stats: SessionStats;
}

/** How a run ended. */
export interface RunEnd {
  choices: Continuation[];
  usage: Usage;
  timings: Timings;
  stats: SessionStats;
}

/** How a run ended that changed the conversation. */
export interface TurnEnd extends RunEnd {
  messages: Message[];
  options: SessionOptions;
}

/** What comes of a run before its end. */
export type RunPiece = Piece | { overflow: ContextOverflow };

/** What an operation takes, what it returns, and what it tells before its end. */
interface Operation<A, R, P = never> {
  args: A;
  result: R;
  piece: P;
}

/** The operations that load a model. Only the page that made the worker may ask for them. */
export interface LoadingOperations {
  /** Opens the stored files. The worker then holds the lock `alive` until it ends. */
  openFiles: Operation<{ modelCache: boolean; stallMs: number; alive?: string }, void>;
  /** Fetches the publisher's list of files. `needed`: to lack it is an error. */
  fetchList: Operation<{ wanted: FileWanted; needed: boolean }, Uint8Array | undefined, FileNews>;
  /** The names of the stored files of a source. */
  listStored: Operation<{ source: string }, string[]>;
  /** Notes in the stored files that the publisher has no such file. */
  markAbsent: Operation<{ wanted: FileWanted }, void>;
  /** Reads a small file. */
  readFile: Operation<{ wanted: FileWanted }, Uint8Array | undefined, FileNews>;
  /** Whether `special_tokens_map.json` and `added_tokens.json` count beside this file. */
  readsOlderFiles: Operation<{ tokenizerConfig?: Uint8Array }, boolean>;
  /** Downloads a file into the stored files, ahead of its use. */
  prefetch: Operation<{ wanted: FileWanted }, void, FileNews>;
  startEngine: Operation<Choice & { module: WebAssembly.Module }, void>;
  /**
   * Checks the small files and returns the names of the weight files. `gguf`: the name of a GGUF file; what
   * `files` has then goes before what it holds.
   */
  beginModel: Operation<{ files: Partial<SmallFiles>; gguf?: string; options: StorageOptions }, string[]>;
  /** Streams a weight file into the model. Returns whether there is such a file. */
  streamWeights: Operation<{ wanted: FileWanted }, boolean, FileNews>;
  /** Takes the next bytes of a weight file that the page reads itself. */
  pushWeights: Operation<{ chunk: Uint8Array }, void>;
  endWeights: Operation<{}, void>;
  /** `started`: threads that have started; `local`: no file came over a network. */
  finishModel: Operation<{ started: number; local: boolean }, ModelInfo>;
  /** Begins an estimate and returns the names of the weight files. */
  beginEstimate: Operation<{ files: Partial<Pick<SmallFiles, 'config' | 'index'>>; gguf?: string; options: StorageOptions }, string[]>;
  /**
   * Takes the first bytes of a weight file. Returns how many are needed if these do not suffice; undefined:
   * there is no such file.
   */
  estimateHead: Operation<{ wanted: FileWanted; bytes: number } | { head: Uint8Array }, number | undefined>;
  finishEstimate: Operation<{}, EngineEstimate>;
}

/** The operations on a model and its sessions. Every context with a port to the worker may ask for them. */
export interface ModelOperations {
  open: Operation<{ session: number; messages: Message[]; options: SessionOptions }, void>;
  close: Operation<{ session: number }, void>;
  clone: Operation<{ session: number; as: number }, SessionState>;
  restore: Operation<{ as: number; bytes: Uint8Array }, SessionState>;
  save: Operation<{ session: number; options: { cache?: boolean } }, Uint8Array>;
  generate: Operation<{ session: number; input: string; options: RunOptions }, RunEnd, RunPiece>;
  chat: Operation<{ session: number; input: string | MessageInput[]; options: RunOptions }, TurnEnd, RunPiece>;
  regenerate: Operation<{ session: number; options: RunOptions }, TurnEnd, RunPiece>;
  append: Operation<{ session: number; input: MessageInput[]; options: AppendOptions }, TurnEnd, RunPiece>;
  messages: Operation<{ session: number }, Message[]>;
  setMessages: Operation<{ session: number; messages: MessageInput[] }, Message[]>;
  reset: Operation<{ session: number }, SessionState>;
  stats: Operation<{ session: number }, SessionStats>;
  measure: Operation<
    { session: number; input: string | MessageInput[]; options: Omit<AppendOptions, 'overflow'> },
    number
  >;
  tokenize: Operation<{ text: string; options: { special?: boolean } }, Uint32Array>;
  pieces: Operation<{ text: string; options: { special?: boolean } }, TokenPiece[]>;
  detokenize: Operation<{ ids: Uint32Array; options: { skipSpecial?: boolean } }, string>;
  modelStats: Operation<{}, ModelStats>;
  /** Lets another context in by a further port. */
  connect: Operation<{ port: MessagePort }, void>;
  /**
   * The first message by such a port. `alive`: the lock that the context holds until it ends; `name`: the
   * worker's lock.
   */
  hello: Operation<{ alive: string }, { info: ModelInfo; name: string }>;
  /** The last message by such a port: closes its sessions. */
  bye: Operation<{}, void>;
}

export interface Operations extends LoadingOperations, ModelOperations {}

/** The name of an operation. */
export type Op = keyof Operations;
export type Args<O extends Op> = Operations[O]['args'];
export type Result<O extends Op> = Operations[O]['result'];
export type PieceOf<O extends Op> = Operations[O]['piece'];

/** A request for one operation: a union that `op` tells apart. Each has exactly one reply that ends it. */
export type OperationRequest<O extends Op = Op> = { [P in O]: { id: number; op: P; args: Args<P> } }[O];

/**
 * From the page to the worker. `abort` and `pace` are notices about an earlier request and have no reply.
 */
export type Request = OperationRequest | { abort: number } | { pace: number; until: number };

/** From the worker to the page: pieces while a request lasts, then its end. `fatal` ends all requests. */
export type Reply =
  | { id: number; piece: PieceOf<Op> }
  | { id: number; result: Result<Op> }
  | { id: number; error: WireError }
  | { fatal: WireError };

/** An error as plain data, since `postMessage` does not keep a class. */
export interface WireError {
  code: ErrorCode;
  message: string;
  details: Record<string, unknown>;
}

/**
 * Takes any function that takes such an event or less: browsers' own workers and ports fit, and so do
 * stand-ins.
 */
type Listener<E> = { listen(event: E): void }['listen'] | null;

/** What the page needs of a worker. */
export interface WorkerEnd<In, Out> {
  postMessage(message: In, transfer?: Transferable[]): void;
  /** Returns a promise where the worker ends in its own time. */
  terminate(): unknown;
  onmessage: Listener<{ data: Out }>;
  onerror?: Listener<{ message?: string; preventDefault?(): void }>;
  onmessageerror?: Listener<unknown>;
  addEventListener?(type: string, listener: () => void): void;
  /** Whether `onerror` is also called when the worker has ended, whatever ended it. */
  tellsItsEnd?: boolean;
}

/** What the page needs of the engine's worker, or of a port to one. */
export type WorkerLike = WorkerEnd<Request, Reply>;

/** What the page needs of the worker of a thread. It says that it is there, and nothing more. */
export type ThreadLike = WorkerEnd<ThreadCode, 'here'>;

/** The worker's own scope in such a worker. */
export interface ThreadPort {
  postMessage(message: 'here'): void;
  onmessage: Listener<{ data: ThreadCode }>;
}

/** What the worker needs of its global scope, or of a port to a page. */
export interface PortLike {
  postMessage(message: Reply, transfer?: Transferable[]): void;
  onmessage: Listener<{ data: unknown }>;
  onmessageerror?: Listener<unknown>;
  addEventListener?(type: string, listener: () => void): void;
}
