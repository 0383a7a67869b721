// A GGUF file is a whole model: the story model as such a file, whole and in parts, from disk, by URL and
// from a hub, gives the golden text; and so does the chat model with the template that the file holds.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import { Model, modelCache, Session } from '../../www/lib/node/index.js';
import { gguf } from '../gguf.mjs';
import { folder, GOLDEN, GREEDY, PROMPT, STORY } from './harness.js';

process.env.XDG_CACHE_HOME = folder();
const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const options = { ...GREEDY, maxTokens: GOLDEN.tokens.length };

/** Holds the files that the server serves. */
const models = folder();
/** @param {string} name @param {Buffer} bytes */
const write = (name, bytes) => (writeFileSync(join(models, name), bytes), join(models, name));
const [bytes] = gguf(STORY);
const STORY_FILE = write('story-F16.gguf', bytes);
const parts = gguf(STORY, 3).map((part, index) => write(`split-0000${index + 1}-of-00003.gguf`, part));
const CHAT_FILE = write('chat-BF16.gguf', gguf(join(ROOT, 'models', 'chat'))[0]);

/** The files as the repository `owner/name` of a hub too. */
function first(request, response) {
  const [, path] = /^\/owner\/name\/resolve\/[^/]+\/(.*)$/.exec(request.url) ?? [];
  if (path) request.url = `/files/${path}`;
  if (!request.url.startsWith('/api/models/owner/name/revision/main')) return false;
  const siblings = readdirSync(models).map((rfilename) => {
    const content = readFileSync(join(models, rfilename));
    return { rfilename, size: content.length, blobId: '1', lfs: { sha256: createHash('sha256').update(content).digest('hex'), size: content.length } };
  });
  response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify({ sha: COMMIT, siblings }));
  return true;
}
const server = await serve({ mounts: { '/files/': models }, first });
after(() => server.close());
const hub = server.url.replace(/\/$/, '');

/**
 * Asserts that a source is the story model. Resolves with where its files were.
 * @param {any} source
 * @param {object} [settings]
 */
async function tells(source, settings) {
  const session = await Session.load(source, { hub, ...settings });
  const { text } = await session.generate(PROMPT, options);
  const { cache, cacheReason } = session.info();
  session.dispose();
  assert.equal(text, GOLDEN.text);
  return cacheReason ?? cache;
}

test('a GGUF file loads from disk, by its path, its URL, its folder, or as bytes', async () => {
  const alone = folder();
  copyFileSync(STORY_FILE, join(alone, 'any name.gguf'));
  for (const source of [STORY_FILE, pathToFileURL(STORY_FILE), alone, { weights: pathToFileURL(STORY_FILE) }, { weights: bytes }, new Blob([bytes]), new File([bytes], 'photo.png')]) {
    assert.equal(await tells(source), 'local');
  }
  await assert.rejects(tells(models), { code: 'BAD_INPUT', message: /one model, got "chat-BF16\.gguf, split-00001-of-00003\.gguf, story-F16\.gguf"/ });
});

test('a GGUF file loads by URL and from a hub, is stored, and is checked there', async () => {
  for (const [source, by] of [[`${server.url}files/story-F16.gguf`, 'URL'], ['hf:owner/name/story-F16.gguf', 'name'], ['hf:owner/name:f16', 'word']]) {
    assert.equal(await tells(source), 'stored', by);
    assert.equal(await tells(source), 'reused', by);
    assert.deepEqual(await modelCache.verify(source, { hub }), [{ file: 'story-F16.gguf', ok: true }]);
  }
});

test('the parts of a split file are one model', async () => {
  assert.equal(await tells(parts[0]), 'local');
  assert.equal(await tells(`${server.url}files/${basename(parts[0])}`), 'stored');
  assert.equal(await tells('hf:owner/name:split'), 'stored');
  assert.equal(await tells(parts.toReversed().map((path) => new File([readFileSync(path)], basename(path)))), 'local');
  await assert.rejects(Session.load([new File([readFileSync(parts[0])], basename(parts[0]))]), { code: 'NETWORK', message: /split-00002-of-00003\.gguf is missing/ });
});

