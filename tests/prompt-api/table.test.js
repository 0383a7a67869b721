// The Prompt API's rows in Node, on a stand-in for the engine; and what only a stand-in can show.

import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { createLanguageModel } from '../../www/lib/doors/prompt-api.js';
import { fakeEngine } from './fake.js';
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

test('the engine gets what is new only: appended messages once, and the sampling of the session', async () => {
  const { LanguageModel, log } = await environment();
  log.length = 0;
  const session = await LanguageModel.create({ initialPrompts: [{ role: 'system', content: 'Be brief.' }], temperature: 9, topK: 3 });
  await session.append('one');
  await session.prompt('two');
  assert.deepEqual(log, ['append 1', 'append 1', 'chat 3 {"temperature":2,"topK":3,"maxTokens":96}']);
  session.destroy();
});

test('a template that refuses a system prompt by itself gets it with the first question', async () => {
  const { LanguageModel, reference } = await environment({ strict: true });
  const system = { role: 'system', content: 'Be brief.' };
  const session = await LanguageModel.create({ initialPrompts: [system] });
  await session.append('one');
  assert.equal(await session.prompt('two'), await reference([system, { role: 'user', content: 'one' }, { role: 'user', content: 'two' }]));
});

test('a model that no session needs is unloaded after a minute, not before, and loaded again when one does', async () => {
  const { LanguageModel, log } = await environment();
  const first = await LanguageModel.create();
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    first.destroy();
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

test('a session that failed or was aborted while it was made leaves nothing behind', async () => {
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

test('settings that are none are refused where they are made', () => {
  for (const settings of [null, 'models/chat/', {}]) assert.throws(() => createLanguageModel(/** @type {any} */ (settings)), { code: 'BAD_INPUT' });
  for (const option of ['signal', 'onProgress']) assert.throws(() => createLanguageModel(/** @type {any} */ ({ source: 'x', [option]: 1 })), { code: 'BAD_OPTION' });
});
