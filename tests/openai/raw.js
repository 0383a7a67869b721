// HTTP by hand: writes bytes to a socket and returns the response.

import { connect } from 'node:net';

/**
 * Sends bytes and collects the response until the server closes, or until `patienceMs` after the last byte.
 * Resolves with the statuses of the responses and the text.
 * @param {number} port
 * @param {(string | Buffer)[]} parts
 * @param {{ patienceMs?: number, end?: boolean }} [how] `end`: close our side after the last part
 * @returns {Promise<{ statuses: number[], text: string, closed: boolean }>}
 */
export function raw(port, parts, { patienceMs = 10_000, end = false } = {}) {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let text = '';
    let isOver = false;
    const finish = (/** @type {boolean} */ closed) => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      socket.destroy();
      resolve({ statuses: [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)).filter((status) => status !== 100), text, closed });
    };
    let timer = setTimeout(finish, patienceMs, false);
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(finish, patienceMs, false);
    };
    socket.setEncoding('latin1').on('data', (data) => {
      text += data;
      wait();
    });
    socket.on('end', () => finish(true));
    socket.on('close', () => finish(true));
    socket.on('error', () => finish(true)); // a server that closes while we still send
    socket.on('connect', async () => {
      for (const part of parts) {
        if (isOver) return;
        if (!socket.write(part)) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
        wait();
      }
      if (end) socket.end();
    });
  });
}

/**
 * The text of a request.
 * @param {string} line
 * @param {Record<string, string | string[] | undefined>} headers
 * @param {string} [body]
 */
export function request(line, headers, body = '') {
  const rows = Object.entries(headers).flatMap(([name, value]) => [value].flat().filter((each) => each !== undefined).map((each) => `${name}: ${each}`));
  return `${[line, ...rows].join('\r\n')}\r\n\r\n${body}`;
}
