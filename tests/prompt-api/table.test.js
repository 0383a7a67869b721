// The Prompt API's rows in Node with a fake engine, and tests that need the fake.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, mock, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLanguageModel } from '../../www/lib/integrations/prompt-api.js';
import { fakeEngine } from '../fake.js';
import { TABLE } from './table.js';

/** @param {Parameters<typeof fakeEngine>[0]} [settings] */
async function environment(settings) {
  const { Model, log, answerTo } = fakeEngine(settings);
  const at = (/** @type {string} */ name) => `https://models.test/${name}/`;
  const make = (/** @type {any} */ wanted) => createLanguageModel({ source: at('chat'), ...wanted }, { Model });
  const LanguageModel = make({});
  (await LanguageModel.create()).destroy();
  return { LanguageModel, make, at, log, reference: async (/** @type {any} */ messages) => answerTo(messages) };
}

for (const { title, rows } of TABLE) {
  describe(`Prompt API, ${title}`, () => {
    for (const { behaviour, only, test: run } of rows) {
      if (only !== 'browser') test(behaviour, async () => run(/** @type {any} */ (await environment())));
    }
  });
}

test('the engine receives only what is new: appended messages once, and the sampling of the session', async () => {
  const { LanguageModel, log } = await environment();
  log.length = 0;
  const session = await LanguageModel.create({ initialPrompts: [{ role: 'system', content: 'Be brief.' }], temperature: 9, topK: 3 });
  await session.append('one');
  await session.prompt('two');
  assert.deepEqual(log, ['append 1', 'append 1', 'chat 3 {"temperature":2,"topK":3,"maxTokens":96}']);
  session.destroy();
});

test('a template that refuses a lone system prompt gets it with the first question', async () => {
  const { LanguageModel, reference } = await environment({ strict: true });
  const system = { role: 'system', content: 'Be brief.' };
  const session = await LanguageModel.create({ initialPrompts: [system] });
  await session.append('one');
  assert.equal(await session.prompt('two'), await reference([system, { role: 'user', content: 'one' }, { role: 'user', content: 'two' }]));
});

test('an abort after the last piece still undoes the turn', async () => {
  const { LanguageModel, reference } = await environment();
  const session = await LanguageModel.create();
  const controller = new AbortController();
  const reader = session.promptStreaming('one two', { signal: controller.signal }).getReader();
  let said = '';
  while (!said.endsWith(' two')) said += (await reader.read()).value;
  controller.abort();
  assert.equal(await session.prompt('three'), await reference([{ role: 'user', content: 'three' }]));
});

test('the history is dropped if the question alone leaves little room for an answer', async () => {
  const { LanguageModel } = await environment();
  const session = await LanguageModel.create();
  let overflows = 0;
  session.addEventListener('contextoverflow', () => overflows++);
  await session.append([{ role: 'user', content: 'one' }, { role: 'assistant', content: 'two' }]);
  // The question's 85 tokens leave 11 of 96 for the answer, less than an eighth. With the history's 6 it
  // would be 5.
  assert.match(await session.prompt('word '.repeat(82)), /^1 messages of 82 words/);
  assert.equal(overflows, 1);
});

test('a turn is dropped if the question fits but leaves too little room for an answer', async () => {
  const { LanguageModel } = await environment();
  const session = await LanguageModel.create();
  await session.append([{ role: 'user', content: 'one' }, { role: 'assistant', content: 'two' }]);
  // 6 and 80 leave 10 of 96: less than an eighth.
  assert.match(await session.prompt('word '.repeat(77)), /^1 messages of 77 words/);
});

test('unanswered messages are dropped one by one', async () => {
  const { LanguageModel, reference } = await environment();
  const session = await LanguageModel.create();
  const long = (/** @type {string} */ name) => ({ role: 'user', content: `${name} `.repeat(30).trim() });
  await session.append([long('first'), long('second')]);
  assert.equal(await session.prompt([long('third')]), await reference([long('second'), long('third')]));
});

test('a prompt aborted in the queue never reaches the engine', async () => {
  const { LanguageModel, log } = await environment();
  const session = await LanguageModel.create();
  log.length = 0;
  const controller = new AbortController();
  const ends = Promise.allSettled([session.prompt('one'), session.prompt('two', { signal: controller.signal }), session.prompt('three')]);
  controller.abort();
  await ends;
  assert.deepEqual(log.map((line) => line.slice(0, 6)), ['chat 1', 'chat 3']);
});

test('a clone aborted while it is being made is disposed of', async () => {
  const { LanguageModel, log } = await environment();
  const session = await LanguageModel.create();
  log.length = 0;
  const controller = new AbortController();
  const clone = session.clone({ signal: controller.signal });
  // The engine logs a clone when it makes it, and replies later.
  log.push = (...lines) => {
    if (lines[0] === 'clone') controller.abort();
    return Array.prototype.push.apply(log, lines);
  };
  await assert.rejects(clone, { name: 'AbortError' });
  await session.prompt('x');
  assert.deepEqual(log.slice(0, 2), ['clone', 'dispose session']);
});

