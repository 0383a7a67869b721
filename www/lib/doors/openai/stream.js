// Answers as a stream of server-sent events: `data: {...}`, an empty line, and so on to `data: [DONE]`. What fails after the first event can no longer be a status: it is
// the last event, and there is no [DONE].

/** @import { Piece, RunResult } from '../../types.d.ts' */
/** @import { chat, completion, Head } from './answers.js' */

import { usage } from './answers.js';

const HEADERS = { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'no-store' };

/**
 * Resolves once there is something to send. Rejects as `perform` does, where nothing has been sent.
 * @param {object} answer
 * @param {Head} answer.head
 * @param {typeof chat | typeof completion} answer.shape
 * @param {number} answer.n choices of each input
 * @param {boolean} answer.hasUsage whether the last event tells the usage
 * @param {(signal: AbortSignal, onPiece: (piece: Piece, input: number) => void) => Promise<RunResult[]>} answer.run
 * @param {(error: unknown) => object} answer.describe an error as an event
 * @param {AbortSignal} signal of the request
 * @returns {Promise<Response>}
 */
export async function streamed({ head, shape, n, hasUsage, run, describe }, signal) {
  const gone = new AbortController();
  const encoder = new TextEncoder();
  /** @type {ReadableStreamDefaultController<Uint8Array>} */
  let controller;
  const body = new ReadableStream({
    start: (given) => void (controller = given),
    // Whoever reads has had enough.
    cancel: (reason) => gone.abort(reason),
  });
  const send = (/** @type {unknown} */ data) => {
    if (!gone.signal.aborted) controller.enqueue(encoder.encode(`data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`));
  };
  const chunk = (/** @type {object} */ data) => send(hasUsage ? { ...data, usage: null } : data);
  /** How much of each choice has been sent. @type {Map<number, number>} */
  const sent = new Map();
  const open = (/** @type {number} */ index) => {
    if (sent.has(index)) return;
    sent.set(index, 0);
    if (shape.prefix === 'chatcmpl') chunk(shape.chunk(head, index, '', { isFirst: true }));
  };

  let hear = () => {};
  const heard = new Promise((/** @type {(_: void) => void} */ resolve) => (hear = resolve));
  const onPiece = (/** @type {Piece} */ { text, choice = 0, logprobs }, /** @type {number} */ input) => {
    const index = input * n + choice;
    open(index);
    const offset = sent.get(index) ?? 0;
    chunk(shape.chunk(head, index, text, { logprobs, offset }));
    sent.set(index, offset + text.length);
    hear();
  };
  const finish = (/** @type {RunResult[]} */ results) => {
    results.flatMap(({ choices }) => choices).forEach(({ finishReason }, index) => {
      open(index);
      chunk(shape.chunk(head, index, undefined, { finishReason }));
    });
    if (hasUsage) send({ ...shape.chunks(head, []), usage: usage(results) });
    send('[DONE]');
  };
  const close = () => {
    if (!gone.signal.aborted) controller.close();
  };

  let isStreaming = false;
  const done = run(AbortSignal.any([signal, gone.signal]), onPiece).then(finish, (error) => {
    if (!isStreaming) throw error;
    send(describe(error));
  });
  await Promise.race([heard, done]);
  isStreaming = true;
  done.then(close);
  return new Response(body, { headers: HEADERS });
}
