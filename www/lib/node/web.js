// Converts between Node's http and the web's Request and Response, as far as `fireside serve` needs it. The
// well-kept library for this is `@hono/node-server`: 1,300 lines for many kinds of servers (HTTP/2,
// WebSockets, other runtimes), with Hono as a peer, which nothing else here needs.

import { once } from 'node:events';
import { setImmediate as later, setTimeout as wait } from 'node:timers/promises';

/** @import { IncomingMessage, ServerResponse } from 'node:http' */

/**
 * How long a client that still sends its body may take to read its answer. Then its connection is closed.
 */
const DRAIN_MS = 500;

/** Methods that `Request` refuses. They become OPTIONS; no route has any of them. */
const REFUSED = /^(CONNECT|TRACE)$/;

/**
 * Converts a request. Its signal aborts if the client goes before its answer was sent. Throws if the target
 * is not a path.
 * @param {IncomingMessage} incoming
 * @param {ServerResponse} outgoing
 * @returns {Request}
 */
export function toRequest(incoming, outgoing) {
  const { method = 'GET', url = '/', rawHeaders } = incoming;
  if (/^[^?]*\\/.test(url)) throw new TypeError('a backslash in the path, which URL would read as a slash');
  const headers = new Headers();
  for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i], rawHeaders[i + 1]);
  const gone = new AbortController();
  outgoing.on('close', () => outgoing.writableFinished || gone.abort());
  // A streamed body needs `duplex`, which the types of the web lack.
  const body = method === 'GET' || method === 'HEAD' ? {} : { body: bodyOf(incoming), duplex: 'half' };
  return new Request(`http://localhost${url}`, { method: REFUSED.test(method) ? 'OPTIONS' : method, headers, signal: gone.signal, ...body });
}

/** The body of a request, read no faster than it is consumed. @param {IncomingMessage} incoming */
function bodyOf(incoming) {
  const leave = () => incoming.removeAllListeners('data').removeAllListeners('end');
  return new ReadableStream({
    start(controller) {
      incoming.on('data', (chunk) => {
        controller.enqueue(chunk);
        if ((controller.desiredSize ?? 0) <= 0) incoming.pause();
      });
      incoming.on('end', () => controller.close());
      incoming.on('error', (error) => (leave(), controller.error(error)));
      incoming.pause();
    },
    pull: () => void incoming.resume(),
    cancel: () => void leave(),
  });
}

/**
 * Sends an answer no faster than its client reads. If the client goes, the rest of the answer is cancelled.
 * @param {Response} response
 * @param {IncomingMessage} incoming the request, which may not have been read to its end
 * @param {ServerResponse} outgoing
 */
export async function send({ status, headers, body }, incoming, outgoing) {
  const reader = (body ?? new Blob([]).stream()).getReader();
  const read = () => {
    const part = reader.read();
    part.catch(() => outgoing.destroy()); // the answer was broken off
    return part;
  };
  outgoing.on('close', () => void reader.cancel().catch(() => {}));
  if (outgoing.destroyed) return;
  try {
    let part = await read();
    const second = part.done ? part : read();
    // A short answer is complete already, so its length can be sent.
    const isWhole = await Promise.race([Promise.resolve(second).then(({ done }) => done), later(false)]);
    const length = isWhole && body ? { 'Content-Length': part.value?.length ?? 0 } : {};
    outgoing.writeHead(status, { ...Object.fromEntries(headers), ...length });
    for (let next = second; !part.done && !outgoing.destroyed; next = read()) {
      if (!outgoing.write(part.value)) await drained(outgoing);
      part = await next;
    }
  } catch {
    return;
  }
  if (!incoming.complete) {
    incoming.removeAllListeners('data').resume();
    await Promise.race([once(incoming, 'end'), wait(DRAIN_MS)]).catch(() => {});
  }
  outgoing.end();
}

/**
 * Resolves when there is room, or the client has gone.
 * @param {ServerResponse} outgoing
 * @returns {Promise<void>}
 */
function drained(outgoing) {
  return new Promise((resolve) => {
    const end = () => (outgoing.off('drain', end).off('close', end), resolve());
    outgoing.on('drain', end).on('close', end);
  });
}
