// Files that change on the server, between loads and during them; and what is published about them:
// fireside.lock.json, and the hub's file list.

import assert from 'node:assert/strict';
import { COMMIT } from '../hub.mjs';
import { readModel, WEIGHTS } from '../models.mjs';
import { ALL, NOTHING, REST } from '../runner.mjs';

const MID = 2_500_000;
const weightsOf = (model) => readModel(model).get(WEIGHTS);
const askedFor = (log, file = WEIGHTS) => log.filter((entry) => entry.file === file && entry.method === 'GET').length;
/** The settings of a load that checks its files. */
const WITH_LOCK = { options: { lock: true } };
/** Writes a folder's lock file. @param {any} folder */
const locked = (folder) => (folder.lock(), WITH_LOCK);
/** A position in the middle of the third chunk. */
const BYTE = 2_600_000;

/** @type {import('../runner.mjs').Case[]} */
export const changes = [
  ...[
    { fault: 'the weights on the server have changed since they were stored', model: 'padded', validators: 'all' },
    { fault: 'the weights have changed and have the same length', model: 'relaid', validators: 'all' },
    { fault: 'the weights have changed, and the server sends no versions', model: 'padded', validators: 'none' },
  ].map(({ fault, model, validators }) => ({
    fault,
    sees: 'the new model',
    again: ALL,
    set: (folder) => (folder.validators = validators),
    ends: 'text',
    // In every case the second load finds the old file, and a third load finds the new one.
    check: async ({ folder, page, driver }) => {
      folder.files.set(WEIGHTS, weightsOf(model));
      const third = await driver.load(page, folder);
      assert.equal(third.code, undefined, third.message);
      assert.equal(third.text, 'I like green too!');
      assert.equal(askedFor(third.log), 1);
      assert.equal(askedFor(third.log, 'tokenizer.json'), 0);
      assert.equal(folder.sent(/safetensors/), weightsOf('chat').length + weightsOf(model).length);
    },
  })),
  ...['padded', 'relaid'].map((model) => ({
    fault: `the weights change while they are being fetched${model === 'padded' ? '' : ', and have the same length'}`,
    sees: 'the load starts over with the new file',
    again: ALL,
    set: (folder) =>
      folder.on(
        WEIGHTS,
        () => {
          queueMicrotask(() => folder.files.set(WEIGHTS, weightsOf(model)));
          return { cut: MID, bytes: weightsOf('chat'), etag: folder.etag(WEIGHTS) };
        },
        1,
      ),
    ends: 'text',
  })),
  {
    fault: 'the weights change while they are being fetched, and the server sends no versions',
    sees: 'the load starts over with the new file',
    again: ALL,
    set: (folder) => {
      folder.validators = 'none';
      folder.on(WEIGHTS, { cut: MID, bytes: weightsOf('chat') }, 1);
      folder.files.set(WEIGHTS, weightsOf('relaid'));
    },
    ends: 'text',
  },
  {
    fault: 'the weights change between two loads, the first of which did not complete',
    sees: '`NETWORK`, then the new model',
    again: ALL,
    set: (folder) => folder.breakAt(4_000_000, { status: 403 }),
    repair: (folder) => folder.mend().files.set(WEIGHTS, weightsOf('relaid')),
    ends: 'NETWORK',
  },
  {
    fault: 'the weights change at every request',
    sees: '`INTEGRITY` after starting over',
    again: ALL,
    set: (folder) => {
      let version = 0;
      folder.on(WEIGHTS, () => ({ cut: MID, bytes: weightsOf(version % 2 ? 'chat' : 'relaid'), etag: `"${version++}"` }));
    },
    ends: 'INTEGRITY',
  },
  {
    fault: 'fireside.lock.json exists and is correct',
    sees: 'the text; only listed files are requested',
    again: NOTHING,
    set: (folder) => locked(folder),
    ends: 'text',
    check: ({ first, second, folder }) => {
      assert.deepEqual([...first.log, ...second.log].filter(({ file }) => !folder.files.has(file)), []);
      assert.equal(askedFor(second.log), 0);
    },
  },
  ...[
    { what: 'a wrong sha256', edit: (entry) => (entry.sha256 = 'a'.repeat(64)) },
    { what: 'a wrong size', edit: (entry) => (entry.size += 1) },
  ].map(({ what, edit }) => ({
    fault: `fireside.lock.json lists ${what} for the weights`,
    sees: '`INTEGRITY` with the expected and the actual value; it is not stored',
    again: ALL,
    set: (folder) => {
      const files = folder.lock();
      edit(files[WEIGHTS]);
      folder.right = folder.files.get('fireside.lock.json');
      folder.files.set('fireside.lock.json', Buffer.from(JSON.stringify({ files })));
      return WITH_LOCK;
    },
    repair: (folder) => folder.files.set('fireside.lock.json', folder.right),
    ends: 'INTEGRITY',
    check: ({ first, folder }) => {
      assert.equal(first.details.file, WEIGHTS);
      assert.deepEqual(Object.keys(first.details).filter((key) => ['expected', 'got'].includes(key)).sort(), ['expected', 'got']);
      assert.notEqual(first.details.expected, first.details.got);
      assert(folder.log.length < 40, `${folder.log.length} requests`);
    },
  })),
  {
    fault: 'a byte of the weights is corrupted once in transit (with a lock)',
    sees: 'it is fetched again',
    again: ALL,
    set: (folder) => {
      folder.on(WEIGHTS, { corrupt: BYTE }, 1);
      return locked(folder);
    },
    ends: 'text',
    check: ({ first }) => assert(askedFor(first.log) >= 2),
  },
  {
    fault: 'a byte of tokenizer.json is corrupted once in transit (with a lock)',
    sees: 'it is fetched again',
    again: ALL,
    set: (folder) => {
      folder.on('tokenizer.json', { corrupt: 1000 }, 1);
      return locked(folder);
    },
    ends: 'text',
    check: ({ first }) => assert.equal(askedFor(first.log, 'tokenizer.json'), 2),
  },
  {
    fault: 'a byte of the weights is always corrupted (with a lock)',
    sees: '`INTEGRITY`; it is not stored',
    again: ALL,
    set: (folder) => {
      folder.on(WEIGHTS, { corrupt: BYTE });
      return locked(folder);
    },
    ends: 'INTEGRITY',
    check: ({ first }) => assert.equal(first.details.file, WEIGHTS),
  },
  {
    fault: 'the weights end early once, without an error (with a lock)',
    sees: 'the load continues; the lock file has the length',
    again: REST,
    set: (folder) => {
      folder.on(WEIGHTS, { end: MID }, 1);
      return locked(folder);
    },
    ends: 'text',
  },
  {
    fault: 'the weights and their lock file have changed since they were stored',
    sees: 'the new model',
    again: ALL,
    set: (folder) => locked(folder),
    ends: 'text',
    check: async ({ folder, page, driver }) => {
      folder.files.set(WEIGHTS, weightsOf('relaid'));
      folder.lock();
      const third = await driver.load(page, folder, WITH_LOCK);
      assert.equal(third.text, 'I like green too!', third.message);
      assert.equal(askedFor(third.log), 1);
      assert.equal(askedFor(third.log, 'tokenizer.json'), 0);
    },
  },
  {
    fault: 'fireside.lock.json is not a lock file',
    sees: '`BAD_FILE`, which names it',
    again: ALL,
    set: (folder) => {
      folder.files.set('fireside.lock.json', Buffer.from('{"files": [1]}'));
      return WITH_LOCK;
    },
    repair: (folder) => folder.lock(),
    ends: 'BAD_FILE',
    check: ({ first }) => assert.match(first.message, /fireside\.lock\.json/),
  },
  {
    fault: 'fireside.lock.json is requested and missing',
    sees: '`NETWORK`, which names it',
    again: ALL,
    set: () => WITH_LOCK,
    repair: (folder) => folder.lock(),
    ends: 'NETWORK',
    check: ({ first }) => assert.equal(first.details.status, 404),
  },
  {
    fault: 'the option lock is not set',
    sees: 'the text; the lock file is not requested',
    again: NOTHING,
    set: (folder) => {
      folder.lock();
    },
    ends: 'text',
    check: ({ first, second }) => assert.equal(askedFor([...first.log, ...second.log], 'fireside.lock.json'), 0),
  },
];

