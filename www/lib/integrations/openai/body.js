// The body of a request: JSON by its declared type, of bounded length, an object.

import { ApiError, invalid } from './errors.js';

const MEDIA_TYPE = /^application\/json\s*(;|$)/i;

/**
 * Errors: 415 for another media type, because a page of another origin could send it without a preflight (a
 * "simple request" in CORS); 413; 400.
 * @param {Request} request
 * @param {number} bodyBytesMax
 * @returns {Promise<Record<string, unknown>>}
 */
export async function readBody(request, bodyBytesMax) {
  const { headers } = request;
  if (!MEDIA_TYPE.test(headers.get('content-type') ?? '') || headers.has('content-encoding')) {
    throw new ApiError(415, 'The body must be plain JSON: send it with `Content-Type: application/json`.', { code: 'unsupported_media_type' });
  }
  return parse(await readText(request, bodyBytesMax));
}

/** @param {Request} request @param {number} bodyBytesMax */
async function readText(request, bodyBytesMax) {
  const { headers } = request;
  const tooLarge = () => new ApiError(413, `The body may have ${bodyBytesMax} bytes at most.`, { code: 'request_too_large' });
  if (Number(headers.get('content-length')) > bodyBytesMax) throw tooLarge();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  // Firefox has no streams of what a page sends; it has all of it in memory anyway.
  const reader = (request.body === undefined ? new Response(await request.blob()) : request).body?.getReader();
  let [text, bytes] = ['', 0];
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
      if (done) return text + decoder.decode();
      bytes += value.length;
      if (bytes > bodyBytesMax) {
        reader?.cancel().catch(() => {});
        throw tooLarge();
      }
      text += decoder.decode(value, { stream: true });
    }
  } catch (cause) {
    if (cause instanceof ApiError) throw cause;
    throw new ApiError(400, 'The body could not be read: it ended early, or is not UTF-8.', { code: 'invalid_body', cause });
  }
}

/**
 * If a name occurs twice, the last value counts, as in every JSON parser of JavaScript.
 * @param {string} text
 * @returns {Record<string, unknown>}
 */
function parse(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ApiError(400, 'We could not parse the JSON body of your request.', { code: 'invalid_json', cause });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) throw invalid('body', 'invalid_type', 'The body must be a JSON object.');
  return value;
}
