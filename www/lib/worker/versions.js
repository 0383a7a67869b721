// Which version of a file a server has.

import { isHtml } from '../shared/errors.js';

/**
 * A server's name for a version of a file: its ETag without the part about the encoding, and Last-Modified.
 * @typedef {{ etag?: string, modified?: string }} Version
 */

/**
 * Asks for a file that is not compressed. Node unpacks a compressed one with a zlib that ends the whole
 * process when its worker ends at the wrong moment, and some servers name a compressed version differently.
 * Browsers ignore this header.
 */
export const AS_IT_IS = { 'Accept-Encoding': 'identity' };

/**
 * The statuses that say that a file is gone. Others say nothing about it: too many requests, an address
 * signed for GET alone.
 */
const GONE = [404, 410];

/**
 * The name of the version of an answer. An ETag may be weak where an answer is compressed and strong where
 * it is not, and some servers add the encoding to it: the file is the same.
 * @param {Headers} headers
 * @returns {Version}
 */
export function versionOf(headers) {
  const etag = headers.get('etag')?.replace(/^W\//, '').replace(/[-;]+(gzip|br|deflate|zstd)"$/, '"');
  const modified = headers.get('last-modified');
  return { ...(etag && { etag }), ...(modified && { modified }) };
}

/**
 * Whether two names cannot be of the same version. Like is compared with like: some answers lack one of
 * them.
 * @param {Version} a
 * @param {Version} b
 */
export function isOther(a, b) {
  if (a.etag && b.etag) return a.etag !== b.etag;
  return Boolean(a.modified && b.modified && a.modified !== b.modified);
}

/**
 * Whether all headers of an answer can be seen: those of the page's own site, and all outside a page.
 * @param {string} url
 */
export function isOwn(url) {
  return !globalThis.location || new URL(url, globalThis.location?.href).origin === globalThis.location?.origin;
}

/**
 * Whether the server still has the known version. One that does not answer is taken to have it.
 * @param {string} url
 * @param {{ version?: Version, size?: number, absent?: boolean }} known
 * @param {number} stallMs
 */
export async function isCurrent(url, { version = {}, size, absent }, stallMs) {
  const how = { method: 'HEAD', headers: AS_IT_IS, signal: AbortSignal.timeout(stallMs) };
  const response = await fetch(url, { ...how, cache: 'no-store' }).catch(() => undefined);
  if (!response || !(response.ok || GONE.includes(response.status))) return true;
  const gone = !response.ok || isHtml(response);
  if (absent || gone) return absent === gone;
  const now = versionOf(response.headers);
  if (isOther(now, version)) return false;
  if (now.etag && version.etag) return true;
  if (!isOwn(response.url || url) || response.headers.has('content-encoding')) return true;
  const length = Number(response.headers.get('content-length') ?? NaN);
  return Number.isNaN(length) || length === size;
}
