// The service worker of `fireside-lm/service-worker`, bundled as one classic script: answers requests to `/v1/...`, at the root of the site and in its own folder, and leaves all
// others alone. It keeps nothing: the browser may stop it at any time, and it then asks its pages again. Beside another service worker's code it is imported by importScripts.

import { Model } from '../../client/model.js';
import { createHandler } from '../openai.js';
import { ApiError } from '../openai/errors.js';

/** @import { Handler } from '../openai.js' */

/** @typedef {{ handler: Handler, models: Model[] }} Offering of one page */

const scope = /** @type {any} */ (self);

/** The folder of this script's pages, without the slash at its end. */
const base = new URL(scope.registration.scope).pathname.replace(/\/$/, '');

/** Pages that do not say within this time that they have a model are taken to have none. */
const PATIENCE_MS = 1_000;
/** Where another page has one, that of the page that asks is waited for so much longer. */
const OWN_MS = 100;

/** As long as a browser lets a service worker work. */
const GRACE_MS = 300_000;

/** By the ids of their pages. @type {Map<string, Promise<Offering | undefined>>} */
const offerings = new Map();

/** The asking of all pages: under way, or done with success since this service worker was started and since a page was last forgotten. @type {Promise<boolean> | undefined} */
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
  // Those who wait there go on at the new offering.
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
  // An engine that has gone meanwhile is no offer.
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

/** Forgets a page, which is asked again. @param {string} id */
function forget(id) {
  const offering = offerings.get(id);
  offerings.delete(id);
  asked = undefined;
  return offering;
}

/** Opens to nobody else. What is being answered may end; its sessions go then, or with its engine. @param {Promise<Offering | undefined> | undefined} offering */
async function leave(offering) {
  const { handler, models = [] } = (await offering) ?? {};
  await handler?.close({ graceMs: GRACE_MS });
  for (const model of models) model.dispose();
}

/** @param {any} event @returns {Promise<Response>} */
async function answer(event) {
  // A page that is being opened has no id yet.
  const client = event.clientId || event.resultingClientId;
  let page = await find(client);
  let offering = page && (await offerings.get(page));
  if (!page || !offering) {
    const message = 'No page of this site has a model. Open one that has, and try again.';
    return new ApiError(503, message, { code: 'no_model_loaded' }).toResponse();
  }
  for (;;) {
    // No browser tells a service worker of a page that gives up waiting for a Response.
    const response = await offering.handler(event.request.clone(), { owner: client, waitUntil: (promise) => event.waitUntil(promise), isDeaf: true });
    if (response.status !== 503) return response;
    // Nothing of an answer has been sent. Where the offering was left meanwhile, there may be another one.
    const next = await choose(client);
    const other = next && (await offerings.get(next));
    if (!other || other === offering) {
      // Its page offers it again when it has been loaded again.
      event.waitUntil(look(page, offering));
      return response;
    }
    [page, offering] = [next, other];
  }
}

/** The page that answers. Where this service worker was just started, or no page has a model, they are asked first. @param {string} clientId */
async function find(clientId) {
  const page = await choose(clientId);
  if (page === clientId || (page && asked)) return page;
  asked ??= ask(clientId);
  if (!(await asked)) asked = undefined;
  return choose(clientId);
}

/** Has every page that has offered nothing offer what it has. Resolves with whether there is an offer. @param {string} clientId */
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

/** The page that answers: the one that asks, if it has a model, else any. @param {string} clientId */
async function choose(clientId) {
  for (const id of new Set([clientId, ...offerings.keys()])) {
    if (!offerings.has(id)) continue;
    if (await scope.clients.get(id)) return id;
    leave(forget(id));
  }
  return undefined;
}

/** Forgets a page whose engine is gone, so that the next request asks it again. @param {string} page @param {Offering} offering */
async function look(page, offering) {
  const states = await Promise.allSettled(offering.models.map((model) => model.stats()));
  if (states.every(({ status }) => status === 'fulfilled')) return;
  // Meanwhile it may have offered a new one.
  if ((await offerings.get(page)) === offering) leave(forget(page));
}
