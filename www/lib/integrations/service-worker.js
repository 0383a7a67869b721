// `fireside-lm/service-worker`: answers `fetch('/v1/...')` of a page inside the browser, with the model of
// this page or of another page of the site.
//
//     const model = await Model.load('models/chat/');
//     await answerRequests({ models: { chat: model } });   // service-worker.js lies in the page's folder
//     await fetch('/v1/models');
//
// The service worker (service-worker/script.js) answers with the handler of `fireside-lm/openai`. The engine
// stays in the worker of the page, which passes a port to it. Their messages:
//
//     page            { fireside: 'models', models: [{ id, port }], limits }   what the page offers
//     service worker  { fireside: 'heard' }                                    it has the offer
//     service worker  { fireside: 'models?' }                                  it was restarted: offer again
//     page            { fireside: 'claim' }                                    take over this page

import { badOption, FiresideError } from '../shared/errors.js';
import { settle } from './openai/limits.js';
import { until } from './wait.js';

/** @import { Model } from '../client/model.js' */
/** @import { HandlerOptions } from './openai.js' */

/**
 * @typedef {Omit<HandlerOptions, 'base'> & { worker?: string | URL }} AnswerOptions `worker`: the script's
 *   URL, relative to the page; it answers the pages of its folder
 */

/** How long a service worker may take to become this page's. */
const PATIENCE_MS = 20_000;
/** How long to wait for `heard`. A stopped service worker and an older script never say it. */
const HEARD_MS = 1_000;

/**
 * The offers of this page, in the order of its calls. The latest one holds for models with the same id, and
 * for the limits.
 * @type {Set<{ entries: [string, Model][], limits: object }>}
 */
const offers = new Set();

/** Called when the service worker has the latest offer. */
let hear = () => {};

/** Offers are sent one after the other, each in its state at that time. */
let last = Promise.resolve();

/** @param {ServiceWorker | null | undefined} to */
function offer(to) {
  const sent = last.then(async () => {
    const models = new Map([...offers].flatMap(({ entries }) => entries));
    const limits = Object.assign({}, ...[...offers].map(({ limits }) => limits));
    // A model whose engine has ended has no port. It is offered again after it was loaded again.
    const offered = (await Promise.all([...models].map(([id, model]) => model.port().then((port) => [{ id, port }], () => [])))).flat();
    if (!to) return;
    const heard = new Promise((/** @type {(_: void) => void} */ resolve) => {
      hear = resolve;
      setTimeout(resolve, offers.size > 0 ? HEARD_MS : 0);
    });
    to.postMessage({ fireside: 'models', models: offered, limits }, offered.map(({ port }) => port));
    // Messages and fetches reach a service worker on different ways, so a fetch could overtake the offer.
    await heard;
  });
  last = sent.catch(() => {});
  return sent;
}

/** From the service worker, which may have been started again. @param {MessageEvent} event */
function onMessage({ data, source }) {
  if (data?.fireside === 'heard') hear();
  if (data?.fireside === 'models?') offer(/** @type {ServiceWorker} */ (source));
}

/** A newer script takes over: it has to be told as well. */
function onChange() {
  offer(navigator.serviceWorker.controller);
}

/**
 * Answers the requests of this page and of others in its folder. Resolves when the next `fetch` will be
 * answered. Rejects with UNSUPPORTED_ENVIRONMENT if there are no service workers (plain http, a private
 * window) or the script cannot be loaded.
 * @param {AnswerOptions} options
 * @returns {Promise<{ stop: () => void }>} `stop`: takes these models back; those of other calls stay
 */
export async function answerRequests({ worker = 'service-worker.js', models, ...limits }) {
  const { serviceWorker } = navigator;
  if (!serviceWorker) throw unsupported('service workers', 'Serve the page by https or from localhost, and not in a private window.');
  /** @type {[string, Model][]} */
  const entries = typeof models?.session === 'function' ? [['fireside', /** @type {Model} */ (models)]] : Object.entries(models ?? {});
  if (entries.length === 0 || !entries.every(([, model]) => typeof model?.port === 'function')) throw badOption('models', 'a Model, or one for each id', models);
  settle(limits);

  const mine = { entries, limits };
  const url = new URL(worker, document.baseURI);
  const registration = await serviceWorker.register(url, { updateViaCache: 'none' }).catch((cause) => {
    throw unsupported(`the service worker at ${url}`, "Copy fireside-lm's service-worker.js into the page's folder, or name its address by `worker`.", cause);
  });
  offers.add(mine);
  // The browser adds the same function only once.
  serviceWorker.addEventListener('message', onMessage);
  serviceWorker.addEventListener('controllerchange', onChange);
  serviceWorker.startMessages();
  const stop = () => {
    if (!offers.delete(mine)) return;
    if (offers.size === 0) {
      serviceWorker.removeEventListener('message', onMessage);
      serviceWorker.removeEventListener('controllerchange', onChange);
    }
    offer(serviceWorker.controller);
  };
  try {
    await offer(await controller(serviceWorker, registration, url));
  } catch (error) {
    stop();
    throw error;
  }
  return { stop };
}

/**
 * Waits until the page's service worker is the one with this script, and returns it.
 * @param {ServiceWorkerContainer} container
 * @param {ServiceWorkerRegistration} registration
 * @param {URL} url
 */
async function controller(container, registration, url) {
  const isOurs = () => {
    if (container.controller?.scriptURL === url.href && container.controller.state === 'activated') return true;
    // A service worker by itself takes over only pages that are opened later.
    registration.active?.postMessage({ fireside: 'claim' });
    return false;
  };
  if (await until(isOurs, PATIENCE_MS)) return container.controller;
  throw unsupported(`a page within ${registration.scope}`, 'A service worker answers only pages in its folder and below.');
}

/** @param {string} lacks @param {string} remedy @param {unknown} [cause] */
function unsupported(lacks, remedy, cause) {
  return new FiresideError('UNSUPPORTED_ENVIRONMENT', `Requests cannot be answered here: this page lacks ${lacks}. ${remedy}`, { lacks }, { cause });
}
