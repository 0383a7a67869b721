// Models from the page: bytes, Blobs, files, folders, responses and streams, intact and broken.

import assert from 'node:assert/strict';
import { TOLD } from '../driver.mjs';
import { WEIGHTS } from '../models.mjs';
import { NOTHING } from '../runner.mjs';

/** Runs in the page: ways to hold a model's files, and the outcome of loading them. */
const TOOLS = `
  const NAMES = { config: 'config.json', tokenizer: 'tokenizer.json', tokenizerConfig: 'tokenizer_config.json', generationConfig: 'generation_config.json', weights: 'model.safetensors' };
  const each = async (make) => Object.fromEntries(await Promise.all(Object.entries(NAMES).map(async ([key, file]) => [key, await make(await fetch(url + file), file)])));
  const tell = async (source) => {
    try {
      const session = await Session.load(source, { threads: 1 });
      const { text } = await session.chat(told.chat, { temperature: 0, repetitionPenalty: 1, maxTokens: told.maxTokens });
      const { cache, cacheReason } = session.info();
      session.dispose();
      return [text, cache, cacheReason];
    } catch (error) {
      return error.name === 'FiresideError' ? error.code : error.name;
    }
  };
`;
const FINE = [TOLD.chat.text, 'none', 'local'];

const held = ({ fault, sees = 'the text; nothing is stored', ends = 'text', body, expected = [FINE] }) => ({
  fault,
  sees,
  again: NOTHING,
  run: ({ driver, server }) =>
    driver.withPage(async (page) => {
      const { url } = server.folder('chat');
      const args = { url, told: TOLD.chat };
      const found = await page.evaluate(
        `(async ({ Session }, { url, told }) => { ${TOOLS} return (${body})(); })(window.fireside, ${JSON.stringify(args)})`,
      );
      assert.deepEqual(found, expected);
      return ends;
    }),
});

/** @type {import('../runner.mjs').Case[]} */
export const sources = [
  held({
    fault: 'a model is given as bytes, as Blobs, as a list of files',
    body: `async () => [
      await tell(await each((response) => response.bytes?.() ?? response.arrayBuffer())),
      await tell(await each((response) => response.blob())),
      await tell(Object.values(await each(async (response, file) => new File([await response.blob()], file)))),
    ]`,
    expected: [FINE, FINE, FINE],
  }),
  held({
    fault: 'a model is given as responses, as streams',
    body: `async () => [await tell(await each((response) => response)), await tell(await each((response) => response.body))]`,
    expected: [FINE, FINE],
  }),
  held({
    fault: 'a model is given as a folder on disk',
    body: `async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('a model', { create: true });
      await each(async (response, file) => response.body.pipeTo(await (await folder.getFileHandle(file, { create: true })).createWritable()));
      return [await tell(folder)];
    }`,
  }),
  held({
    fault: 'a stream of weights breaks in the middle',
    sees: '`NETWORK`; it is not stored',
    ends: 'NETWORK',
    body: `async () => {
      const files = await each((response) => response.bytes?.() ?? response.arrayBuffer().then((buffer) => new Uint8Array(buffer)));
      let sent = 0;
      const broken = new ReadableStream({
        pull(stream) {
          if (sent >= 2_000_000) stream.error(new Error('unplugged'));
          else stream.enqueue(files.weights.slice(sent, (sent += 100_000)));
        },
      });
      return [await tell({ ...files, weights: broken }), await tell(files)];
    }`,
    expected: ['NETWORK', FINE],
  }),
  held({
    fault: 'a stream of weights ends early',
    sees: '`BAD_FILE`; it is not stored',
    ends: 'BAD_FILE',
    body: `async () => {
      const files = await each((response) => response.blob());
      return [await tell({ ...files, weights: files.weights.slice(0, 2_000_000).stream() }), await tell(files)];
    }`,
    expected: ['BAD_FILE', FINE],
  }),
  held({
    fault: 'a stream of weights yields something other than bytes',
    sees: '`BAD_INPUT`',
    ends: 'BAD_INPUT',
    body: `async () => {
      const files = await each((response) => response.blob());
      const text = new ReadableStream({ pull: (stream) => stream.enqueue('text') });
      return [await tell({ ...files, weights: text }), await tell(files)];
    }`,
    expected: ['BAD_INPUT', FINE],
  }),
  held({
    fault: 'one of the files is given by URL, and the others are bytes',
    sees: 'the text',
    body: `async () => {
      const files = await each((response) => response.blob());
      const [text] = await tell({ ...files, weights: new URL('${WEIGHTS}', url) });
      return [text];
    }`,
    expected: [TOLD.chat.text],
  }),
];
