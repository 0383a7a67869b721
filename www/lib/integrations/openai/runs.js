// One request's runs: a turn in the queue, a session, the engine; then the turn is the next one's. The engine gives text no faster than its client reads. A client that
// reads too slowly loses its turn, not its answer: others are answered until it has read, then its run goes on.

import { isFireside } from '../../shared/errors.js';
import { within } from '../wait.js';

/** @import { Piece, RunResult } from '../../shared/types.d.ts' */
/** @import { Full } from './outlet.js' */
/** @import { Owner } from './owners.js' */
/** @import { Queue } from './queue.js' */
/** @import { Input, Kept, Sessions } from './sessions.js' */

/** @typedef {{ sessions: Sessions, owner: Owner | undefined, inputs: Input[], options: Record<string, any> }} Job several inputs are answered one after the other */

/** Pieces that the engine computes before the last one was taken. */
const AHEAD = 2;

/** A client has so long to read before another's turn begins: one that reads as it should needs less. */
const PATIENCE_MS = 250;

/**
 * Errors: what the queue and the engine reject with.
 * @param {Queue} queue
 * @param {Job} job
 * @param {AbortSignal} signal
 * @param {(piece: Piece, input: number) => Full | undefined} [onPiece] gives what has to be waited for before the next piece
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
        // What is kept for later may be in the way of what is wanted now.
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
