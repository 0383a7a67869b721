// The API has no memory: every request brings its whole text. But most of the text was computed for the
// request before. So the handler keeps sessions, and a request gets the session of its owner with the
// longest common beginning:
//
//     the text continues where a session stopped:   that session
//     else, with a common beginning:                a clone of it; the session stays for its own continuation
//     else:                                         a new session
//
// Sessions of other owners are never used (owners.js says why). Only a prompt that the server's operator
// declared public is computed once for all owners: its session has read nothing else, and a request that
// begins with it gets a clone.
//
// If there are too many sessions, the party with the most of them loses its least recently used one. So a
// client with many requests pushes out its own sessions. Answers do not depend on any of this, because a
// session reuses exactly what is equal.

import { isFireside } from '../../shared/errors.js';

/** @import { Message } from '../../shared/types.d.ts' */
/** @import { Model } from '../../client/model.js' */
/** @import { Session } from '../../client/session.js' */
/** @import { Owner } from './owners.js' */

/** @typedef {{ kind: 'text', text: string } | { kind: 'chat', messages: Message[] }} Input */

/**
 * @typedef {object} Kept
 * @property {Session} session
 * @property {Owner | undefined} owner none: it is not kept once its request has ended
 * @property {string} held the text that its cache stands for
 * @property {boolean} isBusy
 * @property {boolean} isLast its owner has left: it is not kept once its request has ended
 * @property {number} kvBytes
 * @property {(() => void) | undefined} cut ends its request, which waits for a client that does not read
 */

/** Less in common than this, in UTF-16 units, is not worth a clone: computing it takes no longer. */
const WORTHWHILE = 16;

export class Sessions {
  #model;
  #sessionsMax;
  #kvBytesMax;
  #publicPrompts;
  /** The one that was of use last stands last. @type {Set<Kept>} */
  #kept = new Set();
  /**
   * Sessions of public prompts, by kind and text. Each has read nothing else. Undefined if the model cannot
   * read the prompt alone.
   * @type {Map<string, Promise<Session | undefined>>}
   */
  #public = new Map();

  /**
   * @param {Model} model
   * @param {{ sessionsMax: number, kvBytesMax: number, publicPrompts: readonly string[] }} limits
   *   `kvBytesMax`: of the KV caches of all kept sessions except the latest
   */
  constructor(model, { sessionsMax, kvBytesMax, publicPrompts }) {
    this.#model = model;
    this.#sessionsMax = sessionsMax;
    this.#kvBytesMax = kvBytesMax;
    // Of two that fit, the longer one.
    this.#publicPrompts = [...publicPrompts].sort((a, b) => b.length - a.length);
  }

  /** Sessions that could be freed for memory. */
  get size() {
    return this.#kept.size + this.#public.size;
  }

