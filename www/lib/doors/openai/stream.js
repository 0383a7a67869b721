// Answers that begin before they are whole. Nothing is sent, not even the status, before there is a first piece of text: what is wrong with a request, a status can still say.
// From there on whoever reads may leave, and the run ends.

/** @import { Piece, RunResult } from '../../types.d.ts' */
/** @import { chat, completion, Head } from './answers.js' */

import { usage } from './answers.js';

/** @typedef {(signal: AbortSignal, onPiece: (piece: Piece, input: number) => void) => Promise<RunResult[]>} Run */

/**
 * @typedef {object} Writer
 * @property {Record<string, string>} headers
 * @property {(send: (text: string) => void, piece: Piece, input: number) => void} [piece]
 * @property {(send: (text: string) => void, results: RunResult[]) => void} end
 * @property {(send: (text: string) => void, error: unknown) => void} fail throws where no text can say it
 */

/**
 * Resolves once there is something to send. Rejects as `run` does, where nothing has been sent.
 * @param {Run} run
 * @param {Writer} writer
 * @param {AbortSignal} signal of the request
 * @returns {Promise<Response>}
 */
async function begin(run, writer, signal) {
  const gone = new AbortController();
  const encoder = new TextEncoder();
  /** @type {ReadableStreamDefaultController<Uint8Array>} */
  let controller;
  const body = new ReadableStream({
    start: (given) => void (controller = given),
    cancel: (reason) => gone.abort(reason),
  });
  const send = (/** @type {string} */ text) => {
    if (!gone.signal.aborted) controller.enqueue(encoder.encode(text));
  };
  let hear = () => {};
  const heard = new Promise((/** @type {(_: void) => void} */ resolve) => (hear = resolve));
  const onPiece = (/** @type {Piece} */ piece, /** @type {number} */ input) => {
    writer.piece?.(send, piece, input);
    hear();
  };
  let isOpen = false;
  const done = run(AbortSignal.any([signal, gone.signal]), onPiece).then(
    (results) => writer.end(send, results),
    (error) => {
      if (!isOpen) throw error;
      writer.fail(send, error);
    },
  );
  await Promise.race([heard, done]);
  isOpen = true;
  done.then(
    () => gone.signal.aborted || controller.close(),
    (error) => controller.error(error),
  );
  return new Response(body, { headers: writer.headers });
}

/**
 * An answer as a stream of server-sent events: `data: {...}`, an empty line, and so on to `data: [DONE]`. What fails after the first event is the last event, and there is
 * no [DONE].
 * @param {object} answer
 * @param {Head} answer.head
 * @param {typeof chat | typeof completion} answer.shape
 * @param {number} answer.n choices of each input
 * @param {boolean} answer.hasUsage whether the last event tells the usage
 * @param {Run} answer.run
 * @param {(error: unknown) => object} answer.describe an error as an event
 * @param {AbortSignal} signal of the request
 */
export function streamed({ head, shape, n, hasUsage, run, describe }, signal) {
  /** @typedef {(text: string) => void} Send */
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
    },
    fail: (send, error) => event(send, describe(error)),
  };
  return begin(run, writer, signal);
}

/**
 * A whole answer whose head is sent early: where nothing else tells of a client that has gone, its body that nobody reads any more does.
 * @param {Run} run
 * @param {(results: RunResult[]) => object} whole
 * @param {AbortSignal} signal of the request
 */
export function early(run, whole, signal) {
  /** @type {Writer} */
  const writer = {
    headers: { 'Content-Type': 'application/json' },
    end: (send, results) => send(JSON.stringify(whole(results))),
    fail: (_, error) => {
      throw error;
    },
  };
  return begin(run, writer, signal);
}
