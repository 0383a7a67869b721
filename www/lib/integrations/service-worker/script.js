// The service worker of `fireside-lm/service-worker`, bundled as one classic script. It answers requests to
// `/v1/...`, at the root of the site and in its folder, and no others. It stores nothing: the browser may
// stop it at any time, and it then asks its pages again. Another service worker can load it with
// importScripts.

import { Model } from '../../client/model.js';
import { createHandler } from '../openai.js';
import { ApiError } from '../openai/errors.js';

/** @import { Handler } from '../openai.js' */

/** @typedef {{ handler: Handler, models: Model[] }} Offering of one page */

const scope = /** @type {any} */ (self);

/** The folder of this script's pages, without the slash at its end. */
const base = new URL(scope.registration.scope).pathname.replace(/\/$/, '');

/** How long pages may take to offer a model. */
const PATIENCE_MS = 1_000;
/** How much longer to wait for the model of the asking page itself, if another page has one. */
const OWN_MS = 100;

/** How long a browser lets a service worker work. */
const GRACE_MS = 300_000;

/** By the ids of their pages. @type {Map<string, Promise<Offering | undefined>>} */
const offerings = new Map();

/**
 * The question to all pages: under way, or answered since this service worker started and since it last
 * forgot a page.
 * @type {Promise<boolean> | undefined}
 */
let asked;

/** Called when a page has spoken. @type {Set<() => void>} */
const listeners = new Set();

addEventListener('install', () => scope.skipWaiting());
addEventListener('activate', (/** @type {any} */ event) => event.waitUntil(scope.clients.claim()));

addEventListener('message', (/** @type {any} */ event) => {
  const { data, source } = event;
  if (data?.fireside === 'claim') event.waitUntil(scope.clients.claim());
  if (data?.fireside !== 'models') return;
  const old = offerings.get(source.id);
  if (data.models.length > 0) event.waitUntil(offered(source.id, data));
  else forget(source.id);
  // Requests that wait there continue at the new offering.
  leave(old);
  source.postMessage({ fireside: 'heard' });
  for (const listener of listeners) listener();
});

addEventListener('fetch', (/** @type {any} */ event) => {
  const { origin, pathname: path } = new URL(event.request.url);
  const pathname = path.replace(/^\/{2,}/, '/');
  if (origin !== location.origin || !(pathname.startsWith('/v1/') || pathname.startsWith(`${base}/v1/`))) return;
  event.respondWith(answer(event));
});

/** @typedef {{ models: { id: string, port: MessagePort }[], limits: object }} Offer */

/** @param {string} id of the page @param {Offer} offer */
async function offered(id, offer) {
  const offering = open(offer);
  offerings.set(id, offering);
  // The engine may have ended meanwhile.
  if (!(await offering) && offerings.get(id) === offering) forget(id);
}

/** @param {Offer} offer @returns {Promise<Offering | undefined>} */
async function open({ models, limits }) {
  try {
    const attached = await Promise.all(models.map(async ({ id, port }) => /** @type {const} */ ([id, await Model.attach(port)])));
    return { handler: createHandler({ ...limits, models: Object.fromEntries(attached), base }), models: attached.map(([, model]) => model) };
  } catch {
    return undefined;
  }
}

/** Forgets a page, so that it is asked again. @param {string} id */
function forget(id) {
  const offering = offerings.get(id);
  offerings.delete(id);
  asked = undefined;
  return offering;
}

/**
 * Closes an offering to new requests. Answers under way may end; their sessions are freed then, or end with
 * the engine.
 * @param {Promise<Offering | undefined> | undefined} offering
 */
async function leave(offering) {
  const { handler, models = [] } = (await offering) ?? {};
  await handler?.close({ graceMs: GRACE_MS });
  for (const model of models) model.dispose();
}

/** @param {any} event @returns {Promise<Response>} */
async function answer(event) {
  // A page that is still loading has no id yet.
  const client = event.clientId || event.resultingClientId;
  let page = await find(client);
  let offering = page && (await offerings.get(page));
  if (!page || !offering) {
    const message = 'No page of this site has a model. Open one that has, and try again.';
    return new ApiError(503, message, { code: 'no_model_loaded' }).toResponse();
  }
  for (;;) {
    // No browser tells a service worker that a page has stopped waiting for a Response.
    const response = await offering.handler(event.request.clone(), { owner: client, waitUntil: (promise) => event.waitUntil(promise), isDeaf: true });
    if (response.status !== 503) return response;
    // Nothing of the answer was sent. If the offering was closed meanwhile, there may be another one.
    const next = await choose(client);
    const other = next && (await offerings.get(next));
    if (!other || other === offering) {
      // Its page offers it again after it was loaded again.
      event.waitUntil(look(page, offering));
      return response;
    }
    [page, offering] = [next, other];
  }
}

/**
 * The page that answers. After a restart, or if no page has a model, it asks all pages first.
 * @param {string} clientId
 */
async function find(clientId) {
  const page = await choose(clientId);
  if (page === clientId || (page && asked)) return page;
  asked ??= ask(clientId);
  if (!(await asked)) asked = undefined;
  return choose(clientId);
}

/**
 * Asks every page without an offer for one. Resolves with whether there is an offer.
 * @param {string} clientId
 */
async function ask(clientId) {
  const clients = (await scope.clients.matchAll({ type: 'window' })).filter((/** @type {{ id: string }} */ { id }) => !offerings.has(id));
  if (clients.length === 0) return offerings.size > 0;
  const heard = new Promise((/** @type {(_: void) => void} */ resolve) => {
    const listener = () => {
      if (offerings.has(clientId)) resolve();
      else setTimeout(resolve, OWN_MS);
    };
    listeners.add(listener);
    setTimeout(() => (listeners.delete(listener), resolve()), PATIENCE_MS);
  });
  for (const client of clients) client.postMessage({ fireside: 'models?' });
  await heard;
  return offerings.size > 0;
}

/** The page that answers: the asking page if it has a model, else any. @param {string} clientId */
async function choose(clientId) {
  for (const id of new Set([clientId, ...offerings.keys()])) {
    if (!offerings.has(id)) continue;
    if (await scope.clients.get(id)) return id;
    leave(forget(id));
  }
  return undefined;
}

/**
 * Forgets a page whose engine has ended, so that the next request asks it again.
 * @param {string} page
 * @param {Offering} offering
 */
async function look(page, offering) {
  const states = await Promise.allSettled(offering.models.map((model) => model.stats()));
  if (states.every(({ status }) => status === 'fulfilled')) return;
  // The page may have offered a new one meanwhile.
  if ((await offerings.get(page)) === offering) leave(forget(page));
}
