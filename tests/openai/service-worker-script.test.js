// The service worker's script with fake pages: what it remembers of them when engines end and come back,
// and when a page offers its models again.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { Model } from '../../www/lib/node/index.js';
import './handler.js';
import { folder } from './server.js';

/** The pages that are open. @type {ReturnType<typeof page>[]} */
let pages = [];
const listeners = {};
const scope = {
  registration: { scope: 'http://localhost/' },
  skipWaiting() {},
  clients: { claim() {}, matchAll: async () => pages, get: async (id) => pages.find((page) => page.id === id) },
};
Object.assign(globalThis, { self: scope, location: { origin: 'http://localhost' }, addEventListener: (name, listener) => (listeners[name] = listener) });
await import('../../www/lib/integrations/service-worker/script.js');

let model;
before(async () => (model = await Model.load(folder('story'), { threads: 1 })));
after(() => model.dispose());
beforeEach(() => {
  for (const { say } of pages) say([]);
  pages = [];
});

/** A page that offers its models when asked, like `answerRequests`. */
function page(id, models = {}, limits = {}) {
  const say = (models) => listeners.message({ data: { fireside: 'models', models, limits }, source: self, waitUntil() {} });
  const offer = async () => say((await Promise.all(Object.entries(models).map(([id, model]) => model.port().then((port) => [{ id, port }], () => [])))).flat());
  const self = { id, say, offer, postMessage: ({ fireside }) => fireside === 'models?' && Object.keys(models).length > 0 && offer() };
  pages.push(self);
  return self;
}

/** A page's fetch. `waitUntil`: that of its event. */
function send(clientId, path, asked, waitUntil = () => {}) {
  const request = new Request(`http://localhost${path}`, asked && { method: 'POST', body: JSON.stringify(asked), headers: { 'Content-Type': 'application/json' } });
  return new Promise((resolve) => listeners.fetch({ request, clientId, waitUntil, respondWith: resolve }));
}

const complete = (clientId, tokens, more = {}) => send(clientId, '/v1/completions', { model: 'story', prompt: 'Once', max_tokens: tokens, min_tokens: tokens, ...more });
const models = async (clientId) => (await (await send(clientId, '/v1/models')).json()).data?.map(({ id }) => id);

test('a reloaded engine answers again after the service worker was restarted', async () => {
  page('A', { story: model }); // it has offered nothing yet, because the service worker has just started
  assert.equal((await complete('A', 2)).status, 200);
  const reloading = model.reload();
  assert.equal((await complete('A', 2)).status, 503);
  await reloading;
  assert.equal((await complete('A', 2)).status, 200);
});

test('models that a page offers while its old engine is being checked are kept', async (context) => {
  const [old, other] = await Promise.all([1, 2].map(() => Model.load(folder('story'), { threads: 1 })));
  const opened = page('A', { story: old });
  await opened.offer();
  assert.equal((await complete('A', 2)).status, 200);
  const port = await other.port();
  // An engine ends some time after `dispose` and responds until then. A second client of it tells when it
  // has ended.
  const witness = await Model.attach(await old.port());
  old.dispose();
  while (await witness.stats().then(() => true, () => false));
  // To check the old engine, the service worker asks for its stats. At that moment the page offers the new
  // engine.
  const { stats } = Model.prototype;
  const asked = context.mock.method(Model.prototype, 'stats', function () {
    opened.say([{ id: 'new', port }]);
    return stats.call(this);
  });
  const later = [];
  const refused = await send('A', '/v1/completions', { model: 'story', prompt: 'Once', max_tokens: 2 }, (promise) => later.push(promise));
  assert.equal(refused.status, 503);
  await Promise.all(later);
  assert.equal(asked.mock.callCount(), 1);
  opened.postMessage = () => {}; // it does not offer its models again
  assert.deepEqual(await models('A'), ['new']);
  other.dispose();
});

test('when a page offers its models again, waiting requests are answered and running answers continue', async () => {
  const opened = page('A', { story: model });
  page('B');
  await opened.offer();
  const running = await complete('B', 200, { stream: true });
  const waiting = [complete('B', 3), complete('A', 3)];
  await new Promise((resolve) => setTimeout(resolve, 20));
  await opened.offer();
  for (const response of await Promise.all(waiting)) {
    assert.equal(response.status, 200);
    assert.equal((await response.json()).usage.completion_tokens, 3);
  }
  assert.match(await running.text(), /\[DONE\]/);
});

test('of two pages with a model, each is answered by its own, and by the other one after its own has stopped', async () => {
  for (const id of ['A', 'B']) await page(id, { [`of-${id}`]: model }).offer();
  page('C');
  assert.deepEqual(await models('A'), ['of-A']);
  assert.deepEqual(await models('B'), ['of-B']);
  assert.equal((await models('C')).length, 1);
  pages[1].say([]);
  pages[1].postMessage = () => {};
  assert.deepEqual(await models('B'), ['of-A']);
});

test('a full queue gives 429 in the service worker too', async () => {
  await page('A', { story: model }, { queueMax: 1 }).offer();
  const answers = await Promise.all([0, 1, 2].map(async () => complete('A', 60)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 429]);
  const { error } = await answers.find(({ status }) => status === 429).json();
  assert.equal(error.code, 'rate_limit_exceeded');
  for (const response of answers) if (!response.bodyUsed) await response.text();
});
