// Responses that are not what they seem: HTML pages in place of files, wrong headers, parts of files,
// compressed bodies, redirects, other origins.

import assert from 'node:assert/strict';
import { WEIGHTS } from '../models.mjs';
import { ALL, NOTHING, REST } from '../runner.mjs';

const MID = 2_500_000;
const HTML = { body: '<!DOCTYPE html><html><body>Sign in</body></html>', headers: { 'Content-Type': 'text/html; charset=utf-8' } };
const POINTER = { body: `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 6056712\n` };
const askedFor = (log, file) => log.filter((entry) => entry.file === file && entry.method === 'GET').length;

/** A wrong file is never stored: after `folder.mend()` alone, the next load gets the right one. */
const mislabelled = [
  { fault: 'config.json is an HTML page with status 200', file: 'config.json', wrong: HTML, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'tokenizer.json is an HTML page with status 200', file: 'tokenizer.json', wrong: HTML, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'the weights are an HTML page with status 200', file: WEIGHTS, wrong: HTML, ends: 'NOT_A_MODEL_FILE' },
  {
    fault: 'the weights are an HTML page with a binary content type',
    file: WEIGHTS,
    wrong: { ...HTML, headers: { 'Content-Type': 'application/octet-stream' } },
    ends: 'NOT_A_MODEL_FILE',
  },
  { fault: 'the weights are a Git LFS pointer', file: WEIGHTS, wrong: POINTER, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'tokenizer.json is a Git LFS pointer', file: 'tokenizer.json', wrong: POINTER, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'config.json is {"error": ...} with status 200', file: 'config.json', wrong: { body: '{"error":"Repository not found"}' }, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'the weights are empty, with status 200', file: WEIGHTS, wrong: { body: '' }, ends: 'NOT_A_MODEL_FILE' },
  { fault: 'config.json is not JSON', file: 'config.json', wrong: { body: '{"model_type": ' }, ends: 'BAD_FILE' },
  { fault: 'config.json has an unknown model type', file: 'config.json', wrong: { body: '{"model_type": "rwkv"}' }, ends: 'UNSUPPORTED_MODEL' },
].map(({ fault, file, wrong, ends }) => ({
  fault,
  sees: `\`${ends}\`; it is not stored${file === WEIGHTS ? '' : '; no weights are requested'}`,
  again: ALL,
  set: (folder) => folder.on(file, wrong),
  ends,
  check: ({ first, second }) => {
    if (file !== WEIGHTS) assert.equal(askedFor(first.log, WEIGHTS), 0);
    assert.equal(askedFor(second.log, file), 1);
  },
}));

