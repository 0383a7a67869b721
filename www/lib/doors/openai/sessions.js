// The API has no memory: every request brings its whole text. But most of it was computed for the request before. So some sessions are kept, and a request gets the
// one that has the longest beginning in common with it:
//
//     the text goes on where a session stopped:     that session
//     else, with something in common:               its clone, which shares that part and leaves the session to whoever comes back to it
//     else:                                         a new session
//
// Where there are too many, the one that was of use longest ago goes. What is computed does not depend on any of this: a session is exact about what it reuses.

/** @import { Message } from '../../types.d.ts' */
/** @import { Model } from '../../model.js' */
/** @import { Session } from '../../session.js' */

/** @typedef {{ kind: 'text', text: string } | { kind: 'chat', messages: Message[] }} Input */
/** @typedef {{ session: Session, held: string, isBusy: boolean, kvBytes: number }} Kept `held`: the text that its cache stands for */

/** Less in common than this, in UTF-16 units, is not worth a clone: computing it takes no longer. */
const WORTHWHILE = 16;

export class Sessions {
  #model;
  #sessionsMax;
  #kvBytesMax;
  /** The one that was of use last stands last. @type {Set<Kept>} */
  #kept = new Set();

  /** @param {Model} model @param {{ sessionsMax: number, kvBytesMax: number }} limits `kvBytesMax`: of the caches of the sessions that are kept, the latest excepted */
  constructor(model, { sessionsMax, kvBytesMax }) {
    this.#model = model;
    this.#sessionsMax = sessionsMax;
    this.#kvBytesMax = kvBytesMax;
  }

  get size() {
    return this.#kept.size;
  }

  /** A session for this text, nobody else's until it is given back. @param {Input} input @returns {Promise<Kept>} */
  async take(input) {
    const { best, common } = this.#closest(textOf(input));
    if (best && common === best.held.length) return this.#use(best);
    const makeRoom = () => this.#drop(() => this.#kept.size >= this.#sessionsMax);
    if (!best || common < WORTHWHILE) {
      makeRoom();
      return this.#open(async () => this.#model.session());
    }
    this.#use(best);
    makeRoom();
    if (this.#kept.size >= this.#sessionsMax) return best;
    try {
      return await this.#open(() => best.session.clone());
    } finally {
      best.isBusy = false;
    }
  }

  /**
   * Takes a session back. One whose engine is gone is not kept.
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
    // By then all may have been freed.
    if (!this.#kept.has(kept)) return kept.session.dispose();
    let total = 0;
    for (const { kvBytes } of this.#kept) total += kvBytes;
    this.#drop((next) => next !== kept && total > this.#kvBytesMax && ((total -= next.kvBytes), true));
  }

  /** Frees every session that nobody uses; where all `isOver`, the others too, whose engine is stuck. @param {{ isOver?: boolean }} [how] */
  clear({ isOver = false } = {}) {
    this.#drop(() => true);
    if (isOver) for (const kept of this.#kept) this.#forget(kept);
  }

  /** @param {string} wanted */
  #closest(wanted) {
    /** @type {{ best?: Kept, common: number }} */
    let found = { common: 0 };
    for (const kept of this.#kept) {
      if (kept.isBusy) continue;
      const common = commonLength(kept.held, wanted);
      // Of equals the one that has nothing else.
      const isBetter = !found.best || common > found.common || (common === found.common && kept.held.length <= found.best.held.length);
      if (isBetter) found = { best: kept, common };
    }
    return found;
  }

  /** Counts a session before it is there, so that two at a time are not one too many. @param {() => Promise<Session>} open */
  async #open(open) {
    const kept = { session: /** @type {any} */ (undefined), held: '', isBusy: true, kvBytes: 0 };
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

  /** Drops idle sessions, the one that was of use longest ago first, for as long as `isDue`. @param {(next: Kept) => boolean} isDue */
  #drop(isDue) {
    for (const kept of [...this.#kept]) {
      if (!kept.isBusy && isDue(kept)) this.#forget(kept);
    }
  }

  /** @param {Kept} kept */
  #forget(kept) {
    this.#kept.delete(kept);
    kept.session?.dispose(); // which is not there yet where an engine is stuck
  }
}

/** What stands for a text or a chat; a role cannot have the character that ends it. @param {Input} input */
function textOf(input) {
  if (input.kind === 'text') return input.text;
  return input.messages.map(({ role, content }) => `${role}\0${content}\0`).join('') + 'assistant\0';
}

/** @param {string} a @param {string} b */
function commonLength(a, b) {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a.charCodeAt(length) === b.charCodeAt(length)) length++;
  return length;
}
