// `fireside-lm/service-worker`: `fetch('/v1/...')` of a page is answered inside the browser, by the model of this page or of another one of the same site.
//
//     const model = await Model.load('models/chat/');
//     await answerRequests({ models: { chat: model } });   // the page's folder has service-worker.js, a copy of fireside-lm's
//     await fetch('/v1/models');
//
// The service worker answers, with the handler of `fireside-lm/openai`; the engine stays in the worker of the page, which hands over a port of it (service-worker/script.js
// has the other end). What they say to each other: the page offers `{ fireside: 'models', models: [{ id, port }], limits }` by itself and whenever it is asked
// `{ fireside: 'models?' }`, which a service worker does that has been stopped and started again; it says `{ fireside: 'heard' }` of each. The page also asks to be taken over, `{ fireside: 'claim' }`.

import { badOption, FiresideError } from '../shared/errors.js';
import { settle } from './openai/limits.js';
import { until } from './wait.js';

/** @import { Model } from '../client/model.js' */
/** @import { HandlerOptions } from './openai.js' */

/** @typedef {Omit<HandlerOptions, 'base'> & { worker?: string | URL }} AnswerOptions `worker`: the script's address, relative to the page; its folder is whose pages it answers */

/** A service worker that takes longer to become this page's is not coming. */
const PATIENCE_MS = 20_000;
/** One that does not say within this time that it has an offer is stopped, or an older script. */
const HEARD_MS = 1_000;

/** All that this page offers, in the order in which it was asked to: of models with the same id, and of the limits, the latest holds. @type {Set<{ entries: [string, Model][], limits: object }>} */
const offers = new Set();

/** Called when the service worker has the offer that went out last. */
let hear = () => {};

/** Offers go out one after the other, each as it is by then. */
let last = Promise.resolve();

/** @param {ServiceWorker | null | undefined} to */
function offer(to) {
  const sent = last.then(async () => {
    const models = new Map([...offers].flatMap(({ entries }) => entries));
    const limits = Object.assign({}, ...[...offers].map(({ limits }) => limits));
    // A model whose engine is gone has no port; when it has been loaded again, it is offered again.
    const offered = (await Promise.all([...models].map(([id, model]) => model.port().then((port) => [{ id, port }], () => [])))).flat();
    if (!to) return;
    const heard = new Promise((/** @type {(_: void) => void} */ resolve) => {
      hear = resolve;
      setTimeout(resolve, offers.size > 0 ? HEARD_MS : 0);
    });
    to.postMessage({ fireside: 'models', models: offered, limits }, offered.map(({ port }) => port));
    // Messages and fetches go to a service worker by different ways: a fetch could overtake the offer.
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
 * Has the requests of this page and of others in its folder answered. Resolves when the next `fetch` will be. Rejects with UNSUPPORTED_ENVIRONMENT where there are no service
 * workers (a page from plain http, a private window) or the script cannot be had.
 * @param {AnswerOptions} options
 * @returns {Promise<{ stop: () => void }>} `stop`: answer no more by these models; those of other calls stay
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
  // The same function is added once, however often it is.
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

/** The service worker of this page, as soon as it is the one with this script. @param {ServiceWorkerContainer} container @param {ServiceWorkerRegistration} registration @param {URL} url */
async function controller(container, registration, url) {
  const isOurs = () => {
    if (container.controller?.scriptURL === url.href && container.controller.state === 'activated') return true;
    // By itself a service worker only takes pages that are opened after it.
    registration.active?.postMessage({ fireside: 'claim' });
    return false;
  };
  if (await until(isOurs, PATIENCE_MS)) return container.controller;
  throw unsupported(`a page within ${registration.scope}`, 'A service worker answers pages of its own folder and below.');
}

/** @param {string} lacks @param {string} remedy @param {unknown} [cause] */
function unsupported(lacks, remedy, cause) {
  return new FiresideError('UNSUPPORTED_ENVIRONMENT', `Requests cannot be answered here: this page lacks ${lacks}. ${remedy}`, { lacks }, { cause });
}
