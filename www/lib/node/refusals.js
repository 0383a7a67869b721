// Writes one line to the terminal for each request that `fireside serve` refuses, with the reason. Texts of
// clients are cut short and lose their control characters, and a client that is always refused does not
// fill the terminal.

/** The most lines in a second. Of further refusals only the number is told. */
const LINES_MAX = 10;
const CHARS_MAX = 120;

/** A client's text, safe for a terminal. @param {string | undefined} text */
function shown(text = '') {
  const plain = text.replace(/[^\x20-\x7e]/g, '?');
  return plain.length > CHARS_MAX ? `${plain.slice(0, CHARS_MAX)}...` : plain;
}

/**
 * @typedef {{ method?: string, url?: string, headers?: { origin?: string, host?: string } }} Asked what is
 *   known of the request
 */
/** @typedef {(status: number, message: string, asked?: Asked) => void} Refused */

/** @param {(line: string) => void} write @returns {Refused} */
export function refusals(write) {
  let [second, lines] = [0, 0];
  return (status, message, { method = '-', url = '-', headers = {} } = {}) => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      if (lines > LINES_MAX) write(`${lines - LINES_MAX} more requests were refused`);
      [second, lines] = [now, 0];
    }
    if (++lines > LINES_MAX) return;
    const from = headers.origin === undefined ? '' : ` from ${shown(headers.origin)}`;
    write(`${status} ${shown(method)} ${shown(url)}${from}: ${shown(message)}`);
  };
}
