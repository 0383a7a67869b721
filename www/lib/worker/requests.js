// The requests of one port: each is given to its handler and has exactly one reply that ends it. An abort
// ends a request that still waits for its turn at once; one under way ends when its handler notices.

import { crashed, FiresideError, isFireside, toWire } from '../shared/errors.js';

/** @import { Op, OperationRequest, PortLike, Reply } from '../shared/protocol.d.ts' */
/** @import { Handlers, Ticket } from './types.d.ts' */

/** A request under way. @template {Op} O @implements {Ticket<O>} */
class Live {
  #reply;
  aborted = false;
  waits = false;
  /** Whether it was answered before its handler came to an end. */
  ended = false;
  wanted = Infinity;
  /** @type {() => void} */
  wake = () => {};

  /** @param {(reply: Reply) => void} reply @param {number} id */
  constructor(reply, id) {
    this.#reply = reply;
    this.id = id;
  }

  /** @returns {Promise<void>} */
  change() {
    return new Promise((resolve) => (this.wake = resolve));
  }

  /** @param {Parameters<Ticket<O>['post']>[0]} piece */
  post(piece) {
    this.#reply({ id: this.id, piece });
  }
}

/**
 * Answers the requests that come by a port.
 * @param {PortLike} port
 * @param {Partial<Handlers<Op>>} handlers
 * @param {(error: unknown) => void} onTrap called when an error is not the engine's own: its state is then
 *   unknown
 * @returns {{ wake: () => void }} `wake` lets every request look again whether it may go on
 */
export function answer(port, handlers, onTrap) {
  /** @type {Map<number, Live<Op>>} */
  const live = new Map();
  const reply = (/** @type {Reply} */ message) => port.postMessage(message);

  /** @template {Op} O @param {OperationRequest<O>} request */
  async function run({ id, op, args }) {
    /** @type {Live<O>} */
    const ticket = new Live(reply, id);
    live.set(id, ticket);
    try {
      // A page that came in by a port may run another version.
      const handler = Object.hasOwn(handlers, op) ? handlers[op] : undefined;
      if (!handler) throw new FiresideError('BAD_INPUT', `request: the engine knows no operation ${op}.`, { op });
      const result = await handler(args ?? {}, ticket);
      port.postMessage({ id, result }, op === 'save' && result instanceof Uint8Array ? [result.buffer] : []);
    } catch (error) {
      if (!isFireside(error)) onTrap(error);
      else if (!ticket.ended) reply({ id, error: toWire(error) });
    } finally {
      live.delete(id);
    }
  }

  /** @param {number} id */
  function abort(id) {
    const ticket = live.get(id);
    if (!ticket) return;
    ticket.aborted = true;
    ticket.wake();
    if (!ticket.waits) return;
    ticket.ended = true;
    reply({ id, error: toWire(new Aborted()) });
  }

  /** @param {number} id @param {number} until */
  function pace(id, until) {
    const ticket = live.get(id);
    if (!ticket) return;
    ticket.wanted = until;
    ticket.wake();
  }

  port.onmessage = ({ data }) => {
    const message = /** @type {Partial<Record<string, unknown>>} */ (data ?? {});
    if (typeof message.abort === 'number') abort(message.abort);
    else if (typeof message.pace === 'number') pace(message.pace, Number(message.until));
    else void run(/** @type {OperationRequest} */ (/** @type {unknown} */ (message)));
  };
  port.onmessageerror = () => reply({ fatal: toWire(crashed('a message to the worker could not be read')) });
  return { wake: () => live.forEach((ticket) => ticket.wake()) };
}

/**
 * The end of a request that the page has given up. The page has ended it already, so this is never shown.
 */
export class Aborted extends FiresideError {
  constructor() {
    super('BAD_INPUT', 'the request was aborted');
  }
}

/** A value that an earlier request has made. @template T @param {T | undefined} value @returns {T} */
export function must(value) {
  if (value === undefined) throw crashed('a request came out of order');
  return value;
}
