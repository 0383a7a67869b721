import assert from 'node:assert/strict';
import { test } from 'node:test';

import { load } from '../../www/lib/client/load.js';
import { Model } from '../../www/lib/client/model.js';
import { fakePlatform } from './fake.js';

const files = { config: new TextEncoder().encode('{}'), tokenizer: new TextEncoder().encode('{}'), weights: new Uint8Array(16) };

async function open(settings) {
  const platform = fakePlatform(settings);
  const again = () => load(files, {}, platform);
  const model = new Model(await again(), again);
  return { platform, model, session: model.session(), [Symbol.dispose]: () => model.dispose() };
}

async function using(settings, body) {
  const opened = await open(settings);
  try {
    await body(opened);
  } finally {
    opened.model.dispose();
  }
}

const aborted = { name: 'AbortError' };

test('a run can be iterated and awaited, and both give the same text', () =>
  using({}, async ({ session }) => {
    const run = session.generate('hello', { maxTokens: 9 });
    let text = '';
    for await (const piece of run) text += piece.text;
    const result = await run;
    assert.equal(text, result.text);
    assert.equal(text, ' Once upon a time there was a fox who');
    assert.equal(result.usage.completionTokens, 9);
    assert.equal(result.finishReason, 'length');
    assert.ok(result.timings.ttftMs <= result.timings.prefillMs + result.timings.decodeMs);
    let again = '';
    for await (const piece of run) again += piece.text;
    assert.equal(again, text, 'a late reader sees every piece too');
    assert.equal(session.contextUsage, 12);
  }));

test('text is batched by time, except the first word', () =>
  using({ stepMs: 2 }, async ({ session }) => {
    const pieces = [];
    for await (const { completionTokens } of session.generate('hello', { maxTokens: 40 })) pieces.push(completionTokens);
    assert.equal(pieces[0], 1);
    assert.ok(pieces.length >= 3 && pieces.length < 30, `${pieces.length} pieces for 40 tokens`);
    assert.equal(pieces.at(-1), 40);
  }));

test('an abort midway rejects the run, the iterator throws the same error, and the session keeps working', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    const controller = new AbortController();
    const run = session.generate('long', { maxTokens: 1e6, signal: controller.signal });
    await assert.rejects(async () => {
      for await (const { completionTokens } of run) if (completionTokens > 3) controller.abort();
    }, aborted);
    await assert.rejects(async () => run, aborted);
    assert.equal((await session.generate('next', { maxTokens: 1 })).text, ' Once');
    assert.ok(platform.log.includes('abort long'));
  }));

test('an abort during prefill ends the run before its first token', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    const controller = new AbortController();
    const run = session.generate('word '.repeat(1e6), { signal: controller.signal });
    setTimeout(() => controller.abort(), 30);
    await assert.rejects(async () => {
      for await (const piece of run) assert.fail(piece.text);
    }, aborted);
    assert.equal((await session.generate('next', { maxTokens: 1 })).text, ' Once');
    assert.ok(platform.log.some((line) => line.startsWith('abort word')));
  }));

test('an abort before the start or in the queue never reaches the engine', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    await assert.rejects(async () => session.generate('never', { signal: AbortSignal.abort() }), aborted);
    const controller = new AbortController();
    const first = session.generate('first', { maxTokens: 50 });
    const second = session.generate('second', { signal: controller.signal });
    const third = session.generate('third', { maxTokens: 1 });
    controller.abort(new Error('changed my mind'));
    await assert.rejects(async () => second, aborted);
    await Promise.all([first, third]);
    assert.deepEqual(
      platform.log.filter((line) => line.startsWith('start')),
      ['start first', 'start third'],
    );
  }));

test('leaving the loop aborts the run', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    for await (const piece of session.generate('left', { maxTokens: 1e6 })) if (piece.text) break;
    await session.generate('after', { maxTokens: 1 });
    assert.ok(platform.log.includes('abort left'));
  }));

test('calls on one session run in order; two sessions of a model run side by side', () =>
  using({ stepMs: 1 }, async ({ session, model, platform }) => {
    const other = model.session();
    const order = [];
    const note = (name) => () => order.push(name);
    await Promise.all([
      session.chat('a').then(note('a')),
      session.messages().then((messages) => order.push(`messages ${messages.length}`)),
      session.chat('b').then(note('b')),
      other.chat('c').then(note('c')),
    ]);
    assert.deepEqual(
      order.filter((name) => name !== 'c'),
      ['a', 'messages 2', 'b'],
    );
    const starts = platform.log.filter((line) => /^(start|end) /.test(line) && line !== 'end file');
    assert.ok(starts.indexOf('start c') < starts.indexOf('end b'), 'the second session did not wait for the first one');
  }));

test('a failing run gives an error with code and details, and the session keeps working', () =>
  using({}, async ({ session }) => {
    await assert.rejects(async () => session.generate('x', { temperature: -1 }), {
      name: 'FiresideError',
      code: 'BAD_OPTION',
      details: { option: 'temperature' },
    });
    await assert.rejects(async () => session.generate('x', { temprature: 1 }), { code: 'BAD_OPTION', message: /temprature/ });
    await assert.rejects(async () => session.generate('x', { onToken: () => {} }), { code: 'BAD_OPTION', message: /onToken/ });
    const cycle = {};
    cycle.cycle = cycle;
    await assert.rejects(async () => session.generate('x', { cycle, list: [[cycle]], big: 10n }), {
      code: 'BAD_OPTION',
      message: /cycle/,
    });
    await assert.rejects(async () => session.generate(5), { code: 'BAD_INPUT' });
    await assert.rejects(async () => session.generate(''), { code: 'BAD_INPUT' });
    await assert.rejects(async () => session.chat({ role: 'user' }), { code: 'BAD_INPUT' });
    await assert.rejects(session.detokenize([1.5]), { code: 'BAD_INPUT' });
    assert.equal((await session.chat('y', { maxTokens: 1 })).message.content, ' Once');
  }));

