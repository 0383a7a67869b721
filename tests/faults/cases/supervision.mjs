// Engines that trap, run out of memory or are terminated midway, and calls that come too early, too late or
// twice. Every call ends exactly once.

import assert from 'node:assert/strict';
import { golden } from '../../browser/harness.js';
import { NOTHING } from '../runner.mjs';

const [adaTurns] = golden().find(({ model }) => model === 'chat').chats.map(({ turns }) => turns);
const [{ prompt, greedy }] = golden().find(({ model }) => model === 'story').cases;

/** The golden values that a page needs. */
const ARGS = {
  prompt,
  text: greedy.text,
  maxTokens: greedy.tokens.length,
  greedy: { temperature: 0, repetitionPenalty: 1 },
  turns: adaTurns.map(({ user, text, tokens }) => ({ user, text, maxTokens: tokens.length })),
};

/** Runs in the page, for every case: outcomes of calls, and ways to end a worker. */
const TOOLS = `
  const codeOf = (promise) => Promise.resolve(promise).then(() => 'ended', (error) => (error.name === 'FiresideError' ? error.code : error.name));
  const engine = () => window.workers.findLast(({ isEngine }) => isEngine);
  const firstPiece = async (run) => { for await (const piece of run) return piece; };
  const begun = (run) => new Promise((resolve) => { (async () => { for await (const _ of run) resolve(); })().catch(resolve); });
  const tell = async (session) => (await session.generate(args.prompt, { ...args.greedy, maxTokens: args.maxTokens })).text;
`;

/**
 * A case that runs in its own page on one model. `body` is the text of a function that can use `TOOLS`,
 * `fireside`, `url` and `args` and returns what is `expected`.
 */
const inPage = ({ fault, sees, again = NOTHING, ends, model = 'story', worker = '', body, expected, more = () => {} }) => ({
  fault,
  sees,
  again,
  run: async ({ driver, server }) => {
    const page = await driver.newPage({ worker });
    const folder = server.folder(model);
    const args = { ...ARGS, url: folder.url };
    const found = await page.evaluate(
      `(async (fireside, args) => { const { Model, Session } = fireside; const { url } = args; ${TOOLS} return (${body})(); })(window.fireside, ${JSON.stringify(args)})`,
    );
    assert.deepEqual(found, expected);
    // After a reload the files come from the cache.
    assert(folder.sent(/safetensors/) <= folder.files.get('model.safetensors').length, 'the weights were fetched twice');
    await more(folder);
    await page.close();
    return ends;
  },
});

/** Ways to end an engine during a run, as text for the page. */
const ENDS = [
  { fault: 'the engine traps during a run', code: 'CRASHED', worker: 'failing.js', begin: "session.generate('trap: it does not end well')", end: '' },
  { fault: 'memory runs out during a run', code: 'OUT_OF_MEMORY', worker: 'failing.js', begin: "session.generate('full: it does not end well')", end: '' },
  { fault: "the worker is terminated during a run", code: 'CRASHED', end: 'engine().terminate();' },
  { fault: 'the worker throws', code: 'CRASHED', end: "engine().dispatchEvent(new ErrorEvent('error', { message: 'of its own' }));" },
  { fault: 'a message of the worker cannot be read', code: 'CRASHED', end: "engine().dispatchEvent(new MessageEvent('messageerror'));" },
];

const LONG = "session.generate('Once', { temperature: 9, maxTokens: 900, seed: 1 })";

