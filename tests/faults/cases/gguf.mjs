// A GGUF file, which is the whole model, through the faults of the network and of the hub.

import assert from 'node:assert/strict';
import { assertGolden, TOLD } from '../driver.mjs';
import { GGUF } from '../models.mjs';
import { ALL, NOTHING, REST } from '../runner.mjs';

const MID = 2_500_000;

/** A model of this section. @type {(folder: any) => { source: string }} */
const atFile = (folder) => ({ source: `${folder.url}${GGUF}` });

/** The same file, chosen in a repository of a hub by a word of its name. */
const byWord = (folder, server) => {
  folder.hub = server.hub(folder);
  return { source: 'hf:owner/name:BF16', options: { hub: folder.hub.url } };
};

/** @type {import('../runner.mjs').Case[]} */
export const ggufFiles = [
  {
    fault: 'GGUF: the connection breaks in the middle of the file',
    sees: 'a pause; the load continues where it broke off',
    again: REST,
    set: (folder) => (folder.on(GGUF, { cut: MID }, 1), atFile(folder)),
    ends: 'text',
  },
  {
    fault: 'GGUF: the connection breaks, and the server cannot send parts of files',
    sees: 'a pause; the file is fetched from its beginning; stored bytes are compared',
    again: ALL,
    set: (folder) => (folder.on(GGUF, { cut: MID, ranges: false }, 1).on(GGUF, { ranges: false }), atFile(folder)),
    ends: 'text',
  },
  {
    fault: 'GGUF: the server disappears in the middle of the file',
    sees: '`NETWORK`; what arrived is stored',
    again: REST,
    patienceMs: 240_000,
    set: (folder) => (folder.breakAt(MID), atFile(folder)),
    ends: 'NETWORK',
    check: ({ stored }) => assert(stored >= 1 << 20, `${stored} bytes were stored`),
  },
  {
    fault: 'GGUF: the server gives an HTML page in place of the file',
    sees: '`NOT_A_MODEL_FILE`; it is not stored',
    again: ALL,
    set: (folder) => (folder.on(GGUF, { body: '<!doctype html>', headers: { 'Content-Type': 'text/html' } }), atFile(folder)),
    ends: 'NOT_A_MODEL_FILE',
    check: ({ stored }) => assert.equal(stored, 0),
  },
  {
    fault: 'GGUF: a byte of the file of a hub is corrupted once in transit',
    sees: 'it is fetched again, because the hub lists its sha256',
    again: ALL,
    set: (folder, server) => (folder.on(GGUF, { corrupt: 4_000_000 }, 1), byWord(folder, server)),
    ends: 'text',
  },
  {
    fault: 'GGUF: the file of a hub is stored, and the hub cannot be reached',
    sees: 'the text, from the cache',
    again: NOTHING,
    set: byWord,
    ends: 'text',
    check: async ({ folder, page, driver }) => {
      folder.hub.listingFault = { status: 503, body: '{}' };
      folder.on('*', { refuse: true });
      const third = await driver.load(page, folder, { model: 'gguf', source: 'hf:owner/name:BF16', options: { hub: folder.hub.url } });
      assertGolden(third, 'gguf');
      assert.deepEqual([third.info.cache, third.bytes], ['reused', 0]);
      folder.mend();
    },
  },
  {
    fault: 'GGUF: the file is one in the page\'s hands, with another name',
    sees: 'the text; nothing is stored',
    again: NOTHING,
    run: ({ driver, server }) =>
      driver.withPage(async (page) => {
        const args = { url: server.folder('gguf').url + GGUF, told: TOLD.gguf };
        const found = await driver.run(page, async ({ Session }, { url, told }) => {
          const file = new File([await (await fetch(url)).blob()], 'photo.png');
          const session = await Session.load(file, { threads: 1 });
          const { text } = await session.chat(told.chat, { temperature: 0, repetitionPenalty: 1, maxTokens: told.maxTokens });
          session.dispose();
          return [text, session.info().cacheReason];
        }, args);
        assert.deepEqual(found, [TOLD.gguf.text, 'local']);
        return 'text';
      }),
  },
].map((one) => ({ model: 'gguf', ...one }));