test('a trap ends every open request once with CRASHED, and later ones too', () =>
  using({}, async ({ session, model, platform }) => {
    const other = model.session();
    const ends = await Promise.allSettled([session.generate('trap'), session.stats(), other.chat('x', { maxTokens: 1e9 })]);
    assert.deepEqual(
      ends.map((end) => end.reason?.code),
      ['CRASHED', 'CRASHED', 'CRASHED'],
    );
    await assert.rejects(session.stats(), { code: 'CRASHED', message: /unreachable/ });
    assert.equal(platform.workers.size, 0);
  }));

test('reload brings back a crashed model and its sessions with their conversations', () =>
  using({ stepMs: 1 }, async ({ session, model, platform }) => {
    const other = model.session();
    await session.chat('My name is Ada.', { maxTokens: 2 });
    const history = await session.messages();
    await assert.rejects(session.generate('trap').then(), { code: 'CRASHED' });
    await Promise.all([model.reload(), model.reload()]);
    assert.equal(platform.workers.size, 1, 'two reloads at once are one');
    assert.deepEqual(await session.messages(), history);
    assert.deepEqual(await other.messages(), []);
    assert.equal((await session.chat('And?', { maxTokens: 1 })).text, ' Once');
    assert.equal((await session.messages()).length, 4);
    // A reload ends open calls, and a disposed model does not come back.
    const run = session.generate('x', { maxTokens: 1e6 });
    const late = model.reload();
    await assert.rejects(run.then(), { code: 'CRASHED' });
    await late;
    model.dispose();
    await assert.rejects(model.reload(), { code: 'DISPOSED' });
    await assert.rejects(session.messages(), { code: 'DISPOSED' });
    assert.equal(platform.workers.size, 0);
  }));

test('prefill steps are as long as an abort may wait', () =>
  using({ workMs: 0.5 }, async ({ session, platform }) => {
    await session.generate('word '.repeat(1200).trim(), { maxTokens: 1 });
    const steps = platform.log.filter((line) => line.startsWith('prefill')).map((line) => Number(line.slice(8)));
    assert.equal(steps[0], 256);
    // 50 ms at half a millisecond each are 100. A busy machine makes half of that.
    const last = steps.at(-2) ?? 0;
    assert.ok(last >= 20 && last <= 110, `steps of ${steps}`);
  }));

test('a worker that dies rejects open calls', () =>
  using({ stepMs: 1 }, async ({ session, platform }) => {
    const run = session.generate('x', { maxTokens: 1e6 });
    const [worker] = platform.workers;
    worker.onerror({ message: 'out of memory', preventDefault() {} });
    await assert.rejects(async () => run, { code: 'CRASHED', message: /out of memory/ });
  }));

test('dispose rejects open and later calls with DISPOSED, and can be repeated', () =>
  using({ stepMs: 1 }, async ({ session, model, platform }) => {
    const run = session.generate('x', { maxTokens: 1e6 });
    const other = model.session();
    for await (const piece of run) {
      if (piece.completionTokens > 2) session.dispose();
      if (piece.completionTokens > 2) break;
    }
    session.dispose();
    await assert.rejects(async () => run, { code: 'DISPOSED' });
    await assert.rejects(session.messages(), { code: 'DISPOSED' });
    await assert.rejects(session.tokenize('x'), { code: 'DISPOSED' });
    assert.equal((await other.generate('still here', { maxTokens: 1 })).text, ' Once');
    assert.ok(platform.log.includes('free session'));
    model[Symbol.dispose ?? Symbol.for('Symbol.dispose')]();
    model.dispose();
    await assert.rejects(async () => other.generate('x'), { code: 'DISPOSED' });
    assert.throws(() => model.session(), { code: 'DISPOSED' });
    assert.equal(platform.workers.size, 0);
  }));

test('an unhandled failure is reported once; an abort, a dispose and an iterated failure are not', () =>
  using({ stepMs: 1 }, async ({ session, model }) => {
    const reports = [];
    const listen = (error) => reports.push(error.code ?? error.name);
    const runners = process.listeners('unhandledRejection'); // the test runner's own listeners would fail the test
    process.removeAllListeners('unhandledRejection').on('unhandledRejection', listen);
    const pause = () => new Promise((resolve) => setTimeout(resolve, 20));
    session.generate('x', { temperature: -1 });
    await pause();
    assert.deepEqual(reports, ['BAD_OPTION']);
    await assert.rejects(async () => {
      for await (const piece of session.generate('x', { temperature: -1 })) assert.fail(piece.text);
    });
    session.generate('x', { signal: AbortSignal.abort() });
    session.generate('x', { signal: AbortSignal.timeout(3), maxTokens: 1e6 });
    await pause();
    session.generate('x', { maxTokens: 1e6 });
    model.dispose();
    await pause();
    process.removeAllListeners('unhandledRejection');
    for (const runner of runners) process.on('unhandledRejection', runner);
    assert.deepEqual(reports, ['BAD_OPTION']);
  }));

test('a run that nobody awaits still makes progress', () =>
  using({}, async ({ session, platform }) => {
    session.generate('alone', { maxTokens: 3 });
    await session.stats();
    assert.ok(platform.log.includes('end alone'));
  }));
