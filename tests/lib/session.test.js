// The session, and a model shared through a port, with the engine's worker without its arithmetic.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from '../../www/lib/client/load.js';
import { Model } from '../../www/lib/client/model.js';
import { Session } from '../../www/lib/client/session.js';
import { fakePlatform } from './fake.js';

const files = { config: new TextEncoder().encode('{}'), tokenizer: new TextEncoder().encode('{}'), weights: new Uint8Array(16) };

async function using(settings, body) {
  const platform = fakePlatform(settings);
  const again = () => load(files, {}, platform);
  const model = new Model(await again(), again);
  try {
    await body({ platform, model, session: model.session() });
  } finally {
    model.dispose();
  }
}

const roles = (messages) => messages.map(({ role }) => role[0]).join('');

test('a clone has the history of the calls before it and is independent', () =>
  using({}, async ({ session, model }) => {
    const first = session.chat('one', { maxTokens: 2 });
    const copying = session.clone();
    session.chat('two', { maxTokens: 2 });
    const copy = await copying;
    assert.equal((await first).message.role, 'assistant');
    assert.equal(roles(await copy.messages()), 'ua');
    assert.equal(roles(await session.messages()), 'uaua');
    await copy.chat('three', { maxTokens: 2 });
    assert.deepEqual((await copy.messages()).map(({ content }) => content).filter((text) => !text.startsWith(' ')), ['one', 'three']);
    assert.equal((await model.stats()).sessions, 2);
    copy.dispose();
    await assert.rejects(copy.clone(), { code: 'DISPOSED' });
    assert.equal((await model.stats()).sessions, 1);
  }));

test('a model loaded with its session is disposed of with the last clone', () =>
  using({}, async ({ model, platform }) => {
    const session = new Session(model, { owners: new Set() });
    const copy = await session.clone();
    const third = await copy.clone();
    session.dispose();
    copy.dispose();
    assert.equal((await third.generate('hello', { maxTokens: 1 })).text, ' Once');
    third.dispose();
    assert.equal(platform.workers.size, 0);
    await assert.rejects(model.stats(), { code: 'DISPOSED' });
  }));

test('a saved session is restored, and other bytes are refused', () =>
  using({}, async ({ session, model }) => {
    await session.chat('hello', { maxTokens: 3 });
    const bytes = await session.save();
    assert.ok(bytes instanceof Uint8Array);
    for (const state of [bytes, bytes.slice().buffer]) assert.deepEqual(await (await Session.restore(model, state)).messages(), await session.messages());
    const notSaved = 'These bytes are not a saved session. Pass what `session.save()` returned.';
    await assert.rejects(Session.restore(model, Uint8Array.of(1)), { code: 'BAD_INPUT', message: notSaved });
    await assert.rejects(Session.restore(model, 'text'), { code: 'BAD_INPUT', message: /^state: expected a Uint8Array, got "text"/ });
    await assert.rejects(Session.restore({}, bytes), { code: 'BAD_INPUT', message: /^model: expected a Model/ });
    assert.equal((await model.stats()).sessions, 3, 'refused bytes give no session');
  }));

test('the history is replaced and extended, and its last question answered again', () =>
  using({}, async ({ session }) => {
    await session.setMessages([{ role: 'user', content: 'one' }, { role: 'assistant', content: 'two' }]);
    await session.append([{ role: 'user', content: 'three' }]);
    assert.equal(roles(await session.messages()), 'uau');
    const { message, text } = await session.regenerate({ maxTokens: 3 });
    assert.deepEqual(message, { role: 'assistant', content: text });
    await session.regenerate({ maxTokens: 4 });
    assert.equal(roles(await session.messages()), 'uaua');
    for (const wrong of [session.append('three'), session.setMessages({}), session.append([], { signal: 1 })]) {
      await assert.rejects(wrong, ({ code }) => ['BAD_INPUT', 'BAD_OPTION'].includes(code));
    }
  }));

