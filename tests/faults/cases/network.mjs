// Connections that break or stall, busy servers, and responses with a wrong length.

import assert from 'node:assert/strict';
import { CHUNK } from '../driver.mjs';
import { WEIGHTS } from '../models.mjs';
import { ALL, NOTHING, REST } from '../runner.mjs';

const MID = 2_500_000;
const QUICK = { stallMs: 400 };

/** How often a file was requested. */
const asked = (log, file = WEIGHTS) => log.filter((entry) => entry.file === file && entry.method === 'GET').length;

/** A response that never comes. */
const SILENCE = { wait: new Promise(() => {}) };
/** A cached model must not wait for it: the case's own patience is shorter. */
const PATIENT = { stallMs: 600_000 };

/** Silent servers, in spite of which a cached model loads. @type {import('../runner.mjs').Case[]} */
const silent = [
  { fault: 'a model is in the cache, and the server accepts every request and never responds', silence: (folder) => folder.on('*', SILENCE) },
  { fault: 'a model is in the cache, and the server responds to everything but HEAD', silence: (folder) => folder.on('*', SILENCE, Infinity, 'HEAD') },
  { fault: 'a model is in the cache, and the server never responds about its weights', silence: (folder) => folder.on(WEIGHTS, SILENCE) },
  {
    fault: 'a model of the hub is in the cache, and the hub never responds',
    atHub: true,
    silence(folder) {
      folder.on('*', SILENCE);
      folder.hub.listingFault = SILENCE;
    },
  },
].map(({ fault, silence, atHub }) => ({
  fault,
  sees: 'the text, from the cache, after a second',
  again: NOTHING,
  model: 'story',
  options: PATIENT,
  patienceMs: 120_000,
  set(folder, server) {
    if (!atHub) return undefined;
    folder.hub = server.hub(folder);
    return { source: 'hf:owner/name', options: { hub: folder.hub.url } };
  },
  ends: 'text',
  check: async ({ folder, page, driver }) => {
    silence(folder);
    const from = atHub ? { source: 'hf:owner/name', options: { ...PATIENT, hub: folder.hub.url } } : { options: PATIENT };
    const third = await driver.load(page, folder, { model: 'story', ...from });
    assert.equal(third.code, undefined, third.message);
    assert.deepEqual([third.info.cache, third.bytes], ['reused', 0]);
    folder.mend();
  },
}));

/** Files that do not end, or not before their limit. @type {import('../runner.mjs').Case[]} */
const endless = [
  { file: 'config.json', bytes: 3 << 20 },
  { file: 'generation_config.json', bytes: 3 << 20 },
  { file: 'fireside.lock.json', bytes: 3 << 20, options: { lock: true } },
  { file: 'tokenizer_config.json', bytes: 18 << 20 },
].map(({ file, bytes, options }) => ({
  fault: `${file} does not end`,
  sees: '`BAD_FILE` at its limit; it is not stored',
  again: ALL,
  set: (folder) => {
    folder.on(file, { bytes: Buffer.alloc(bytes + 1, ' '), stall: bytes, length: false });
    return { options };
  },
  repair: (folder) => (folder.mend(), folder.lock()),
  ends: 'BAD_FILE',
  check: ({ first }) => assert.equal(first.details.file, file),
}));