/**
 * Loads from a hub whose repository is the folder.
 * @param {any} folder
 * @param {any} server
 * @param {object} [settings]
 * @param {string} [source]
 */
function fromHub(folder, server, settings, source = 'hf:owner/name') {
  folder.hub = server.hub(folder, settings);
  return { source, options: { hub: folder.hub.url } };
}

/** @type {import('../runner.mjs').Case[]} */
export const hub = [
  {
    fault: 'hub: everything works',
    sees: 'the text; every file is from the same commit',
    again: NOTHING,
    set: (folder, server) => fromHub(folder, server),
    ends: 'text',
    check: ({ folder, second }) => {
      assert.deepEqual([...new Set(folder.hub.api)], ['main?blobs=true']);
      assert.deepEqual(folder.hub.revisions, [COMMIT]);
      assert.equal(askedFor(second.log), 0);
    },
  },
  {
    fault: 'hub: a revision is requested',
    sees: 'the text; every file is from that revision\'s commit',
    again: NOTHING,
    set: (folder, server) => fromHub(folder, server, {}, 'hf:owner/name@v1.0'),
    ends: 'text',
    check: ({ folder }) => {
      assert.deepEqual([...new Set(folder.hub.api)], ['v1.0?blobs=true']);
      assert.deepEqual(folder.hub.revisions, [COMMIT]);
    },
  },
  ...[
    { what: 'answers 404', listingFault: { status: 404, body: '{"error":"Not found"}' } },
    { what: 'answers 500', listingFault: { status: 500, body: 'no' } },
    { what: 'is not JSON', listingFault: { body: '<html>' } },
    { what: 'names no commit', listingFault: { body: '{"siblings": "none"}' } },
  ].map(({ what, listingFault }) => ({
    fault: `hub: the file list ${what}`,
    sees: 'the text; the revision is used unchanged',
    again: NOTHING,
    model: 'story',
    set: (folder, server) => fromHub(folder, server, { listingFault }),
    ends: 'text',
    check: ({ folder }) => assert.deepEqual(folder.hub.revisions, ['main']),
  })),
  {
    fault: 'hub: the weights are on another host (302), and the connection breaks',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder, server) => {
      const elsewhere = server.folder('chat').on(WEIGHTS, { cut: MID }, 1);
      folder.elsewhere = elsewhere;
      return fromHub(folder, server, { weightsAt: elsewhere.other });
    },
    ends: 'text',
    check: ({ folder }) => assert(folder.elsewhere.sent() <= 6_056_712 + (2 << 20)),
  },
  {
    fault: 'hub: the connection breaks in the middle of the weights',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder, server) => {
      folder.on(WEIGHTS, { cut: MID }, 1);
      return fromHub(folder, server);
    },
    ends: 'text',
  },
  {
    fault: 'hub: a byte of the weights is corrupted once in transit',
    sees: 'it is fetched again, because the hub lists its sha256',
    again: ALL,
    set: (folder, server) => {
      folder.on(WEIGHTS, { corrupt: BYTE }, 1);
      return fromHub(folder, server);
    },
    ends: 'text',
  },
  {
    fault: 'hub: the weights are not those of the file list',
    sees: '`INTEGRITY`; they are not stored',
    again: ALL,
    set: (folder, server) => {
      folder.on(WEIGHTS, { bytes: weightsOf('relaid') });
      return fromHub(folder, server);
    },
    ends: 'INTEGRITY',
  },
  ...[401, 403].map((status) => ({
    fault: `hub: the repository is closed (${status})`,
    sees: '`NETWORK` with the status and a remedy',
    again: ALL,
    set: (folder, server) => {
      folder.on('*', { status });
      return fromHub(folder, server, { listingFault: { status, body: '{"error":"Access is restricted"}' } });
    },
    repair: (folder) => {
      folder.mend();
      delete folder.hub.listingFault;
    },
    ends: 'NETWORK',
    check: ({ first }) => {
      assert.equal(first.details.status, status);
      assert.match(first.message, /account/);
    },
  })),
  {
    fault: 'hub: there is no such repository (404)',
    sees: '`NETWORK` with the status and a remedy',
    again: ALL,
    set: (folder, server) => {
      folder.on('*', { status: 404 });
      return fromHub(folder, server, { listingFault: { status: 404, body: '{"error":"Repository not found"}' } });
    },
    repair: (folder) => {
      folder.mend();
      delete folder.hub.listingFault;
    },
    ends: 'NETWORK',
    check: ({ first }) => assert.equal(first.details.status, 404),
  },
  {
    fault: 'hub: it cannot be reached after a first load',
    sees: 'the text, from the cache',
    again: NOTHING,
    model: 'story',
    set: (folder, server) => fromHub(folder, server),
    ends: 'text',
    check: async ({ folder, page, driver }) => {
      folder.hub.listingFault = { status: 503, body: '' };
      folder.on('*', { refuse: true });
      const third = await driver.load(page, folder, { model: 'story', source: 'hf:owner/name', options: { hub: folder.hub.url } });
      assert.equal(third.code, undefined, third.message);
      assert.equal(third.bytes, 0);
    },
  },
];