test('a chat uses the template that the file holds, and one that is given goes before it', async () => {
  const session = await Session.load(CHAT_FILE);
  assert.equal(session.info().chatTemplate, 'model');
  await session.chat('My name is Ada.', GREEDY);
  assert.match((await session.chat('What is my name?', GREEDY)).text, /^Your name is Ada\./);
  await session.model.reload();
  assert.match((await session.chat('What is my name?', GREEDY)).text, /Ada/);
  session.dispose();
  const template = "{{ 'x y z ' * 40 }}{{ messages[0].content }}";
  for (const [source, settings] of [[CHAT_FILE, { chatTemplate: template }], [{ weights: pathToFileURL(CHAT_FILE), chatTemplate: template }, {}]]) {
    const own = await Session.load(source, settings);
    assert.equal(await own.measureContextUsage('hi'), 121);
    own.dispose();
  }
});

test('a tokenizer that is given goes before the one in the file', async () => {
  const of = (/** @type {string} */ file) => pathToFileURL(join(STORY, file));
  assert.equal(await tells({ weights: pathToFileURL(STORY_FILE), tokenizer: of('tokenizer.json'), tokenizerConfig: of('tokenizer_config.json'), config: of('config.json') }), 'local');
  await assert.rejects(Session.load({ weights: pathToFileURL(STORY_FILE), tokenizer: new TextEncoder().encode('{}') }), { code: 'BAD_TOKENIZER' });
});

test('an estimate of a GGUF file is what a load takes', async () => {
  for (const source of [STORY_FILE, `${server.url}files/story-F16.gguf`, `${server.url}files/${basename(parts[0])}`, new Blob([bytes])]) {
    const estimate = await Model.estimate(source);
    const model = await Model.load(source, { cache: false });
    const { dtype, weightBytes, kvBytesPerToken, context } = model.info();
    model.dispose();
    assert.deepEqual([estimate.dtype, estimate.weightBytes, estimate.kvBytesPerToken, estimate.context, estimate.fits], [dtype, weightBytes, kvBytesPerToken, context, true]);
  }
});

test('a GGUF file that does not fit is refused before its weights, and what came of it stays', async () => {
  for (const source of [STORY_FILE, `${server.url}files/story-F16.gguf?fits=no`]) {
    await assert.rejects(Model.load(source, { memoryBytesMax: 1_000_000 }), { code: 'OUT_OF_MEMORY' });
    const { fits, remedy } = await Model.estimate(source, { memoryBytesMax: 1_000_000 });
    assert.deepEqual([fits, typeof remedy], [false, 'string']);
  }
});

test('the terminal takes GGUF files', async () => {
  const run = promisify(execFile);
  const cli = (...args) => run(process.execPath, [CLI, ...args], { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  for (const model of [STORY_FILE, 'hf:owner/name:F16', `${server.url}files/story-F16.gguf`]) {
    const { stdout } = await cli('generate', PROMPT, '--model', model, '--hub', hub, '--temperature', '0', '--repetition-penalty', '1', '--max-tokens', '8');
    assert.ok(stdout.length > PROMPT.length && (PROMPT + GOLDEN.text).startsWith(stdout.trimEnd()), stdout);
    assert.match((await cli('inspect', model, '--hub', hub)).stdout, /^family +llama\nparameters +1\.05 M/m);
    assert.match((await cli('estimate', model, '--hub', hub)).stdout, /^fits +yes$/m);
  }
  await assert.rejects(cli('inspect', 'hf:owner/name', '--hub', hub), ({ stderr }) => /--model hf:owner\/name: expected the name of one GGUF file.*There are chat-BF16\.gguf, split-00001-of-00003\.gguf, story-F16\.gguf/.test(stderr));
});
