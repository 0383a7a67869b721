/** The words of the page's own modules. Types only. */

import type { FiresideError } from '../shared/errors.js';
import type { Choice, ThreadLike, WorkerLike } from '../shared/protocol.d.ts';
import type { Build, LoadOptions, StorageOptions } from '../shared/types.d.ts';

/** What loading needs of where it runs: a browser or Node. Tests bring their own. */
export interface Platform {
  /** Throws where this environment cannot run the engine. */
  check(): void;
  choose(wanted: { threads: 'auto' | number; deterministic: boolean }): Choice;
  /** The compiled engine, or rejects with the reason why not. */
  compile(build: Build): Promise<WebAssembly.Module>;
  /**
   * Prepares the start of a worker. Takes at most `stallMs`, and resolves early where `signal` is aborted.
   */
  prepare?(kind: LoadOptions['worker'], stallMs: number, signal?: AbortSignal): Promise<void>;
  spawn(kind: LoadOptions['worker']): WorkerLike;
  spawnThread(kind: LoadOptions['worker']): ThreadLike;
  /** Why a worker ended before it said anything. `detail`: what was heard of it. */
  notStarted(kind: LoadOptions['worker'], detail?: string): Promise<FiresideError>;
  /** Keeps the process alive until the returned function is called, where a process could end. */
  hold?(): () => void;
  /** Of the machine, where that is known. Units: bytes. */
  memoryBytes?(): number;
  /**
   * Where addresses may be folders and files on disk; undefined where the address is another. `open`: such a
   * folder, or a GGUF file with its other parts; `file`: such a file.
   */
  disk?: {
    open(address: string | URL): FileSystemDirectoryHandle | File[] | undefined;
    file(address: URL): File | undefined;
  };
}

/** The options of a load after their checks, with their defaults. */
export interface Settings extends Required<Pick<LoadOptions, 'threads' | 'deterministic' | 'stallMs' | 'lock' | 'hub' | 'worker'>> {
  storage: StorageOptions & { memoryBytesMax: number };
  modelCache: boolean;
  chatTemplate?: string;
  onProgress?: LoadOptions['onProgress'];
  signal?: AbortSignal;
}
