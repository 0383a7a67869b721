// A published GGUF file in the published wasm: the text is that of transformers
// (tests/golden/real/make_real.py).
//
// `node scripts/test.mjs real` fetches the file. `FIRESIDE_REAL` is its folder.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { ENTRY, GREEDY } from '../node/harness.js';

const { Session } = await import(ENTRY);
const FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const FILE_BYTES = 98_362_432;
const { cases, chats } = JSON.parse(readFileSync(join(ROOT, 'tests', 'golden', 'real', 'smollm2.json'), 'utf8'));

/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
before(async () => (server = await serve({ mounts: { '/real/': process.env.FIRESIDE_REAL ?? '' } })));
after(() => server.close());

test('a GGUF file from a server, widened to f32, gives the text of transformers', async () => {
  const session = await Session.load(`${server.url}real/${FILE}`, { dtype: 'f32', cache: false });
  try {
    for (const { prompt, greedy } of cases) {
      const { text } = await session.generate(prompt, { ...GREEDY, maxTokens: greedy.tokens.length });
      assert.equal(text, greedy.text, prompt);
    }
    const [{ turns }] = chats;
    session.reset();
    for (const { user, tokens, text } of turns) {
      const answer = await session.chat(user, { ...GREEDY, maxTokens: tokens.length });
      assert.equal(answer.text, text, user);
    }
  } finally {
    session.dispose();
  }
});

test('in its own format the file takes little more memory than it has bytes', async () => {
  const session = await Session.load(`${server.url}real/${FILE}`, { cache: false });
  try {
    const [{ prompt, greedy }] = cases;
    const { text } = await session.generate(prompt, { ...GREEDY, maxTokens: 8 });
    assert.equal(text.slice(0, 7), greedy.text.slice(0, 7));
    const { weightBytes } = session.info();
    assert.ok(weightBytes < 1.05 * FILE_BYTES, `${weightBytes} bytes for the weights`);
  } finally {
    session.dispose();
  }
});
