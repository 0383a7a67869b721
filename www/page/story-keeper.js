// Keeps the story between visits: its text, and the session that can continue it without reading it again.

import { Session } from '../lib/index.js';
import { forget, keep, keepState, recordsKept, STATE_BYTES_MAX, stateKept } from './vault.js';

/** @typedef {import('./tokens.js').Group} Group */
/**
 * @typedef {object} Told
 * @property {string} given the opening
 * @property {string} text the opening and the generated text
 * @property {(Group | string)[]} parts the generated text, with its tokens
 * @property {'stop' | 'length' | 'abort' | undefined} ended
 * @property {boolean} shifted whether the model sees only a part of it
 */

const ID = 'story';

export class StoryKeeper {
  #seat;
  /** @type {Session | undefined} */
  #session;
  /** @type {Promise<Session> | undefined} */
  #opening;
  /** The model of the stored story. */
  #model = '';
  #modelName = '';
  #recalled;
  /** Grows with each change of the story, so that a saved session of an earlier one is not stored. */
  #version = 0;

  /** @param {import('./seat.js').Seat} seat */
  constructor(seat) {
    this.#seat = seat;
    this.#recalled = recordsKept().then((records) => {
      const record = /** @type {(Told & import('./vault.js').Kept & { modelName?: string }) | undefined} */ (records.find(({ id }) => id === ID));
      if (!record || typeof record.text !== 'string' || !Array.isArray(record.parts)) return undefined;
      this.#model = record.model;
      this.#modelName = record.modelName ?? '';
      return record;
    });
  }

  /** The story of an earlier visit. @returns {Promise<Told | undefined>} */
  recall() {
    return this.#recalled;
  }

  /** The key and the name of the model that told it. */
  get model() {
    return { key: this.#model, name: this.#modelName };
  }

  /**
   * A session on the model in use. The first one restores the stored story, if that model wrote it.
   * @param {AbortSignal} [signal]
   * @returns {Promise<Session>}
   */
  async session(signal) {
    const model = await this.#seat.ready(signal);
    if (this.#session?.model === model) return this.#session;
    this.#opening ??= this.#open().finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #open() {
    const model = await this.#seat.ready();
    await this.#recalled;
    const state = this.#model === this.#seat.choice.key ? await stateKept(ID) : undefined;
    // If the saved session is damaged, the story stays and is read again.
    const session = (state && (await Session.restore(model, state).catch(() => undefined))) ?? model.session();
    this.#session?.dispose();
    this.#session = session;
    return session;
  }

  /** @param {Told} told */
  async keep(told) {
    const version = (this.#version += 1);
    const session = this.#session;
    this.#model = this.#seat.choice.key;
    this.#modelName = this.#seat.choice.name();
    await keep(/** @type {any} */ ({ kind: 'story', id: ID, model: this.#model, modelName: this.#modelName, updated: Date.now(), ...told }));
    if (!session) return;
    try {
      const { contextUsage } = await session.stats();
      const fits = contextUsage * session.info().kvBytesPerToken <= STATE_BYTES_MAX;
      const state = fits ? await session.save({ cache: true }) : undefined;
      if (version === this.#version) await keepState(ID, state);
    } catch {
      // The session has ended; its story stays stored.
    }
  }

  forget() {
    this.#version += 1;
    this.#model = '';
    return forget(ID);
  }
}