test('an aborted append or regenerate does not change the history', () =>
  using({ stepMs: 1 }, async ({ session }) => {
    await session.chat('one', { maxTokens: 1 });
    const before = await session.messages();
    const controller = new AbortController();
    const regenerating = session.regenerate({ maxTokens: 1e6, signal: controller.signal });
    const appending = session.append([{ role: 'user', content: 'word '.repeat(1e5) }], { signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    await Promise.all([assert.rejects(async () => regenerating, { name: 'AbortError' }), assert.rejects(appending, { name: 'AbortError' })]);
    assert.deepEqual(await session.messages(), before);
  }));

test('aborting a queued turn takes effect at once, and the turn leaves no trace', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    const [first, second] = [new AbortController(), new AbortController()];
    const running = session.generate('long', { maxTokens: 1e6, signal: first.signal });
    running.catch(() => {});
    const waiting = session.chat('never', { signal: second.signal });
    setTimeout(() => second.abort(), 20);
    await assert.rejects(async () => waiting, { name: 'AbortError' });
    assert.ok(!platform.log.includes('abort long'), 'while the other continues');
    first.abort();
    assert.deepEqual(await session.messages(), []);
    assert.ok(!platform.log.includes('start never'));
  }));

test('a clone whose original is disposed of before it exists leaves nothing behind', () =>
  using({}, async ({ session, model }) => {
    const cloning = session.clone();
    session.dispose();
    await assert.rejects(cloning, { code: 'DISPOSED' });
    await until(async () => (await model.stats()).sessions === 0, 'no session is left');
  }));

