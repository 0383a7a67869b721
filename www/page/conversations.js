// Every chat: its turns as shown, and the session that answers in it. A few sessions are live, each with its own KV cache; the others rest in this browser as
// saved state (vault.js), and come back when their chat is opened: with their cache, or by their history alone, which is computed again when it is needed.

import { Session } from '../lib/index.js';
import { recall, remember } from './dom.js';
import { forget, forgetAll, keep, keepState, recordsKept, STATE_BYTES_MAX, stateKept } from './vault.js';

/** @import { Message, RunResult } from '../lib/index.js' */
/** @import { Seat } from './seat.js' */
/** @import { Group } from './tokens.js' */

/** Chats that keep a session, and with it a KV cache, in memory. */
export const LIVE_MAX = 4;

/**
 * @typedef {object} Turn
 * @property {'user' | 'assistant'} role
 * @property {string} content as in the model's history
 * @property {string} [by] the name of the model that gave an answer
 * @property {(Group | string)[]} [parts] an answer with its tokens
 * @property {Pick<RunResult, 'usage' | 'timings' | 'finishReason'>} [result] of an answer
 */

export class Conversation {
  created = Date.now();
  /** Not randomUUID(), which a page from plain http has not. */
  id = `${this.created}-${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  updated = this.created;
  /** The key and the name of the model that answers in it. */
  model = '';
  modelName = '';
  /** The id of the chat that it is a branch of. */
  parent = '';
  /** @type {Turn[]} */
  turns = [];
  /** What the model remembers: the last of the turns, all of them as long as they fit its window. @type {Message[]} */
  history = [];
  /** What is typed and not sent. */
  draft = '';
  /** @type {Session | undefined} */
  session;
  /** An opening under way. @type {Promise<Session> | undefined} */
  opening;
  /** Its session may not be put to rest now. */
  busy = false;

  /** Its first message. */
  get name() {
    return this.turns[0]?.content ?? '';
  }

  /** What is kept of it. */
  record() {
    const { id, created, updated, model, modelName, parent, turns, history } = this;
    return { kind: 'chat', id, created, updated, model, modelName, parent, turns, history };
  }
}

export class Conversations extends EventTarget {
  #seat;
  /** Those with a turn, the latest first. @type {Conversation[]} */
  all = [];
  current = new Conversation();

  /** @param {Seat} seat */
  constructor(seat) {
    super();
    this.#seat = seat;
  }

  /** Brings back what is kept; the chat that was in front is so again. */
  async recall() {
    const records = /** @type {ReturnType<Conversation['record']>[]} */ (await recordsKept());
    const kept = records.filter(({ kind, turns, history }) => kind === 'chat' && [turns, history].every(Array.isArray));
    kept.sort((a, b) => b.updated - a.updated);
    this.all.push(...kept.map((record) => Object.assign(new Conversation(), record)));
    if (this.current.turns.length === 0) this.current = this.all.find(({ id }) => id === recall('chat')) ?? this.current;
    this.#tell();
  }

  /** A chat's session, opened where need be; the signal ends the wait for the model. @param {Conversation} chat @param {AbortSignal} [signal] @returns {Promise<Session>} */
  async session(chat, signal) {
    const model = await this.#seat.ready(signal);
    if (chat.session?.model === model) return chat.session;
    chat.opening ??= this.#open(chat).finally(() => (chat.opening = undefined));
    return chat.opening;
  }

  /** Puts a new chat in front. */
  begin() {
    this.#front(new Conversation());
  }

  /** @param {Conversation} chat */
  open(chat) {
    this.#front(chat);
  }

  /** Makes a chat of the first so many turns of another, which goes on without the other's knowing, and puts it in front. @param {Conversation} chat @param {number} count */
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

  /** Keeps a chat after a turn. @param {Conversation} chat */
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

  /** Lets the model in use go on with a chat that another has answered so far. @param {Conversation} chat */
  async goOn(chat) {
    this.#answersBy(chat);
    this.#rest(chat); // its session, if any, is the other model's
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

  /** Ends all sessions: their model has gone. */
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
    // A state that is damaged, or another model's, costs the cache and not the chat.
    const session = (state && (await Session.restore(model, state).catch(() => undefined))) ?? model.session();
    const remembered = await session.messages();
    if (JSON.stringify(remembered) !== JSON.stringify(chat.history)) await session.setMessages(chat.history);
    chat.session = session;
    this.#tell();
    return session;
  }

  /** Puts to rest whoever was longest not used, until another may be live. */
  async #makeRoom() {
    const live = this.all.filter((chat) => chat.session && !chat.busy && chat !== this.current);
    const busy = this.all.filter((chat) => chat.session).length - live.length;
    while (live.length && live.length + busy >= LIVE_MAX) {
      const chat = /** @type {Conversation} */ (live.pop());
      await this.#writeState(chat);
      this.#rest(chat);
    }
  }

  /** Puts all chats but this one to rest: there is no memory for their caches beside its own. @param {Conversation} chat */
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
      // It may have been forgotten meanwhile.
      if (this.all.includes(chat)) await keepState(chat.id, state);
    } catch {
      // The session has gone; what it said before is kept.
    }
  }

  #tell() {
    this.dispatchEvent(new Event('change'));
  }
}