  /**
   * A session for this text, nobody else's until it is given back.
   * @param {Input} input
   * @param {Owner | undefined} owner
   * @param {AbortSignal} signal of the request: a public prompt may have to be read first
   * @returns {Promise<Kept>}
   */
  async take(input, owner, signal) {
    const { best, common } = this.#closest(textOf(input), owner);
    if (best && common === best.held.length) return this.#use(best);
    const prompt = this.#publicPromptOf(input);
    if (prompt !== undefined && prompt.length > common) {
      const base = await this.#publicSession(input.kind, prompt, signal);
      signal.throwIfAborted(); // an owner that has left gets no session any more
      this.#makeRoom(owner);
      return this.#open(owner, async () => (base ? base.clone() : this.#model.session()));
    }
    if (!best || common < WORTHWHILE) {
      this.#makeRoom(owner);
      return this.#open(owner, async () => this.#model.session());
    }
    this.#use(best);
    this.#makeRoom(owner);
    if (this.#kept.size >= this.#sessionsMax) return best;
    try {
      return await this.#open(owner, () => best.session.clone());
    } finally {
      best.isBusy = false;
    }
  }

  /**
   * Takes a session back. One whose engine is gone, or whose owner is, is not kept.
   * @param {Kept} kept
   * @param {Input} input what it read
   * @param {string} answer what it wrote
   */
  async give(kept, input, answer) {
    kept.held = textOf(input) + answer;
    try {
      kept.kvBytes = (await kept.session.stats()).kvBytes;
    } catch {
      this.#forget(kept);
    }
    kept.isBusy = false;
    if (!kept.owner || kept.isLast) this.#forget(kept);
    // By then all may have been freed.
    if (!this.#kept.has(kept)) return kept.session.dispose();
    const total = () => sum(this.#kept, ({ kvBytes }) => kvBytes);
    this.#drop(() => total() > this.#kvBytesMax, { weight: ({ kvBytes }) => kvBytes, except: kept });
  }

  /** Frees what is kept for a party that will not come back. @param {unknown} party */
  leave(party) {
    for (const kept of [...this.#kept]) {
      if (kept.owner?.party !== party) continue;
      if (kept.isBusy) kept.isLast = true;
      else this.#forget(kept);
    }
  }

  /**
   * Frees every idle session; with `isOver` also the busy ones, whose engine is stuck.
   * @param {{ isOver?: boolean }} [how]
   */
  clear({ isOver = false } = {}) {
    for (const kept of [...this.#kept]) if (isOver || !kept.isBusy) this.#forget(kept);
    for (const session of this.#public.values()) session.then((session) => session?.dispose(), () => {});
    this.#public.clear();
  }

  /** @param {string} wanted @param {Owner | undefined} owner */
  #closest(wanted, owner) {
    /** @type {{ best?: Kept, common: number }} */
    let found = { common: 0 };
    for (const kept of this.#kept) {
      if (kept.isBusy || !isSame(kept.owner, owner)) continue;
      const common = commonLength(kept.held, wanted);
      // Of equals the one that has nothing else.
      const isBetter = !found.best || common > found.common || (common === found.common && kept.held.length <= found.best.held.length);
      if (isBetter) found = { best: kept, common };
    }
    return found;
  }

  /**
   * The public prompt at the beginning of a text, or in the system message of a chat.
   * @param {Input} input
   */
  #publicPromptOf(input) {
    if (input.kind === 'text') return this.#publicPrompts.find((prompt) => input.text.startsWith(prompt));
    const [{ role, content, name }] = input.messages;
    return role === 'system' && name === undefined ? this.#publicPrompts.find((prompt) => content === prompt) : undefined;
  }

  /**
   * @param {Input['kind']} kind
   * @param {string} prompt
   * @param {AbortSignal} signal
   * @returns {Promise<Session | undefined>}
   */
  async #publicSession(kind, prompt, signal) {
    const key = `${kind} ${prompt}`;
    let session = this.#public.get(key);
    if (!session) {
      session = this.#readPublic(kind, prompt, signal);
      this.#public.set(key, session);
    }
    try {
      return await session;
    } catch {
      // The first reader left or the engine failed. The next request tries again; this one runs without the
      // shared session.
      if (this.#public.get(key) === session) this.#public.delete(key);
      return undefined;
    }
  }

  /**
   * @param {Input['kind']} kind
   * @param {string} prompt
   * @param {AbortSignal} signal
   * @returns {Promise<Session | undefined>}
   */
  async #readPublic(kind, prompt, signal) {
    const session = this.#model.session();
    try {
      if (kind === 'chat') await session.append([{ role: 'system', content: prompt }], { signal });
      else await session.generate(prompt, { maxTokens: 1, signal });
      return session;
    } catch (error) {
      session.dispose();
      // The template refuses a system message alone, or the prompt is too long. There is nothing to share.
      if (isFireside(error) && ['BAD_TEMPLATE', 'BAD_INPUT', 'CONTEXT_OVERFLOW'].includes(error.code)) return undefined;
      throw error;
    }
  }

  /**
   * Counts a session before it exists, so that two opened at once do not exceed the limit.
   * @param {Owner | undefined} owner
   * @param {() => Promise<Session>} open
   */
  async #open(owner, open) {
    /** @type {Kept} */
    const kept = { session: /** @type {any} */ (undefined), owner, held: '', isBusy: true, isLast: false, kvBytes: 0, cut: undefined };
    this.#kept.add(kept);
    try {
      kept.session = await open();
      return kept;
    } catch (error) {
      this.#kept.delete(kept);
      throw error;
    }
  }

  /** @param {Kept} kept */
  #use(kept) {
    kept.isBusy = true;
    this.#kept.delete(kept);
    this.#kept.add(kept);
    return kept;
  }

  /**
   * Frees idle sessions until one more may be opened. If too few are idle, it ends the request that has
   * waited longest for its client to read.
   * @param {Owner | undefined} owner
   */
  #makeRoom(owner) {
    this.#drop(() => this.#kept.size >= this.#sessionsMax, { weight: () => 1, more: owner?.party });
    if (this.#kept.size < this.#sessionsMax) return;
    const slow = [...this.#kept].find(({ cut }) => cut);
    slow?.cut?.();
    if (slow) slow.cut = undefined;
  }

  /**
   * Frees idle sessions while `isDue`: each time the least recently used one of the party whose sessions
   * weigh most. `more`: a party that counts with one session more.
   * @param {() => boolean} isDue
   * @param {{ weight: (kept: Kept) => number, more?: unknown, except?: Kept }} how
   */
  #drop(isDue, { weight, more, except }) {
    while (isDue()) {
      /** @type {Map<unknown, number>} */
      const weights = new Map(more === undefined ? [] : [[more, 1]]);
      for (const kept of this.#kept) weights.set(kept.owner?.party, (weights.get(kept.owner?.party) ?? 0) + weight(kept));
      const idle = [...this.#kept].filter((kept) => !kept.isBusy && kept !== except);
      const heaviest = Math.max(...idle.map(({ owner }) => weights.get(owner?.party) ?? 0));
      const next = idle.find(({ owner }) => weights.get(owner?.party) === heaviest);
      if (!next) return;
      this.#forget(next);
    }
  }

  /** @param {Kept} kept */
  #forget(kept) {
    this.#kept.delete(kept);
    kept.session?.dispose(); // which is not there yet where an engine is stuck
  }
}

/** @param {Owner | undefined} a @param {Owner | undefined} b */
function isSame(a, b) {
  return a !== undefined && b !== undefined && a.party === b.party && a.label === b.label;
}

/** @param {Iterable<Kept>} all @param {(kept: Kept) => number} weight */
function sum(all, weight) {
  let total = 0;
  for (const kept of all) total += weight(kept);
  return total;
}

/**
 * A text or a chat as a string, to estimate common beginnings. The engine compares tokens.
 * @param {Input} input
 */
function textOf(input) {
  if (input.kind === 'text') return input.text;
  const begun = (/** @type {string} */ role, name = '', thought = '') => `${role}\0${name}\0${thought}\0`;
  return input.messages.map(({ role, content, name, reasoning_content: thought }) => `${begun(role, name, thought)}${content}\0`).join('') + begun('assistant');
}

/** @param {string} a @param {string} b */
function commonLength(a, b) {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
