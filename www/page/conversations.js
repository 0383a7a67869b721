// All chats, each with its turns and the session that answers in it. A few sessions are live, each with a
// KV cache in memory. The others are stored in this browser as saved sessions (vault.js) and restored when
// their chat is opened. A chat whose session is not stored has its history only, which the engine computes
// again when needed.

import { Session } from '../lib/index.js';
import { recall, remember } from './dom.js';
import { forget, forgetAll, keep, keepState, recordsKept, STATE_BYTES_MAX, stateKept } from './vault.js';

/** @import { Message, RunResult } from '../lib/index.js' */
/** @import { Seat } from './seat.js' */
/** @import { Group } from './tokens.js' */

/** The most chats that keep a session, and so a KV cache, in memory. */
const LIVE_MAX = 4;

/**
 * @typedef {object} Turn
 * @property {'user' | 'assistant'} role
 * @property {string} content as in the model's history
 * @property {string} [by] the name of the model that answered
 * @property {(Group | string)[]} [parts] an answer with its tokens
 * @property {Pick<RunResult, 'usage' | 'timings' | 'finishReason'>} [result] of an answer
 */

export class Conversation {
  created = Date.now();
  /** Not randomUUID(), which pages on plain http do not have. */
  id = `${this.created}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  updated = this.created;
  /** The key and the name of the model that answers in it. */
  model = '';
  modelName = '';
  /** The id of the chat that this is a branch of. */
  parent = '';
  /** @type {Turn[]} */
  turns = [];
  /** What the model remembers: the last turns, or all of them while they fit its window. @type {Message[]} */
  history = [];
  /** Text that is typed but not sent. */
  draft = '';
  /** @type {Session | undefined} */
  session;
  /** The session that is being opened. @type {Promise<Session> | undefined} */
  opening;
  /** Whether its session is in use and cannot be stored now. */
  busy = false;

  /** Its first message. */
  get name() {
    return this.turns[0]?.content ?? '';
  }

  /** The data that is stored. */
  record() {
    const { id, created, updated, model, modelName, parent, turns, history } = this;
    return { kind: 'chat', id, created, updated, model, modelName, parent, turns, history };
  }
}

export class Conversations extends EventTarget {
  #seat;
  /** Chats with at least one turn, the latest first. @type {Conversation[]} */
  all = [];
  current = new Conversation();

  /** @param {Seat} seat */
  constructor(seat) {
    super();
    this.#seat = seat;
  }

  /** Restores the stored chats and the current chat of the last visit. */
  async recall() {
    const records = /** @type {ReturnType<Conversation['record']>[]} */ (await recordsKept());
    const kept = records.filter(({ kind, turns, history }) => kind === 'chat' && [turns, history].every(Array.isArray));
    kept.sort((a, b) => b.updated - a.updated);
    this.all.push(...kept.map((record) => Object.assign(new Conversation(), record)));
    if (this.current.turns.length === 0) this.current = this.all.find(({ id }) => id === recall('chat')) ?? this.current;
    this.#tell();
  }

  /**
   * A chat's session, opened if necessary. The signal ends the wait for the model.
   * @param {Conversation} chat
   * @param {AbortSignal} [signal]
   * @returns {Promise<Session>}
   */
  async session(chat, signal) {
    const model = await this.#seat.ready(signal);
    if (chat.session?.model === model) return chat.session;
    chat.opening ??= this.#open(chat).finally(() => (chat.opening = undefined));
    return chat.opening;
  }

  /** Starts a new chat and makes it current. */
  begin() {
    this.#front(new Conversation());
  }

  /** @param {Conversation} chat */
  open(chat) {
    this.#front(chat);
  }

  /**
   * Makes an independent chat of the first `count` turns of another, and makes it current.
   * @param {Conversation} chat
   * @param {number} count
   */
  async branch(chat, count) {
    const source = await this.session(chat);
    await this.#makeRoom();
    const session = await source.clone();
    const branch = new Conversation();
    const { model, modelName, id: parent } = chat;
    Object.assign(branch, { model, modelName, parent, session, turns: structuredClone(chat.turns.slice(0, count)) });
    const history = await session.messages();
    const cut = chat.turns.length - count;
    const reaches = cut < history.length;
    branch.history = reaches ? history.slice(0, history.length - cut) : branch.turns.map(({ role, content }) => ({ role, content }));
    if (cut > 0) await session.setMessages(branch.history);
    this.all.unshift(branch);
    this.#front(branch);
    await this.#write(branch);
  }

  /** Stores a chat after a turn. @param {Conversation} chat */
  async turned(chat) {
    const { session } = chat;
    if (!session) return;
    chat.updated = Date.now();
    this.#answersBy(chat);
    chat.history = await session.messages();
    this.all = [chat, ...this.all.filter((other) => other !== chat)];
    if (chat === this.current) remember('chat', chat.id);
    this.#tell();
    await this.#write(chat);
  }

  /**
   * Lets the model in use continue a chat that another model has answered so far.
   * @param {Conversation} chat
   */
  async goOn(chat) {
    this.#answersBy(chat);
    this.#rest(chat); // its session, if any, belongs to the other model
    this.#tell();
    await keep(chat.record());
  }

  /** @param {Conversation} chat */
  #answersBy(chat) {
    chat.model = this.#seat.choice.key;
    chat.modelName = this.#seat.choice.name();
  }

  /** @param {Conversation} chat */
  async remove(chat) {
    this.all = this.all.filter((other) => other !== chat);
    this.#rest(chat);
    if (chat === this.current) this.#front(new Conversation());
    else this.#tell();
    await forget(chat.id);
  }

  async removeAll() {
    for (const chat of this.all) this.#rest(chat);
    this.all = [];
    this.#rest(this.current);
    this.#front(new Conversation());
    await forgetAll();
  }

  /** Ends all sessions, because their model was unloaded. */
  letGo() {
    for (const chat of [this.current, ...this.all]) this.#rest(chat);
  }

  /** @param {Conversation} chat */
  #front(chat) {
    this.current = chat;
    remember('chat', chat.id);
    this.#tell();
  }

  /** @param {Conversation} chat */
  async #open(chat) {
    await this.#makeRoom();
    const model = await this.#seat.ready();
    const state = chat.history.length && chat.model === this.#seat.choice.key ? await stateKept(chat.id) : undefined;
    // If the saved session is damaged or from another model, the chat loses only its cache.
    const session = (state && (await Session.restore(model, state).catch(() => undefined))) ?? model.session();
    const remembered = await session.messages();
    if (JSON.stringify(remembered) !== JSON.stringify(chat.history)) await session.setMessages(chat.history);
    chat.session = session;
    this.#tell();
    return session;
  }

  /** Stores the sessions that were unused longest, until another one may be live. */
  async #makeRoom() {
    const live = this.all.filter((chat) => chat.session && !chat.busy && chat !== this.current);
    const busy = this.all.filter((chat) => chat.session).length - live.length;
    while (live.length && live.length + busy >= LIVE_MAX) {
      const chat = /** @type {Conversation} */ (live.pop());
      await this.#writeState(chat);
      this.#rest(chat);
    }
  }

  /** Stores the sessions of all other chats, to free their memory. @param {Conversation} chat */
  async restOthers(chat) {
    for (const other of this.all) {
      if (other === chat || other.busy) continue;
      await this.#writeState(other);
      this.#rest(other);
    }
    this.#tell();
  }

  /** @param {Conversation} chat */
  #rest(chat) {
    chat.session?.dispose();
    chat.session = undefined;
  }

  /** @param {Conversation} chat */
  async #write(chat) {
    await keep(chat.record());
    await this.#writeState(chat);
  }

  /** @param {Conversation} chat */
  async #writeState(chat) {
    const { session } = chat;
    if (!session) return;
    try {
      const { contextUsage } = await session.stats();
      const fits = contextUsage * session.info().kvBytesPerToken <= STATE_BYTES_MAX;
      const state = fits ? await session.save({ cache: true }) : undefined;
      // The chat may have been deleted meanwhile.
      if (this.all.includes(chat)) await keepState(chat.id, state);
    } catch {
      // The session has ended; the stored one stays.
    }
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
