// What the tests of the handler share: requests, a response's events, and waiting.

export { createHandler } from '../../www/lib/integrations/openai.js';
export { PARAMETERS } from '../../www/lib/integrations/openai/parameters.js';

/**
 * A request with a JSON body.
 * @param {string} path
 * @param {unknown} body a string is sent unchanged
 * @param {RequestInit} [more]
 */
export function post(path, body, { headers = {}, ...more } = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return new Request(`http://localhost${path}`, { method: 'POST', body: text, ...more, headers: { 'Content-Type': 'application/json', ...headers } });
}

/**
 * @param {string} path
 * @param {RequestInit} [more]
 */
export const get = (path, more) => new Request(`http://localhost${path}`, more);

/** The raw events of a stream, including `[DONE]`. @param {Response} response */
export async function events(response) {
  const text = await response.text();
  const parts = text.split('\n\n');
  if (parts.pop() !== '') throw new Error(`the stream ends in the middle of an event: ${text.slice(-100)}`);
  return parts.map((part) => {
    if (!part.startsWith('data: ')) throw new Error(`no event: ${part}`);
    const data = part.slice(6);
    return data === '[DONE]' ? data : JSON.parse(data);
  });
}

/** Waits until the condition holds. @param {() => unknown} isSo */
export async function until(isSo) {
  const end = performance.now() + 120_000;
  while (!isSo()) {
    if (performance.now() > end) throw new Error(`waited in vain for ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}