/** @type {import('../runner.mjs').Case[]} */
export const answers = [
  ...mislabelled,
  {
    fault: 'optional files are HTML pages with status 200',
    sees: 'the text; the files count as absent',
    again: NOTHING,
    model: 'story',
    set: (folder) => {
      for (const file of ['chat_template.jinja', 'generation_config.json']) folder.on(file, HTML);
    },
    repair: () => {},
    ends: 'text',
  },
  {
    fault: 'the weights have the content type of text',
    sees: 'the text; the content type does not matter',
    again: NOTHING,
    set: (folder) => folder.on(WEIGHTS, { headers: { 'Content-Type': 'text/plain' } }),
    ends: 'text',
  },
  {
    fault: 'a request for a whole file gets its first byte (206)',
    sees: '`NETWORK`; the byte is not stored',
    again: ALL,
    set: (folder) => folder.on('config.json', { part: [0, 1] }),
    ends: 'NETWORK',
  },
  {
    fault: 'a request for the rest gets one byte of the beginning',
    sees: 'the file is fetched from its beginning; stored bytes are compared',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { cut: MID }, 1).on(WEIGHTS, (request) => request.range && { part: [0, 1] }),
    ends: 'text',
  },
  {
    fault: 'a request for the rest gets another part, correctly labelled',
    sees: 'the file is fetched from its beginning; stored bytes are compared',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { cut: MID }, 1).on(WEIGHTS, (request) => request.range && { part: [1000, 6_056_712] }),
    ends: 'text',
  },
  {
    fault: 'a request for the rest gets a part of a file with another length',
    sees: 'the load starts over',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { cut: MID }, 1).on(WEIGHTS, (request) => request.range && { contentRange: 'bytes 2097152-6056711/9999999' }, 1),
    ends: 'text',
  },
  {
    fault: 'a request for the rest gets other bytes with the expected label (with a lock)',
    again: ALL,
    model: 'story',
    set: (folder) => {
      folder.lock();
      folder.on(WEIGHTS, { cut: 1_500_000 }, 1).on(WEIGHTS, (request) => request.range && { bytes: Buffer.alloc(2_103_480, 7) }, 1);
      return { options: { lock: true } };
    },
    sees: 'it is fetched again, because its sha256 is not the one in fireside.lock.json',
    ends: 'text',
  },
  {
    fault: 'every response is compressed (gzip), with the compressed length',
    sees: 'the text; progress stays within its total',
    again: NOTHING,
    set: (folder) => folder.on('*', { encoding: 'gzip' }),
    ends: 'text',
  },
  {
    fault: 'the connection breaks in the middle of compressed weights',
    sees: 'a pause; the load continues. Firefox does not report the break: `BAD_FILE`, nothing is stored',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { encoding: 'gzip', cut: MID }, 1),
    ends: { chrome: 'text', firefox: 'BAD_FILE' },
  },
  {
    fault: 'the weights are labelled as compressed and are not',
    sees: '`NETWORK`: the browser cannot read them',
    again: ALL,
    options: { stallMs: 400 },
    set: (folder) => folder.on(WEIGHTS, { encoding: 'unpacked' }),
    ends: 'NETWORK',
  },
  {
    fault: 'the weights are compressed without a label',
    sees: '`NOT_A_MODEL_FILE`; they are not stored',
    again: ALL,
    set: (folder) => folder.on(WEIGHTS, { encoding: 'unsaid' }),
    ends: 'NOT_A_MODEL_FILE',
  },
  {
    fault: 'the weights are at another path of the same site (302)',
    sees: 'the text',
    again: NOTHING,
    set: (folder, server) => {
      const elsewhere = server.folder('chat');
      folder.on(WEIGHTS, { redirect: `${elsewhere.url}${WEIGHTS}` });
    },
    ends: 'text',
  },
  {
    fault: 'the weights are on another site that allows it (302, CORS), and the connection breaks',
    sees: 'a pause; the load continues where it stopped',
    again: REST,
    set: (folder, server) => {
      const elsewhere = server.folder('chat').on(WEIGHTS, { cut: MID }, 1);
      folder.on(WEIGHTS, { redirect: `${elsewhere.other}${WEIGHTS}` });
      folder.elsewhere = elsewhere;
    },
    ends: 'text',
    check: ({ folder }) => assert(folder.elsewhere.sent() <= 6_056_712 + (2 << 20)),
  },
  {
    fault: 'the weights are on another site that does not allow it (302, no CORS)',
    sees: '`NETWORK`',
    again: REST,
    set: (folder, server) => {
      const elsewhere = server.folder('chat');
      elsewhere.cors = false;
      folder.on(WEIGHTS, { redirect: `${elsewhere.other}${WEIGHTS}` });
    },
    ends: 'NETWORK',
  },
  {
    fault: 'the folder is on another site that does not allow it (no CORS)',
    sees: '`NETWORK`, which names CORS',
    again: ALL,
    set: (folder) => {
      folder.cors = false;
      return { source: folder.other };
    },
    repair: (folder) => (folder.cors = true),
    ends: 'NETWORK',
    check: ({ first }) => assert.match(first.message, /CORS/),
  },
  ...[true, 'unexposed'].map((cors) => ({
    fault: `the connection breaks on another site that allows access${cors === true ? '' : ', but not to its ETag and Content-Range'}`,
    sees: `a pause; ${cors === true ? 'the load continues where it stopped' : 'the file is fetched from its beginning'}`,
    again: cors === true ? REST : ALL,
    set: (folder) => {
      folder.cors = cors;
      folder.on(WEIGHTS, { cut: MID }, 1);
      return { source: folder.other };
    },
    ends: 'text',
    // Neither Range nor any other request header needs a preflight.
    check: ({ first, second }) => assert.deepEqual([...first.log, ...second.log].filter(({ method }) => method === 'OPTIONS'), []),
  })),
];
