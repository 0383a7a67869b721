// Serves the handler with Node's http server. web.js converts requests and answers, guard.js checks who
// asks, and everything that a client could keep open has a limit.

import { createServer, STATUS_CODES } from 'node:http';
import { ApiError } from '../integrations/openai/errors.js';
import { guard } from './guard.js';
import { send, toRequest } from './web.js';

/** @import { IncomingMessage, ServerResponse } from 'node:http' */
/** @import { AddressInfo, Socket } from 'node:net' */
/** @import { Handler } from '../integrations/openai.js' */
/** @import { Allowed } from './guard.js' */
/** @import { Refused } from './refusals.js' */

/**
 * Units: milliseconds and bytes. A client must send its head within 10 s and its body within 30 s. Its
 * connection stays open long enough for a person to read an answer and write the next question: without a
 * key, cached prompts are reused on the same connection only.
 */
const LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 1_000, keepAliveTimeout: 300_000, maxHeaderSize: 16_384 };

/** How many connections may be open. Further ones are closed at once, and idle ones to make room. */
const CONNECTIONS_MAX = 1_024;

/**
 * How many unanswered requests a connection may have; one with more is closed. While many wait, Node stops
 * reading and does not notice that the client has gone.
 */
const AHEAD_MAX = 8;

/** How long a connection may be silent. Longer than any wait for an answer, because waiting is silent. */
const SILENCE_MS = 600_000;

/**
 * The answers to errors of Node's parser, which no handler sees.
 * @type {Record<string, [status: number, code: string, message: string]>}
 */
const PARSER_ERRORS = {
  HPE_HEADER_OVERFLOW: [431, 'headers_too_large', `The headers may have ${LIMITS.maxHeaderSize} bytes at most.`],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'request_timeout', 'The request did not arrive in time.'],
};

/**
 * @typedef {object} Listening
 * @property {string} url
 * @property {number} port
 * @property {(options?: { graceMs?: number }) => Promise<void>} close
 */

/**
 * Listens. Rejects as `server.listen` does, for example with `EADDRINUSE`.
 * @param {Handler} handler
 * @param
 *   {Allowed & { port: number, refused?: Refused,
 *   limits?: Partial<typeof LIMITS> & { connectionsMax?: number } }}
 *   options
 * @returns {Promise<Listening>}
 */
export async function listen(handler, { port, limits: { connectionsMax = CONNECTIONS_MAX, ...limits } = {}, refused = () => {}, ...allowed }) {
  const { host } = allowed;
  let chosen = port;
  let isClosing = false;
  const check = guard(allowed, () => chosen);
  /**
   * @param {Request} request
   * @param {unknown} owner
   * @param {IncomingMessage} incoming
   * @param {ServerResponse} outgoing
   */
  const answer = async (request, owner, incoming, outgoing) => {
    const response = await handler(request, { owner });
    // 499 is a client that has gone, not a refusal.
    if (response.status >= 400 && response.status < 500 && response.status !== 499) {
      const body = await response.clone().json().catch(() => undefined);
      refused(response.status, body?.error?.message ?? '', incoming);
    }
    await send(response, incoming, outgoing);
  };
  /** Requests that have not been answered. @type {WeakMap<Socket, number>} */
  const ahead = new WeakMap();
  const server = createServer({ ...LIMITS, ...limits, noDelay: true }, (request, response) => {
    const { socket } = request;
    const count = (/** @type {number} */ more) => {
      const sum = (ahead.get(socket) ?? 0) + more;
      ahead.set(socket, sum);
      return sum;
    };
    if (count(1) > AHEAD_MAX) return void socket.destroy();
    response.on('close', () => count(-1));
    try {
      const { isPreflight, headers, owner } = check(request);
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (isClosing) response.setHeader('Connection', 'close');
      if (isPreflight) response.writeHead(204).end();
      else void answer(toRequest(request, response), owner, request, response);
    } catch (error) {
      const said = error instanceof ApiError ? error : new ApiError(400, 'Bad request.', { code: 'invalid_request' });
      refused(said.status, said.message, request);
      refuse(request, response, said);
    }
  });
  server.maxConnections = connectionsMax;
  server.on('drop', () => server.closeIdleConnections());
  server.on('connection', (socket) => socket.on('close', () => handler.forget(socket)));
  server.setTimeout(SILENCE_MS);
  server.on('clientError', (error, socket) => {
    const said = cut(error, /** @type {Socket} */ (socket));
    if (said) refused(said.status, said.message);
  });
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(undefined));
  });
  chosen = /** @type {AddressInfo} */ (server.address()).port;

  return {
    port: chosen,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${chosen}`,
    async close(options) {
      isClosing = true;
      const closed = new Promise((resolve) => server.close(resolve));
      await handler.close(options);
      // The last answers are still being sent.
      const late = setTimeout(() => server.closeAllConnections(), 500);
      server.closeIdleConnections();
      await closed;
      clearTimeout(late);
    },
  };
}

/**
 * Refuses without reading the body, which may never end.
 * @param {IncomingMessage} request
 * @param {ServerResponse} response
 * @param {ApiError} error
 */
function refuse(request, response, error) {
  const body = JSON.stringify(error);
  response.writeHead(error.status, { ...error.headers, 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), 'X-Content-Type-Options': 'nosniff', Connection: 'close' });
  response.end(body);
  request.resume();
}

/**
 * Answers a malformed request with an error, if that is possible, and closes the connection.
 * @param {Error & { code?: string }} error
 * @param {Socket} socket
 */
function cut({ code = '' }, socket) {
  if (!socket.writable || socket.destroyed || code === 'ECONNRESET') {
    socket.destroy();
    return undefined;
  }
  const [status, name, message] = PARSER_ERRORS[code] ?? [400, 'invalid_request', 'That is not a request of HTTP.'];
  const said = new ApiError(status, message, { code: name });
  const body = JSON.stringify(said);
  const head = ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'];
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
  return said;
}
