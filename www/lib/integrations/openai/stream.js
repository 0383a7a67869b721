// Answers that are sent while they are generated. Nothing is sent before the first piece of text, so that an
// error in the request can still set the status. After that, a client that leaves ends the run, and a client
// that does not read makes it wait.

/** @import { Piece, RunResult } from '../../shared/types.d.ts' */
/** @import { chat, completion, Head } from './answers.js' */
/** @import { Full, OutletLimits } from './outlet.js' */

import { usage } from './answers.js';
import { Outlet, Wholes } from './outlet.js';

/** @typedef {(piece: Piece, input: number) => Full | undefined} OnPiece */
/** @typedef {(signal: AbortSignal, onPiece: OnPiece) => Promise<RunResult[]>} Run */
/** @typedef {(text: string) => void} Send */
/**
 * Where an answer goes. `signal`: of the request.
 * @typedef {object} Way
 * @property {AbortSignal} signal
 * @property {OutletLimits} limits
 * @property {Wholes} wholes
 * @property {(promise: Promise<unknown>) => void} [waitUntil]
 */

/**
 * @typedef {object} Writer
 * @property {Record<string, string>} headers
 * @property {(send: Send, piece: Piece, input: number) => void} [piece]
 * @property {(send: Send, results: RunResult[]) => string | undefined} end returns the rest to send, if it
 *   may be long
 * @property {(send: Send, error: unknown) => void} fail throws if the format has no place for an error
 */

/**
 * Resolves once there is something to send. Rejects as `run` does, where nothing has been sent.
 * @param {Run} run
 * @param {Writer} writer
 * @param {Way} way
 * @returns {Promise<Response>}
 */
async function begin(run, writer, { signal, limits, wholes, waitUntil }) {
  const outlet = new Outlet(signal, limits);
  const send = (/** @type {string} */ text) => outlet.send(text);
  let hear = () => {};
  const heard = new Promise((/** @type {(_: void) => void} */ resolve) => (hear = resolve));
  const onPiece = (/** @type {Piece} */ piece, /** @type {number} */ input) => {
    writer.piece?.(send, piece, input);
    hear();
    return outlet.full();
  };
  let isOpen = false;
  const done = run(outlet.signal, onPiece).then(
    (results) => writer.end(send, results),
    (error) => {
      if (!isOpen) throw error;
      writer.fail(send, error);
      return undefined;
    },
  );
  await Promise.race([heard, done]);
  isOpen = true;
  const sent = done.then(
    (rest) => (rest === undefined ? outlet.end() : wholes.pour(outlet, rest)),
    (error) => outlet.cut(error),
  );
  waitUntil?.(sent);
  return new Response(outlet.body, { headers: writer.headers });
}

/**
 * An answer as a stream of server-sent events: `data: {...}`, an empty line, and so on to `data: [DONE]`. An
 * error after the first event is the last event, without [DONE].
 * @param {object} answer
 * @param {Head} answer.head
 * @param {typeof chat | typeof completion} answer.shape
 * @param {number} answer.n choices of each input
 * @param {boolean} answer.hasUsage whether the last event tells the usage
 * @param {Run} answer.run
 * @param {(error: unknown) => object} answer.describe an error as an event
 * @param {Way} way
 */
export function streamed({ head, shape, n, hasUsage, run, describe }, way) {
  const event = (/** @type {Send} */ send, /** @type {unknown} */ data) => send(`data: ${JSON.stringify(data)}\n\n`);
  const chunk = (/** @type {Send} */ send, /** @type {object} */ data) => event(send, hasUsage ? { ...data, usage: null } : data);
  /** How much of each choice has been sent, in UTF-16 units. @type {Map<number, number>} */
  const sent = new Map();
  const open = (/** @type {Send} */ send, /** @type {number} */ index) => {
    if (sent.has(index)) return;
    sent.set(index, 0);
    if (shape.prefix === 'chatcmpl') chunk(send, shape.chunk(head, index, '', { isFirst: true }));
  };
  /** @type {Writer} */
  const writer = {
    headers: { 'Content-Type': 'text/event-stream; charset=utf-8' },
    piece(send, { text, choice, logprobs }, input) {
      const index = input * n + choice;
      open(send, index);
      const offset = sent.get(index) ?? 0;
      chunk(send, shape.chunk(head, index, text, { logprobs, offset }));
      sent.set(index, offset + text.length);
    },
    end(send, results) {
      for (const [index, { finishReason }] of results.flatMap(({ choices }) => choices).entries()) {
        open(send, index);
        chunk(send, shape.chunk(head, index, undefined, { finishReason }));
      }
      if (hasUsage) event(send, { ...shape.chunks(head, []), usage: usage(results) });
      send('data: [DONE]\n\n');
      return undefined;
    },
    fail: (send, error) => event(send, describe(error)),
  };
  return begin(run, writer, way);
}

/**
 * A whole answer whose head is sent early. Where nothing else tells that a client has gone, its cancelled
 * body does.
 * @param {Run} run
 * @param {(results: RunResult[]) => object} whole
 * @param {Way} way
 */
export function early(run, whole, way) {
  /** @type {Writer} */
  const writer = {
    headers: { 'Content-Type': 'application/json' },
    end: (_, results) => JSON.stringify(whole(results)),
    fail: (_, error) => {
      throw error;
    },
  };
  return begin(run, writer, way);
}

/**
 * A whole answer. A long one is sent no faster than it is read.
 * @param {object} answer
 * @param {Way} way
 */
export function whole(answer, { signal, limits, wholes, waitUntil }) {
  const text = JSON.stringify(answer);
  if (text.length <= limits.bufferBytesMax) return new Response(text, { headers: { 'Content-Type': 'application/json' } });
  const outlet = new Outlet(signal, limits);
  const sent = wholes.pour(outlet, text);
  waitUntil?.(sent);
  return new Response(outlet.body, { headers: { 'Content-Type': 'application/json' } });
}
