// One request's runs: a turn in the queue, a session, the engine; then the turn is the next one's. Text goes out as it comes and waits for nobody: a client that reads
// slowly keeps no other waiting.

import { isFireside } from '../../errors.js';

/** @import { Piece, RunResult } from '../../types.d.ts' */
/** @import { Owner } from './owners.js' */
/** @import { Queue } from './queue.js' */
/** @import { Input, Sessions } from './sessions.js' */

/** @typedef {{ sessions: Sessions, owner: Owner | undefined, inputs: Input[], options: Record<string, any> }} Job several inputs are answered one after the other */

/**
 * Errors: what the queue and the engine reject with.
 * @param {Queue} queue
 * @param {Job} job
 * @param {AbortSignal} signal
 * @param {(piece: Piece, input: number) => void} [onPiece]
 * @returns {Promise<RunResult[]>} one for each input
 */
export async function perform(queue, { sessions, owner, inputs, options }, signal, onPiece = () => {}) {
  const leave = await queue.enter(signal);
  try {
    const results = [];
    for (const [index, input] of inputs.entries()) {
      let isHeard = false;
      const hear = (/** @type {Piece} */ piece) => {
        isHeard = true;
        onPiece(piece, index);
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
 * @param {(piece: Piece) => void} onPiece
 * @returns {Promise<RunResult>}
 */
async function runOnce(sessions, owner, input, options, onPiece) {
  const kept = await sessions.take(input, owner, options.signal);
  let answer = '';
  try {
    const run = input.kind === 'chat' ? kept.session.chat(input.messages, options) : kept.session.generate(input.text, options);
    for await (const piece of run) {
      if (!piece.choice) answer += piece.text;
      onPiece(piece);
    }
    return await run;
  } finally {
    await sessions.give(kept, input, answer);
  }
}