/** @type {import('../runner.mjs').Case[]} */
export const supervision = [
  ...ENDS.map(({ fault, code, worker, begin = LONG, end }) =>
    inPage({
      fault,
      sees: `\`${code}\` for every open and later call; after \`model.reload()\` the golden text`,
      ends: code,
      worker,
      body: `async () => {
        const session = await Session.load(url, { threads: 1 });
        const run = ${begin};
        const pending = [run, session.generate('Once'), session.stats(), session.messages(), session.tokenize('a')].map(codeOf);
        ${end ? `await begun(run); const late = [session.generate('Once'), session.messages()].map(codeOf); ${end} pending.push(...late);` : ''}
        const codes = (await Promise.all(pending)).slice(0, 4);
        const later = await Promise.all([codeOf(session.generate('Once')), codeOf(session.stats()), codeOf(session.model.tokenize('a'))]);
        await session.model.reload();
        return { codes: [codes[0], codes[1]], later, text: await tell(session) };
      }`,
      expected: { codes: [code, code], later: [code, code, code], text: ARGS.text },
    }),
  ),
  inPage({
    fault: "a thread's worker is terminated during a run",
    sees: 'the run ends, with `CRASHED` or normally; after `model.reload()` the golden text',
    ends: 'text',
    body: `async () => {
      const session = await Session.load(url, { threads: 2 });
      if (session.info().threads !== 2) throw new Error('no threads here');
      const run = ${LONG};
      const code = codeOf(run);
      await begun(run);
      window.workers.findLast(({ isEngine }) => !isEngine).terminate();
      const ended = await code;
      await session.model.reload();
      return { ended: ['ended', 'CRASHED'].includes(ended), text: await tell(session) };
    }`,
    expected: { ended: true, text: ARGS.text },
  }),
  inPage({
    fault: 'the worker ends during a conversation',
    sees: 'after `model.reload()` the sessions have their histories and continue',
    ends: 'text',
    model: 'chat',
    body: `async () => {
      const model = await Model.load(url, { threads: 1 });
      const [ada, other] = [model.session(), model.session()];
      const say = async ({ user, maxTokens }) => (await ada.chat(user, { ...args.greedy, maxTokens })).text;
      const [first, second, third] = args.turns;
      const texts = [await say(first), await say(second)];
      await other.chat('Hello!', { ...args.greedy, maxTokens: 8 });
      const before = [await ada.messages(), await other.messages()];
      const run = ada.chat('Tell me more.', { temperature: 50, topP: 1, seed: 1, maxTokens: 900 });
      const code = codeOf(run);
      await begun(run);
      engine().terminate();
      const ended = await code;
      await model.reload();
      const after = [await ada.messages(), await other.messages()];
      texts.push(await say(third));
      return { ended, texts, same: JSON.stringify(before) === JSON.stringify(after), turns: after.map(({ length }) => length) };
    }`,
    expected: { ended: 'CRASHED', texts: ARGS.turns.slice(0, 3).map(({ text }) => text), same: true, turns: [4, 2] },
  }),
  inPage({
    fault: 'a working model is reloaded twice at once during a run',
    sees: '`CRASHED` for the run, then the golden text',
    ends: 'CRASHED',
    body: `async () => {
      const session = await Session.load(url, { threads: 1 });
      const code = codeOf(${LONG});
      await Promise.all([session.model.reload(), session.model.reload()]);
      return { code: await code, text: await tell(session), engines: window.workers.filter(({ isEngine }) => isEngine).length };
    }`,
    expected: { code: 'CRASHED', text: ARGS.text, engines: 2 },
  }),
  inPage({
    fault: 'a model that came from a stream is reloaded',
    sees: '`BAD_INPUT`: it can be read only once',
    ends: 'BAD_INPUT',
    body: `async () => {
      const [config, tokenizer, weights] = await Promise.all(['config.json', 'tokenizer.json', 'model.safetensors'].map((file) => fetch(url + file)));
      const session = await Session.load({ config, tokenizer, weights: weights.body }, { threads: 1 });
      engine().terminate();
      const codes = [await codeOf(session.stats()), await codeOf(session.model.reload())];
      return { codes };
    }`,
    expected: { codes: ['CRASHED', 'BAD_INPUT'] },
  }),
  inPage({
    fault: 'the script of the worker cannot be loaded',
    sees: '`UNSUPPORTED_ENVIRONMENT` with its URL and a remedy',
    ends: 'UNSUPPORTED_ENVIRONMENT',
    worker: 'nothing-here.js',
    body: `async () => [await codeOf(Session.load(url, { threads: 1 })), await codeOf(Model.estimate(url, { threads: 1 }))]`,
    expected: ['UNSUPPORTED_ENVIRONMENT', 'UNSUPPORTED_ENVIRONMENT'],
  }),
  inPage({
    fault: 'a session or model is disposed of twice, and used afterwards',
    sees: 'nothing; then `DISPOSED`',
    ends: 'DISPOSED',
    body: `async () => {
      const model = await Model.load(url, { threads: 1 });
      const [one, two] = [model.session(), model.session()];
      one.dispose();
      one.dispose();
      const session = await Promise.all([one.generate('Once'), one.chat('Once'), one.messages(), one.stats(), one.reset(), one.tokenize('a')].map(codeOf));
      const text = await tell(two);
      model.dispose();
      model.dispose();
      two.dispose();
      two.dispose();
      let made = 'made';
      try { model.session(); } catch (error) { made = error.code; }
      const all = await Promise.all([model.tokenize('a'), model.detokenize([1]), model.reload(), two.generate('Once'), two.messages()].map(codeOf));
      return { session: [...new Set(session)], all: [...new Set(all)], made, text };
    }`,
    expected: { session: ['DISPOSED'], all: ['DISPOSED'], made: 'DISPOSED', text: ARGS.text },
  }),
  inPage({
    fault: 'a session is disposed of during its run, and others are not',
    sees: '`DISPOSED` for its calls; the others continue',
    ends: 'DISPOSED',
    body: `async () => {
      const model = await Model.load(url, { threads: 1 });
      const [session, other] = [model.session(), model.session()];
      const run = ${LONG};
      const codes = [codeOf(run), codeOf(session.generate('Once')), codeOf(session.messages())];
      await begun(run);
      const text = tell(other);
      session.dispose();
      const ended = await Promise.all(codes);
      const told = await text;
      const last = other.generate('Once', { temperature: 9, maxTokens: 900, seed: 1 });
      const code = codeOf(last);
      await begun(last);
      model.dispose();
      return { ended, told, code: await code };
    }`,
    expected: { ended: ['DISPOSED', 'DISPOSED', 'DISPOSED'], told: ARGS.text, code: 'DISPOSED' },
  }),
  inPage({
    fault: 'a crashed model is disposed of',
    sees: '`DISPOSED` from then on',
    ends: 'DISPOSED',
    body: `async () => {
      const session = await Session.load(url, { threads: 1 });
      engine().terminate();
      const first = await codeOf(session.stats());
      session.dispose();
      return [first, await codeOf(session.stats()), await codeOf(session.model.reload())];
    }`,
    expected: ['CRASHED', 'DISPOSED', 'DISPOSED'],
  }),
  inPage({
    fault: 'a run is aborted before its start, twice during it, and after its end',
    sees: '`AbortError`, the same, then nothing; the next run gives the golden text',
    ends: 'AbortError',
    body: `async () => {
      const session = await Session.load(url, { threads: 1 });
      const how = (controller) => ({ temperature: 9, maxTokens: 900, seed: 1, signal: controller.signal });
      const [before, middle, queued, after] = [1, 2, 3, 4].map(() => new AbortController());
      before.abort();
      const codes = [await codeOf(session.generate('Once', how(before)))];
      const run = session.generate('Once', how(middle));
      const [ended, next] = [codeOf(run), codeOf(session.generate('Once', how(queued)))];
      await begun(run);
      queued.abort();
      middle.abort();
      middle.abort();
      codes.push(await ended, await next);
      const { text } = await session.generate(args.prompt, { ...args.greedy, maxTokens: args.maxTokens, signal: after.signal });
      after.abort();
      const left = session.generate(args.prompt, { ...args.greedy, maxTokens: args.maxTokens });
      for await (const _ of left) break;
      return { codes, text, again: await tell(session) };
    }`,
    expected: { codes: ['AbortError', 'AbortError', 'AbortError'], text: ARGS.text, again: ARGS.text },
  }),
  inPage({
    fault: 'a run is aborted while a long prompt is being read',
    sees: '`AbortError`; the engine is free after the current step, not after the prompt',
    ends: 'AbortError',
    worker: 'failing.js',
    body: `async () => {
      const session = await Session.load(url, { threads: 1 });
      const controller = new AbortController();
      const prompt = 'slow: ' + 'Once upon a time there was a little boat. '.repeat(40);
      // Each step of this prompt takes 50 ms more than needed and reports itself. The engine chooses their
      // number.
      const steps = new BroadcastChannel('prefill');
      let count = 0;
      steps.onmessage = () => count++;
      await session.generate(prompt, { ...args.greedy, maxTokens: 1 });
      const whole = count;
      await session.reset();
      const code = codeOf(session.generate(prompt, { ...args.greedy, maxTokens: 1, signal: controller.signal }));
      await new Promise((resolve) => (steps.onmessage = () => (controller.abort(), resolve())));
      count = 0;
      steps.onmessage = () => count++;
      await session.stats();
      await new Promise((resolve) => setTimeout(resolve, 100));
      // The step that was running, and one that began before the message arrived.
      return { code: await code, whole: whole > 5, after: count <= 2, text: await tell(session) };
    }`,
    expected: { code: 'AbortError', whole: true, after: true, text: ARGS.text },
  }),
];
