/** The words of the worker's own modules. Types only. */

import type { Model } from '../shared/engine.d.ts';
import type { Args, Choice, Op, PieceOf, Result } from '../shared/protocol.d.ts';
import type { ThreadsReason } from '../shared/types.d.ts';

type Module = typeof import('../shared/engine.d.ts');

/** What only the builds with threads have. */
type Threads = 'startPool' | 'joinPool' | 'failPool' | 'limitThreads' | 'threads' | 'Rehearsal';

/** The wasm module, `pkg/<build>.js`. */
export type EngineModule = Omit<Module, Threads> & Partial<Pick<Module, Threads>>;

/** The engine in its worker. */
export interface Engine {
  wasm: EngineModule;
  memory?: WebAssembly.Memory;
  /**
   * Decides how many of the threads that have started compute this model; the engine's own is one of them.
   */
  settle(model: Model, started: number): Promise<{ threads: number; reason?: ThreadsReason }>;
}

/** Starts the engine of a choice. Tests bring their own. */
export type StartEngine = (choice: Choice & { module: WebAssembly.Module }) => Promise<Engine>;

/** A request under way, as its handler sees it. */
export interface Ticket<O extends Op> {
  readonly aborted: boolean;
  /** Whether it waits for its turn. An abort then ends it at once. */
  waits: boolean;
  /** How many pieces the page wants so far. */
  readonly wanted: number;
  /** Resolves when `aborted` or `wanted` has changed, or when `wake` is called. */
  change(): Promise<void>;
  wake(): void;
  post(piece: PieceOf<O>): void;
}

/** What the worker does for each operation. */
export type Handlers<O extends Op> = {
  [P in O]: (args: Args<P>, ticket: Ticket<P>) => Result<P> | Promise<Result<P>>;
};
