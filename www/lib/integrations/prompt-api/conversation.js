// The conversation of a session of the Prompt API: the initial prompts, which stay, and the turns after them.
// When the context is full, the oldest turns are dropped.
//
// This does not use the engine's `overflow: 'drop-oldest'`, which frees a quarter of the context at once,
// drops unanswered questions only together, keeps only system messages, and is rolled back by an abort. The
// specification drops as few turns as necessary, for good, and keeps all initial prompts.

import { quotaExceeded } from './exceptions.js';
import { canonical } from './input.js';

/** @import { Message } from '../../shared/types.d.ts' */
/** @import { Longhand } from './input.js' */
/** @import { Shared } from './shared.js' */

/**
 * Old turns are dropped if the answer would have less room than one ANSWER_PARTth of the window, at most
 * ANSWER_TOKENS.
 */
const [ANSWER_PART, ANSWER_TOKENS] = [8, 256];

export class Conversation {
  #shared;
  /** Messages that are never dropped. @type {Message[]} */
  #initial = [];
  /** Messages that may be dropped. Another list after each change. @type {Message[]} */
  history = [];
  /** The tokens of all messages. */
  usage = 0;

  /**
   * @param {Shared} shared
   * @param {number} window the tokens that the model can hold
   */
  constructor(shared, window) {
    this.#shared = shared;
    this.window = window;
  }

  get messages() {
    return [...this.#initial, ...this.history];
  }

  copy() {
    const copy = new Conversation(this.#shared, this.window);
    [copy.#initial, copy.history, copy.usage] = [this.#initial, this.history, this.usage];
    return copy;
  }

  /** Sets the initial prompts. @param {Message[]} initial @param {number} usage */
  begin(initial, usage) {
    [this.#initial, this.usage] = [initial, usage];
  }

  /**
   * Adds a turn. A system prompt at the beginning of the conversation becomes an initial prompt.
   * @param {Message[]} asked
   * @param {Message[]} answer
   * @param {number} usage of all messages then
   */
  add(asked, answer, usage) {
    const begins = asked[0].role === 'system' ? 1 : 0;
    this.#initial = [...this.#initial, ...asked.slice(0, begins)];
    this.history = [...this.history, ...asked.slice(begins), ...answer];
    this.usage = usage;
  }

  /**
   * Checks messages and makes room for them. Throws QuotaExceededError and drops nothing if they cannot fit.
   * @param {Longhand[]} given
   * @param {boolean} forAnswer whether an answer follows
   */
  async fit(given, forAnswer) {
    const messages = canonical(given, this.messages.length > 0);
    const asked = (/** @type {Message[]} */ history) => [...this.#initial, ...history, ...messages];
    const take = (/** @type {Message[]} */ history) => (forAnswer ? this.#shared.tokens(asked(history)) : this.#shared.usage(asked(history)));
    let history = this.history;
    let tokens = await take(history);
    const room = forAnswer ? Math.min(ANSWER_TOKENS, Math.floor(this.window / ANSWER_PART)) : 1;
    if (tokens + room <= this.window) return { messages, isDropped: false };
    const least = history.length > 0 ? await take([]) : tokens;
    if (least >= this.window) {
      const usage = await this.#shared.usage(asked([]));
      throw quotaExceeded(usage < this.window ? least : usage, this.window);
    }
    // A prompt that leaves less room even alone gets what there is.
    const wanted = Math.min(room, this.window - least);
    while (tokens + wanted > this.window) {
      history = history.slice(turnLength(history));
      tokens = await take(history);
    }
    if (history === this.history) return { messages, isDropped: false };
    this.history = history;
    this.usage = this.messages.length > 0 ? await this.#shared.usage(this.messages) : 0;
    return { messages, isDropped: true };
  }
}

/**
 * The length of the oldest turn: up to the end of its answer, or one message if none is answered.
 * @param {Message[]} history
 */
function turnLength(history) {
  const answer = history.findIndex(({ role }) => role === 'assistant');
  const next = history.findIndex(({ role }, index) => index > answer && role !== 'assistant');
  if (answer < 0) return 1;
  return next < 0 ? history.length : next;
}
