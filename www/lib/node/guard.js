// Which requests are allowed. Every page in a browser on this machine can reach a local server: by its
// address, by a name that the page's owner points to it (DNS rebinding), and without a preflight if the
// request is "simple" in CORS. So Host must be ours, Origin must be ours or allowed, and there is no
// wildcard.

import { createHash, timingSafeEqual } from 'node:crypto';
import { isIP } from 'node:net';
import { ApiError } from '../integrations/openai/errors.js';

/** @import { IncomingMessage } from 'node:http' */

/**
 * @typedef {{ host: string, allowHosts?: string[], allowOrigins?: string[], apiKey?: string | string[] }}
 *   Allowed `host`: the server's; `apiKey`: one, or several of which any is accepted
 */

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
const WILDCARDS = ['0.0.0.0', '::'];
/** The headers by which a proxy tells that it asks for a client. */
const PROXY_HEADERS = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'];
const HEADER_NAMES = /^[\w-]+(\s*,\s*[\w-]+)*$/;

/** Whether only this machine can reach the address. @param {string} host */
export function isLoopback(host) {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * The origin of a URL in the form of the header `Origin`: that of `http://x/` is `http://x`. Origins of
 * extensions and apps (`chrome-extension://ID`, `app://obsidian.md`, `tauri://localhost`) are scheme and
 * host. Undefined for anything else, `null` and wildcards included.
 * @param {string} text
 */
export function originOf(text) {
  const [, scheme, host] = /^([a-z][a-z\d+.-]*):\/\/((?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?)\/?$/i.exec(text) ?? [];
  if (!scheme || /^(file|data|blob|about|javascript)$/i.test(scheme)) return undefined;
  if (!/^https?$/i.test(scheme)) return `${scheme}://${host}`.toLowerCase();
  return URL.canParse(text) ? new URL(text).origin : undefined;
}

/**
 * Makes the check of requests. It returns the headers that the answer needs, with `isPreflight` for a
 * preflight, or throws an ApiError (with the same headers once the origin is known). `owner` is the holder
 * of the key, else the connection, except for a proxy, which asks for many clients.
 * @param {Allowed} allowed
 * @param {() => number} port the server's
 */
export function guard({ host, allowHosts = [], allowOrigins = [], apiKey = [] }, port) {
  const keys = [apiKey].flat().map(digest);
  const hosts = new Set(allowHosts.map((name) => name.toLowerCase()));
  const origins = new Set(allowOrigins.map(originOf));
  const isEverywhere = WILDCARDS.includes(host);
  const own = new Set([...LOOPBACK, host.includes(':') ? `[${host}]` : host.toLowerCase()]);

  /**
   * Whether `allowHosts` has this name: that of a proxy, with or without its port.
   * @param {string} value of the header
   */
  const isAllowed = (value) => hosts.has(value.toLowerCase()) || hosts.has(value.toLowerCase().replace(/:\d{1,5}$/, ''));

  /** @param {string} value of the header */
  function isOwn(value) {
    const [, name, given] = value.toLowerCase().match(/^(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/) ?? [];
    if (!name) return false;
    if (isAllowed(value)) return true;
    if (Number(given ?? 80) !== port()) return false;
    // An address cannot be a name that somebody points here.
    return own.has(name) || (isEverywhere && isIP(name.replace(/^\[|\]$/g, '')) > 0);
  }

  /** @param {IncomingMessage} request @returns {Record<string, string>} */
  function checkOrigin({ headers, method }) {
    const { origin } = headers;
    if (origin === undefined) {
      // Embedded requests (a script, an image) have no Origin, but current browsers send Sec-Fetch-Site.
      const isForeign = ['cross-site', 'same-site'].includes(String(headers['sec-fetch-site'])) && headers['sec-fetch-mode'] !== 'navigate';
      if (isForeign) throw forbidden('Pages of other origins may not ask this server.', 'origin_not_allowed');
      return {};
    }
    if (origin === `http://${headers.host}`) return {};
    if (origin === 'null') {
      const message = 'A page without an origin (of a file, or in a sandboxed frame) may not ask this server: any website can make one. Serve the page from an address, and allow that by --allow-origin.';
      throw forbidden(message, 'origin_not_allowed');
    }
    if (!origins.has(origin.toLowerCase())) {
      const named = originOf(origin) ?? 'ORIGIN';
      throw forbidden(`The origin ${origin.slice(0, 100)} may not ask this server. Start it with --allow-origin ${named.slice(0, 100)} to let it.`, 'origin_not_allowed');
    }
    const shared = { 'Access-Control-Allow-Origin': origin, Vary: 'Origin' };
    if (method !== 'OPTIONS') return { ...shared, 'Access-Control-Expose-Headers': 'X-Request-Id, Retry-After' };
    const wanted = headers['access-control-request-headers'] ?? '';
    return {
      ...shared,
      'Access-Control-Allow-Methods': 'GET, POST',
      ...(HEADER_NAMES.test(wanted) && { 'Access-Control-Allow-Headers': wanted }),
      ...(headers['access-control-request-private-network'] === 'true' && { 'Access-Control-Allow-Private-Network': 'true' }),
      'Access-Control-Max-Age': '600',
    };
  }

  /**
   * The digest of the request's key; undefined if the server needs no key.
   * @param {IncomingMessage} request
   * @param {Record<string, string>} shared headers, so that a page can read that its key is wrong
   */
  function checkKey({ headers, url }, shared) {
    // A supervisor of the server needs no key.
    if (keys.length === 0 || url === '/health') return undefined;
    const given = digest(headers.authorization?.match(/^Bearer (.+)$/i)?.[1] ?? '');
    // Compares with all keys, so that the time reveals nothing.
    const [found] = keys.filter((key) => timingSafeEqual(given, key));
    if (found) return found.toString('hex');
    throw new ApiError(401, 'Incorrect API key provided.', { code: 'invalid_api_key', headers: { ...shared, 'WWW-Authenticate': 'Bearer' } });
  }

  /**
   * @param {IncomingMessage} request
   * @returns {{ isPreflight: boolean, headers: Record<string, string>, owner: unknown }}
   */
  return (request) => {
    const { headers, url, rawHeaders, method } = request;
    if (!url?.startsWith('/')) throw new ApiError(400, 'The request target must be a path.', { code: 'invalid_url' });
    if (rawHeaders.filter((name, index) => index % 2 === 0 && /^host$/i.test(name)).length > 1) throw new ApiError(400, 'There is more than one Host.', { code: 'invalid_host' });
    if (!isOwn(headers.host ?? '')) {
      throw forbidden(`The host ${JSON.stringify(headers.host?.slice(0, 100) ?? '')} is not this server's. Start it with --allow-host to let it be.`, 'host_not_allowed');
    }
    const shared = checkOrigin(request);
    const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined && 'Vary' in shared;
    const key = isPreflight ? undefined : checkKey(request, shared);
    const isProxied = isAllowed(headers.host ?? '') || PROXY_HEADERS.some((name) => headers[name] !== undefined);
    return { isPreflight, headers: shared, owner: key ?? (isProxied ? undefined : request.socket) };
  };
}

/** @param {string} message @param {string} code */
function forbidden(message, code) {
  return new ApiError(403, message, { type: 'permission_error', code });
}

/** Has the same length for every text. @param {string} text */
function digest(text) {
  return createHash('sha256').update(text).digest();
}