test('an unused model is unloaded after a minute, not before, and loaded again on demand', async () => {
  const { LanguageModel, log } = await environment();
  // A clone keeps the model loaded too.
  const original = await LanguageModel.create();
  const first = await original.clone();
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    original.destroy();
    mock.timers.tick(60_000);
    first.destroy();
    mock.timers.tick(59_999);
    const between = LanguageModel.create(); // in time
    mock.timers.tick(60_000);
    assert(!log.includes('dispose model'));
    (await between).destroy();
    mock.timers.tick(59_999);
    assert(!log.includes('dispose model'));
    mock.timers.tick(1);
    assert(log.includes('dispose model'));
  } finally {
    mock.timers.reset();
  }
  const second = await LanguageModel.create();
  assert.equal(log.filter((line) => line.startsWith('load ')).length, 2);
  assert.equal(typeof (await second.prompt('x')), 'string');
});

test('a session that failed or was aborted during creation is disposed of', async () => {
  const { LanguageModel, log } = await environment();
  log.length = 0;
  const controller = new AbortController();
  const pending = LanguageModel.create({ signal: controller.signal, initialPrompts: [{ role: 'user', content: 'x' }] });
  await new Promise((resolve) => setTimeout(resolve, 0));
  controller.abort();
  await assert.rejects(pending, { name: 'AbortError' });
  await assert.rejects(LanguageModel.create({ initialPrompts: [{ role: 'user', content: 'word '.repeat(200) }] }), { name: 'QuotaExceededError' });
  assert.equal(log.filter((line) => line === 'dispose session').length, 2);
});

test('a load that nobody waits for is aborted, and the next one starts again', async () => {
  const { make, at, log } = await environment();
  const LanguageModel = make({ source: at('other') });
  const controller = new AbortController();
  const pending = LanguageModel.create({ signal: controller.signal });
  controller.abort();
  await assert.rejects(pending, { name: 'AbortError' });
  const session = await LanguageModel.create();
  assert.equal(typeof (await session.prompt('x')), 'string');
  assert.equal(log.filter((line) => line === `given up ${at('other')}`).length, 1);
  assert.equal(log.filter((line) => line === `load ${at('other')}`).length, 2);
});

/**
 * Collects garbage until the last line of the log is `line`.
 * @param {string[]} log
 * @param {string} line
 */
async function collectUntil(log, line) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const deadline = Date.now() + 10_000;
  while (!log.includes(line) && Date.now() < deadline) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(log.at(-1), line);
}

test('an unreachable session is freed by garbage collection, but not while it answers', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc');
  const { LanguageModel, log } = await environment();
  log.length = 0;
  const stream = await LanguageModel.create().then((/** @type {any} */ session) => session.promptStreaming('one two three').getReader());
  await stream.read();
  for (let turn = 0; turn < 3; turn++, await new Promise((resolve) => setTimeout(resolve))) collect();
  let said = '';
  for (let { done, value } = await stream.read(); !done; { done, value } = await stream.read()) said += value;
  assert.match(said, /three$/);
  await collectUntil(log, 'dispose session');
});

test('a long-lived signal retains no session, destroyed or unreachable, and keeps no listener', async () => {
  const { LanguageModel, log } = await environment();
  const { signal } = new AbortController();
  const listeners = () => getEventListeners(signal, 'abort').length;
  const destroyed = await LanguageModel.create({ signal });
  assert.equal(listeners(), 1);
  await destroyed.prompt('one', { signal });
  assert.equal(listeners(), 1);
  destroyed.destroy();
  assert.equal(listeners(), 0);
  await LanguageModel.create({ signal, initialPrompts: [{ role: 'user', content: 'one' }] }).then(() => undefined);
  log.length = 0;
  await collectUntil(log, 'dispose session');
  assert.equal(listeners(), 0);
});

test('a failed load leaves no listener on the signal', async () => {
  const { make, at } = await environment();
  const { signal } = new AbortController();
  await assert.rejects(make({ source: at('missing') }).create({ signal }), { name: 'NetworkError' });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('invalid settings are refused by createLanguageModel', () => {
  for (const settings of [null, 'models/chat/', {}]) assert.throws(() => createLanguageModel(/** @type {any} */ (settings)), { code: 'BAD_INPUT' });
  for (const option of ['signal', 'onProgress']) assert.throws(() => createLanguageModel(/** @type {any} */ ({ source: 'x', [option]: 1 })), { code: 'BAD_OPTION' });
});
