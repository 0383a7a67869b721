// The runs of one request: it takes a turn in the queue, gets a session, runs the engine and ends the turn.
// The engine generates no faster than the client reads. A client that reads too slowly loses its turn, not
// its answer: others are answered until it has read, then its run continues.

import { isFireside } from '../../shared/errors.js';
import { within } from '../wait.js';

/** @import { Piece, RunResult } from '../../shared/types.d.ts' */
/** @import { Full } from './outlet.js' */
/** @import { Owner } from './owners.js' */
/** @import { Queue } from './queue.js' */
/** @import { Input, Kept, Sessions } from './sessions.js' */

/**
 * @typedef {{ sessions: Sessions, owner: Owner | undefined, inputs: Input[], options: Record<string, any> }}
 *   Job several inputs are answered one after the other
 */

/** How many pieces the engine computes ahead of the reader. */
const AHEAD = 2;

/**
 * How long a client may take to read before another request's turn begins. An ordinary client needs less.
 */
const PATIENCE_MS = 250;

/**
 * Errors: those of the queue and the engine.
 * @param {Queue} queue
 * @param {Job} job
 * @param {AbortSignal} signal
 * @param {(piece: Piece, input: number) => Full | undefined} [onPiece] returns what to wait for before the
 *   next piece
 * @returns {Promise<RunResult[]>} one for each input
 */
export async function perform(queue, { sessions, owner, inputs, options }, signal, onPiece = () => undefined) {
  let leave = await queue.enter(signal);
  /** @param {Full} full @param {Kept} kept */
  const wait = async ({ room, cut }, kept) => {
    if (await within(room.then(() => true), PATIENCE_MS, false)) return;
    leave();
    kept.cut = cut;
    await room;
    kept.cut = undefined;
    leave = await queue.enter(signal, { isBack: true });
  };
  try {
    const results = [];
    for (const [index, input] of inputs.entries()) {
      let isHeard = false;
      const hear = (/** @type {Piece} */ piece, /** @type {Kept} */ kept) => {
        isHeard = true;
        const full = onPiece(piece, index);
        return full && wait(full, kept);
      };
      try {
        results.push(await runOnce(sessions, owner, input, { ...options, signal }, hear));
      } catch (error) {
        // Idle sessions may hold the memory that this run needs.
        if (isHeard || sessions.size === 0 || !isFireside(error) || error.code !== 'OUT_OF_MEMORY') throw error;
        sessions.clear();
        results.push(await runOnce(sessions, owner, input, { ...options, signal }, hear));
      }
    }
    return results;
  } finally {
    leave();
  }
}

/**
 * @param {Sessions} sessions
 * @param {Owner | undefined} owner
 * @param {Input} input
 * @param {Record<string, any>} options
 * @param {(piece: Piece, kept: Kept) => Promise<void> | undefined} onPiece
 * @returns {Promise<RunResult>}
 */
async function runOnce(sessions, owner, input, options, onPiece) {
  const kept = await sessions.take(input, owner, options.signal);
  let answer = '';
  try {
    const run = input.kind === 'chat' ? kept.session.chat(input.messages, options) : kept.session.generate(input.text, options);
    // A model that is not ours may have runs that do not wait.
    for await (const piece of run.paced?.(AHEAD) ?? run) {
      if (!piece.choice) answer += piece.text;
      await onPiece(piece, kept);
    }
    return await run;
  } finally {
    await sessions.give(kept, input, answer);
  }
}
