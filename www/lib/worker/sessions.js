// The operations on a model and the sessions of one port. Calls on one session run one after the other, in
// the order in which they were made.

import { isFireside } from '../shared/errors.js';
import { lockReleased } from '../shared/locks.js';
import { Aborted, must } from './requests.js';

/** @import { Args, ModelOperations, Op, PortLike, RunEnd, RunPiece } from '../shared/protocol.d.ts' */
/** @import { SessionState, TurnEnd } from '../shared/protocol.d.ts' */
/** @import { Run, Session } from '../shared/engine.d.ts' */
/** @import { Worker } from './engine.js' */
/** @import { Handlers, Ticket } from './types.d.ts' */

/**
 * A session, and the end of its queue.
 * @typedef {{ session: Session, tail: Promise<unknown>, closed: boolean }} Slot
 */
/** @typedef {'generate' | 'chat' | 'regenerate' | 'append'} RunOp */

/** How long a port may take to reach the context that it is for. */
const GREETING_MS = 60_000;

export class Sessions {
  #worker;
  #port;
  /** @type {Map<number, Slot>} */
  #slots = new Map();
  /** Sessions that could not be opened, and why. @type {Map<number, unknown>} */
  #refused = new Map();
  #greeted = false;
  /** Lets the requests of this port look again whether they may go on. */
  wake = () => {};

  /** @param {Worker} worker @param {PortLike} port */
  constructor(worker, port) {
    this.#worker = worker;
    this.#port = port;
  }

  /** @type {Handlers<keyof ModelOperations>} */
  handlers = {
    open: (args) => this.#open(args),
    close: ({ session }) => this.#close(session),
    clone: (args, ticket) => this.#queue(args.session, ticket, ({ session }) => this.#keep(args.as, session.clone())),
    restore: ({ as, bytes }) => this.#keep(as, must(this.#worker.model).restore(bytes)),
    save: ({ session, options }, ticket) => this.#queue(session, ticket, ({ session }) => session.save(options)),
    generate: (args, ticket) =>
      this.#queue(args.session, ticket, (slot) => this.#run(slot, ticket, slot.session.generate(args.input, args.options))),
    chat: (args, ticket) =>
      this.#queue(args.session, ticket, (slot) => this.#turn(slot, ticket, slot.session.chat(args.input, args.options))),
    regenerate: (args, ticket) =>
      this.#queue(args.session, ticket, (slot) => this.#turn(slot, ticket, slot.session.regenerate(args.options))),
    append: (args, ticket) =>
      this.#queue(args.session, ticket, (slot) => this.#turn(slot, ticket, slot.session.append(args.input, args.options))),
    messages: ({ session }, ticket) => this.#queue(session, ticket, ({ session }) => session.messages()),
    setMessages: (args, ticket) =>
      this.#queue(args.session, ticket, ({ session }) => (session.setMessages(args.messages), session.messages())),
    reset: ({ session }, ticket) => this.#queue(session, ticket, ({ session }) => (session.reset(), stateOf(session))),
    stats: ({ session }, ticket) => this.#queue(session, ticket, ({ session }) => session.stats()),
    measure: (args, ticket) =>
      this.#queue(args.session, ticket, ({ session }) => session.measureContextUsage(args.input, args.options)),
    tokenize: ({ text, options }) => must(this.#worker.model).tokenize(text, options),
    pieces: ({ text, options }) => must(this.#worker.model).pieces(text, options),
    detokenize: ({ ids, options }) => must(this.#worker.model).detokenize(ids, options),
    modelStats: () => this.#modelStats(),
    connect: ({ port }) => this.#connect(port),
    hello: ({ alive }) => this.#hello(alive),
    bye: () => this.leave(),
  };

  /** @param {Args<'open'>} args */
  #open({ session: id, messages, options }) {
    try {
      const session = must(this.#worker.model).session(options);
      if (messages.length) session.setMessages(messages);
      this.#keep(id, session);
    } catch (error) {
      if (isFireside(error)) this.#refused.set(id, error);
      throw error;
    }
  }

  /** @param {number} id @param {Session} session @returns {SessionState} */
  #keep(id, session) {
    this.#slots.set(id, { session, tail: Promise.resolve(), closed: false });
    return stateOf(session);
  }

  /** @param {number} id */
  async #close(id) {
    if (this.#refused.delete(id)) return;
    const slot = must(this.#slots.get(id));
    this.#slots.delete(id);
    slot.closed = true;
    this.wake();
    await slot.tail;
    slot.session.free();
  }

  /**
   * Runs a job when every earlier call on the session has ended.
   * @template T
   * @param {number} id
   * @param {Ticket<Op>} ticket
   * @param {(slot: Slot) => T | Promise<T>} job
   * @returns {Promise<T>}
   */
  #queue(id, ticket, job) {
    if (this.#refused.has(id)) throw this.#refused.get(id);
    const slot = must(this.#slots.get(id));
    ticket.waits = true;
    const turn = slot.tail.then(() => {
      if (ticket.aborted || slot.closed) throw new Aborted();
      ticket.waits = false;
      return job(slot);
    });
    slot.tail = turn.catch(() => {});
    return turn;
  }

  /**
   * Drives a run to its end.
   * @param {Slot} slot
   * @param {Ticket<RunOp>} ticket
   * @param {Run} run
   * @returns {Promise<RunEnd>}
   */
  async #run(slot, ticket, run) {
    let trapped = false;
    try {
      const aborted = () => ticket.aborted || slot.closed;
      const post = (/** @type {RunPiece} */ piece) => ticket.post(piece);
      const wanted = (/** @type {number} */ given) => (given < ticket.wanted || aborted() ? undefined : ticket.change());
      const end = await must(this.#worker.driver).drive(run, { post, aborted, wanted });
      if (!end) throw new Aborted();
      return { ...end, stats: slot.session.stats() };
    } catch (error) {
      trapped = !isFireside(error);
      throw error;
    } finally {
      if (!trapped) run.free(); // after a trap even this might trap
    }
  }

  /**
   * Drives a run that changes the conversation.
   * @param {Slot} slot
   * @param {Ticket<RunOp>} ticket
   * @param {Run} run
   * @returns {Promise<TurnEnd>}
   */
  async #turn(slot, ticket, run) {
    const end = await this.#run(slot, ticket, run);
    return { ...end, messages: slot.session.messages(), options: slot.session.options() };
  }

  #modelStats() {
    const sessions = [...this.#worker.ports.values()].reduce((count, { size }) => count + size, 0);
    return { sessions, ...must(this.#worker.model).stats() };
  }

  get size() {
    return this.#slots.size;
  }

  /** @param {PortLike} port */
  #connect(port) {
    const sessions = this.#worker.listen(port);
    // The context that it is for may have gone before the port came there.
    const late = setTimeout(() => sessions.#greeted || sessions.leave(), GREETING_MS);
    Reflect.get(Object(late), 'unref')?.call(late); // Node would wait for it
  }

  /**
   * The context at the other end of the port is there.
   * @param {string} alive the lock that it holds until it ends
   */
  #hello(alive) {
    this.#greeted = true;
    lockReleased(alive).then(() => this.leave(), () => {});
    this.#port.addEventListener?.('close', () => this.leave());
    return { info: must(this.#worker.info), name: this.#worker.lock };
  }

  /** Closes every session of this port. */
  leave() {
    for (const session of [...this.#slots.keys()]) void this.#close(session);
    this.#worker.ports.delete(this.#port);
  }
}

/** @param {Session} session @returns {SessionState} */
function stateOf(session) {
  return { messages: session.messages(), options: session.options(), stats: session.stats() };
}