/** @type {import('../runner.mjs').Case[]} */
export const network = [
  ...silent,
  ...endless,
  {
    fault: 'the server accepts every request and never responds',
    sees: '`NETWORK` after `stallMs`, three times',
    again: ALL,
    options: QUICK,
    set: (folder) => folder.on('*', SILENCE),
    ends: 'NETWORK',
  },
  {
    fault: 'config.json stalls in the middle at every request',
    sees: '`NETWORK` after five retries',
    again: ALL,
    options: QUICK,
    set: (folder) => folder.on('config.json', { stall: 100 }),
    ends: 'NETWORK',
    check: ({ first }) => assert.equal(first.details.file, 'config.json'),
  },
  {
    fault: 'the connection breaks in the middle of the weights',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { cut: MID }, 1),
    ends: 'text',
    check: ({ first, folder }) => {
      const [resumed] = first.log.filter(({ range }) => range);
      assert.match(resumed.range, /^bytes=[1-9]\d*-$/);
      assert.equal(resumed.ifRange, folder.etag(WEIGHTS));
    },
  },
  {
    fault: 'the connection breaks, and the server has not sent the length of the file',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { cut: MID, length: false }, 1),
    ends: 'text',
  },
  {
    fault: 'the connection breaks repeatedly, each time a little later',
    sees: 'pauses; each time the load continues where it stopped',
    again: REST,
    cuts: 4,
    set: (folder) => folder.on(WEIGHTS, { cut: 1_800_000 }, 4),
    ends: 'text',
  },
  {
    fault: 'the connection breaks in the middle of the second of three weight files',
    model: 'shards',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder) => folder.on('model-00002-of-00003.safetensors', { cut: 1_500_000 }, 1),
    ends: 'text',
  },
  {
    fault: 'the connection breaks in the middle of config.json',
    sees: 'a pause; the load continues',
    again: REST,
    set: (folder) => folder.on('config.json', { cut: 300 }, 1),
    ends: 'text',
  },
  {
    fault: 'the connection breaks in the middle of tokenizer.json',
    sees: 'a pause; the load continues',
    again: REST,
    set: (folder) => folder.on('tokenizer.json', { cut: 100_000 }, 1),
    ends: 'text',
  },
  {
    fault: 'the connection breaks before the first response',
    sees: 'a pause; the load continues',
    again: REST,
    set: (folder) => folder.on('config.json', { refuse: true }, 1),
    ends: 'text',
  },
  {
    fault: 'the connection breaks, and the server cannot send parts of files',
    sees: 'a pause; the file is fetched from its beginning; stored bytes are compared',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { cut: MID, ranges: false }, 1).on(WEIGHTS, { ranges: false }),
    ends: 'text',
    check: ({ first }) => assert.equal(asked(first.log), 2),
  },
  {
    fault: 'the download stalls in the middle of the weights',
    sees: 'after `stallMs` the load continues where it stopped',
    again: REST,
    options: QUICK,
    set: (folder) => folder.on(WEIGHTS, { stall: MID }, 1),
    ends: 'text',
  },
  {
    fault: 'the server accepts a request and never responds',
    sees: 'after `stallMs` the request is repeated',
    again: REST,
    options: QUICK,
    set: (folder) => folder.on('tokenizer.json', { wait: new Promise(() => {}) }, 1),
    ends: 'text',
  },
  {
    fault: 'the download stalls again after every retry',
    sees: '`NETWORK` with the URL, the file and the progress',
    again: REST,
    options: QUICK,
    set: (folder) => folder.on(WEIGHTS, (request) => ({ stall: request.range ? 0 : MID })),
    ends: 'NETWORK',
    check: ({ first, folder }) => {
      assert.equal(first.details.url, `${folder.url}${WEIGHTS}`);
      assert.equal(first.details.file, WEIGHTS);
    },
  },
  {
    fault: 'the server disappears in the middle of the weights',
    sees: '`NETWORK` after five retries; stored chunks stay',
    again: REST,
    set: (folder) => folder.breakAt(4_000_000),
    ends: 'NETWORK',
    check: ({ first, stored }) => {
      assert(asked(first.log) >= 6, `asked ${asked(first.log)} times`);
      assert(stored > CHUNK, `${stored} bytes are stored of 4,000,000 sent`);
    },
  },
  {
    fault: 'the server cannot be reached at all',
    sees: '`NETWORK`',
    again: ALL,
    set: (folder) => folder.on('*', { refuse: true }),
    ends: 'NETWORK',
  },
  {
    fault: 'the server answers 503 twice',
    sees: 'pauses; the load continues',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { status: 503 }, 2),
    ends: 'text',
    check: ({ first }) => assert.equal(asked(first.log), 3),
  },
  {
    fault: 'the server answers 500 once, 408 once',
    sees: 'pauses; the load continues',
    again: REST,
    set: (folder) => folder.on('tokenizer.json', { status: 500 }, 1).on(WEIGHTS, { status: 408 }, 1),
    ends: 'text',
  },
  {
    fault: 'the server answers 500 every time',
    sees: '`NETWORK` with the status, after retries',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { status: 500 }),
    ends: 'NETWORK',
    check: ({ first }) => {
      assert.equal(first.details.status, 500);
      assert(asked(first.log) >= 3, `asked ${asked(first.log)} times`);
    },
  },
  {
    fault: 'the server asks for fewer requests (429, Retry-After: 1)',
    sees: 'a pause of the stated length; the load continues',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { status: 429, headers: { 'Retry-After': '1' } }, 2),
    ends: 'text',
    check: ({ first }) => assert.equal(asked(first.log), 3),
  },
  {
    fault: 'the server asks to wait for an hour (429, Retry-After: 3600)',
    sees: '`NETWORK` at once',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { status: 429, headers: { 'Retry-After': '3600' } }),
    ends: 'NETWORK',
    check: ({ first }) => {
      assert.equal(first.details.status, 429);
      assert.equal(asked(first.log), 1);
    },
  },
  ...[401, 403, 404, 410].map((status) => ({
    fault: `the server answers ${status} for the weights`,
    sees: '`NETWORK` with the status and a remedy; no retry',
    again: REST,
    set: (folder) => folder.on(WEIGHTS, { status }).on('model.safetensors.index.json', { status }),
    ends: 'NETWORK',
    check: ({ first }) => {
      assert.equal(first.details.status, status);
      assert.match(first.message, /\. [A-Z].*\.$/);
      assert.equal(asked(first.log), 1);
    },
  })),
  {
    fault: 'the server answers 404 for config.json',
    sees: '`NETWORK` with the status; no weights are requested',
    again: ALL,
    set: (folder) => folder.on('config.json', { status: 404 }),
    ends: 'NETWORK',
    check: ({ first }) => {
      assert.equal(first.details.status, 404);
      assert.equal(asked(first.log, 'config.json'), 1);
      assert.equal(asked(first.log), 0);
    },
  },
  {
    fault: 'the server answers 403 to the request for the rest',
    sees: '`NETWORK` with the status; stored chunks stay',
    again: REST,
    set: (folder) => folder.breakAt(4_000_000, { status: 403 }),
    ends: 'NETWORK',
    check: ({ first, stored }) => {
      assert.equal(first.details.status, 403);
      assert(stored > CHUNK, `${stored} bytes are stored of 4,000,000 sent`);
    },
  },
  {
    fault: 'the server states a length greater than the file\'s',
    sees: 'after `stallMs` the rest is requested; the true length is used',
    again: ALL,
    options: QUICK,
    set: (folder) => folder.on(WEIGHTS, { length: folder.files.get(WEIGHTS).length + 1000 }, 1),
    ends: 'text',
  },
  {
    fault: 'the weights end early without an error',
    sees: '`BAD_FILE`; it is not stored',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { end: MID }),
    ends: 'BAD_FILE',
  },
  {
    fault: 'tokenizer.json ends early without an error',
    sees: '`BAD_TOKENIZER`; it is not stored; no weights are requested',
    again: ALL,
    set: (folder) => folder.on('tokenizer.json', { end: 100_000 }),
    ends: 'BAD_TOKENIZER',
    check: ({ first }) => assert.equal(asked(first.log), 0),
  },
];