test('tokens that an aborted run has read count in the context', () =>
  using({ stepMs: 1 }, async ({ session }) => {
    await session.chat('one', { maxTokens: 1 });
    const before = session.contextUsage;
    const controller = new AbortController();
    const run = session.chat('two', { maxTokens: 1e6, signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await assert.rejects(async () => run, { name: 'AbortError' });
    assert.equal((await session.stats()).contextUsage, session.contextUsage);
    assert.ok(before > 0);
  }));

test('a model that is disposed of during a reload stops loading', () =>
  using({}, async ({ model, platform }) => {
    const reloading = model.reload();
    model.dispose();
    await assert.rejects(reloading, { code: 'DISPOSED' });
    assert.equal(platform.workers.size, 0);
  }));

test('a request that the engine does not know is refused without affecting others', () =>
  using({}, async ({ model, session }) => {
    const port = await model.port();
    const replies = [];
    port.onmessage = ({ data }) => replies.push(data);
    for (const message of [{ id: 1, op: 'nonsense', args: {} }, { id: 2, op: 'toString' }, 5, null, { id: 3, op: 'stats' }]) port.postMessage(message);
    await until(() => replies.length >= 4, 'each has its answer');
    assert.ok(replies.every(({ error }) => error && error.code !== 'OK'), JSON.stringify(replies));
    assert.equal((await session.generate('hello', { maxTokens: 1 })).text, ' Once');
    port.close();
    await assert.rejects(Model.attach({}), { code: 'BAD_INPUT' });
  }));

test('clones and restored sessions come back after a reload with their histories', () =>
  using({}, async ({ session, model }) => {
    await session.chat('one', { maxTokens: 1 });
    const copy = await session.clone();
    const restored = await Session.restore(model, await session.save());
    await restored.append([{ role: 'user', content: 'two' }]);
    await session.setMessages([]);
    await model.reload();
    assert.deepEqual([session, copy, restored].map((each) => each.contextUsage), [0, 0, 0]);
    assert.deepEqual(await Promise.all([session, copy, restored].map(async (each) => roles(await each.messages()))), ['', 'ua', 'uau']);
  }));

test('two long answers stream at the same time', () =>
  using({ stepMs: 1 }, async ({ model }) => {
    const order = [];
    const answers = [0, 1].map(async (index) => {
      for await (const _ of model.session().generate('hello', { maxTokens: 150 })) order.push(index);
    });
    await Promise.all(answers);
    // Neither waits for the other: no turn is long, except the last one, when the other answer has ended.
    const turns = order.join('').match(/0+|1+/g).slice(0, -1);
    const longest = Math.max(...turns.map((turn) => turn.length));
    assert.ok(order.length >= 12 && longest <= 4, order.join(''));
  }));

test('dropped messages are reported by an event, not as a piece', () =>
  using({ overflow: { droppedMessages: 2, droppedTokens: 30 } }, async ({ session }) => {
    const told = [];
    session.addEventListener('contextoverflow', ({ detail }) => told.push(detail));
    session.oncontextoverflow = () => assert.fail('replaced');
    session.oncontextoverflow = ({ detail }) => told.push(detail);
    const pieces = [];
    for await (const piece of session.generate('hello', { maxTokens: 2 })) pieces.push(piece);
    assert.deepEqual(told, Array(2).fill({ droppedMessages: 2, droppedTokens: 30 }));
    assert.ok(pieces.every(({ text }) => text));
    session.oncontextoverflow = null;
    await session.generate('hello', { maxTokens: 2 });
    assert.equal(told.length, 3);
  }));

test('invalid option values reach the engine, which refuses them; a plain object is passed unchanged', () =>
  using({}, async ({ session }) => {
    for (const value of [new Map(), new Set(['a']), () => {}, [['a']], new Date()]) {
      await assert.rejects(async () => session.generate('hello', { seed: value }), { code: 'BAD_OPTION', message: /got a list/ });
    }
    await assert.rejects(async () => session.generate('hello', { seed: { 5: 1, 6: NaN } }), { code: 'BAD_OPTION', message: /got \{"5":1,"6":null\}/ });
  }));

test('another context uses the model through a port, with its own sessions', () =>
  using({}, async ({ model, session }) => {
    const guest = await Model.attach(await model.port());
    assert.deepEqual(guest.info(), model.info());
    const theirs = guest.session();
    assert.equal((await theirs.chat('hello', { maxTokens: 2 })).text, ' Once upon');
    assert.equal((await model.stats()).sessions, 2);
    assert.deepEqual(await session.messages(), []);
    const further = await Model.attach(await guest.port());
    await further.session().chat('hello', { maxTokens: 1 });
    guest.dispose();
    await assert.rejects(theirs.messages(), { code: 'DISPOSED' });
    await assert.rejects(guest.reload(), { code: 'DISPOSED' });
    await until(async () => (await model.stats()).sessions === 2, 'what the guest had is freed');
    assert.equal((await session.chat('hello', { maxTokens: 1 })).text, ' Once');
    further.dispose();
  }));

test('a client on a port learns that the engine has crashed', () =>
  using({}, async ({ model, session }) => {
    const guest = await Model.attach(await model.port());
    const theirs = guest.session();
    await assert.rejects(async () => session.generate('trap'), { code: 'CRASHED' });
    await until(() => theirs.messages().then(() => false, ({ code }) => code === 'CRASHED'), 'the guest is told');
    await assert.rejects(guest.reload(), { code: 'BAD_INPUT' });
  }));

/** Waits for a condition that messages fulfil. */
async function until(holds, what) {
  const late = performance.now() + 5000;
  while (!(await holds())) {
    assert.ok(performance.now() < late, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('session options go to the engine, and again after a reload', () =>
  using({}, async ({ model }) => {
    const options = { system: 'Be brief.', chatTemplateKwargs: { deep: [{ a: null }] } };
    const session = model.session({ ...options, chat_template_kwargs: undefined });
    await session.chat('hello', { maxTokens: 2 });
    await model.reload();
    assert.equal(roles(await session.messages()), 'ua');
    const { opening } = JSON.parse(new TextDecoder().decode((await session.save()).subarray(8)));
    assert.deepEqual(opening, options);
  }));

test('a session that cannot be opened rejects every call with the same error', () =>
  using({}, async ({ model, session }) => {
    const refused = model.session({ chatTemplateKwargs: { unread: true } });
    for (const call of [() => refused.messages(), () => refused.chat('hello'), () => refused.clone(), () => refused.stats()]) await assert.rejects(async () => call(), { code: 'BAD_OPTION' });
    refused.dispose();
    await session.chat('hello', { maxTokens: 1 });
    for (const wrong of [{ sytem: 'x' }, { system: 5 }, [], 'x']) assert.throws(() => model.session(/** @type {any} */ (wrong)), ({ code }) => ['BAD_OPTION', 'BAD_INPUT'].includes(code));
  }));

test('an error about a message that cannot be sent names its place', () =>
  using({}, async ({ session }) => {
    const itself = { role: 'user', content: 'x' };
    Object.assign(itself, { itself });
    for (const [message, place] of [
      [{ role: 'user', content: 'x', toString() {} }, 'messages[0].toString is a function'],
      [{ role: 'user', content: [new Map()] }, 'messages[0].content[0] is an object (Map)'],
      [{ role: 'user', content: 10n }, 'messages[0].content is 10'],
      [itself, 'messages[0].itself.itself'],
    ]) {
      await assert.rejects(async () => session.chat(/** @type {any} */ ([message])), (error) => error.code === 'BAD_INPUT' && error.message.startsWith(place) && error.message.includes('. Pass plain data'));
    }
    await assert.rejects(async () => session.chat(/** @type {any} */ (5)), { code: 'BAD_INPUT', message: /^input is 5\. Pass a text, or a list of messages/ });
    assert.deepEqual(await session.messages(), []);
  }));
