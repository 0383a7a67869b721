// The rows about a session's content: appended messages, the context and its overflow, clones, the end.

import { equal, ok, read, rejects } from './assert.js';
import { ASK, assistant, GREEDY, inSession, NAME, SYSTEM, user } from './session.js';

/** @import { Row } from './table.js' */

/**
 * A text of about `count` tokens.
 * @param {any} session
 * @param {number} count
 */
async function filler(session, count) {
  const [once, twice] = [await session.measureContextUsage('a word or so'), await session.measureContextUsage('a word or so a word or so')];
  return 'a word or so '.repeat(Math.max(1, Math.floor((count - once) / (twice - once)))).trim();
}

/** @type {Row[]} */
const context = [
  {
    behaviour: '`append()` adds messages without generating an answer, and resolves with undefined',
    source: 'Explainer, Appending messages without prompting for a response',
    test: (env) =>
      inSession(env, async (session) => {
        equal(await session.append([user(NAME), assistant('Hello Ada!')]), undefined);
        equal(await session.append('I like the sea.'), undefined);
        equal(await session.prompt(ASK), await env.reference([user(NAME), assistant('Hello Ada!'), user('I like the sea.'), user(ASK)]));
        await rejects(() => session.append([SYSTEM]), 'TypeError');
      }),
  },
  {
    behaviour: 'an aborted `append()` rejects with the reason and changes nothing',
    source: 'Explainer, Aborting a specific prompt',
    test: (env) =>
      inSession(env, async (session) => {
        const controller = new AbortController();
        const appended = session.append('I like the sea.', { signal: controller.signal });
        controller.abort();
        await rejects(() => appended, 'AbortError');
        equal(session.contextUsage, 0);
        await session.append([user(NAME), assistant('Hello Ada!')]);
        equal(await session.prompt(ASK), await env.reference([user(NAME), assistant('Hello Ada!'), user(ASK)]));
      }),
  },
  {
    behaviour: '`measureContextUsage()` returns how much `append()` would add to `contextUsage`, and changes nothing',
    source: 'Specification, prefill; WPT, language-model-append',
    test: (env) =>
      inSession(env, async (session) => {
        const usage = await session.measureContextUsage(NAME);
        ok(usage > 0, 'it counts');
        equal(session.contextUsage, 0);
        await session.append(NAME);
        equal(session.contextUsage, usage);
        const longer = await session.measureContextUsage('one two three');
        ok(longer > (await session.measureContextUsage('one')), 'it grows with the text');
        await rejects(() => session.measureContextUsage('x', { signal: AbortSignal.abort() }), 'AbortError');
        equal(session.contextUsage, usage);
        const answered = [user(ASK), assistant('You are Ada.')];
        const more = await session.measureContextUsage(answered);
        await session.append(answered);
        equal(session.contextUsage, usage + more);
      }),
  },
  {
    behaviour: '`measureContextUsage()` of a system prompt counts it alone, even if the session already has one',
    source: 'WPT, prompt/context/measure',
    test: (env) =>
      inSession(
        env,
        async (session) => {
          const usage = session.contextUsage;
          const alone = await session.measureContextUsage([SYSTEM]);
          ok(alone > 0, 'it counts alone');
          ok((await session.measureContextUsage([SYSTEM, user(NAME), assistant('Hello Ada!')])) > alone, 'all of it counts');
          equal(session.contextUsage, usage);
          await rejects(() => session.measureContextUsage([user(NAME), SYSTEM]), 'TypeError');
        },
        { initialPrompts: [SYSTEM] },
      ),
  },
  {
    behaviour: '`contextUsage` grows by the prompt and the answer',
    source: 'WPT, prompt/context/usage',
    test: (env) =>
      inSession(env, async (session) => {
        const asked = await session.measureContextUsage(NAME);
        const answer = await session.prompt(NAME);
        const answered = await session.measureContextUsage(answer);
        const apart = Math.abs(session.contextUsage - (asked + answered));
        ok(apart <= 5, `${session.contextUsage} after ${asked} and ${answered}, as browsers' tests allow`);
        ok(session.contextUsage <= session.contextWindow, 'within the window');
      }),
  },
  {
    behaviour: 'if a prompt does not fit, the oldest turns are dropped, never the initial prompts, and `contextoverflow` is fired',
    source: 'Explainer, Tokenization, context window length limits, and overflow',
    differs: 'turns are dropped as soon as less than an eighth of the window (at most 256 tokens) would be left for the answer',
    test: (env) => {
      const initialPrompts = [SYSTEM, user('Say hello.'), assistant('Hello!')];
      return inSession(
        env,
        async (session) => {
          /** @type {string[]} */
          const events = [];
          session.addEventListener('contextoverflow', (/** @type {Event} */ { type }) => events.push(type));
          session.oncontextoverflow = (/** @type {Event} */ { type }) => events.push(`on${type}`);
          session.onquotaoverflow = (/** @type {Event} */ { type }) => events.push(`on${type}`);
          const old = await filler(session, (session.contextWindow - session.contextUsage) * 0.7);
          await session.append([user(old), assistant('I see.')]);
          const full = session.contextUsage;
          equal(events, []);
          const long = await filler(session, session.contextWindow * 0.4);
          equal(await session.prompt(long), await env.reference([...initialPrompts, user(long)]));
          equal([...events].sort(), ['contextoverflow', 'oncontextoverflow', 'onquotaoverflow']);
          ok(session.contextUsage < full, 'dropped messages are not counted');
          session.oncontextoverflow = null;
          equal(session.oncontextoverflow, null);
        },
        { initialPrompts },
      );
    },
  },
  {
    behaviour: 'a prompt that leaves little room for an answer drops older turns even if they would fit',
    source: 'WPT, prompt/context/overflow',
    test: (env) =>
      inSession(env, async (session) => {
        let overflows = 0;
        session.addEventListener('contextoverflow', () => overflows++);
        await session.append([user('one'), assistant('two')]);
        const long = await filler(session, session.contextWindow * 0.96 - session.contextUsage);
        ok((await session.measureContextUsage(long)) + session.contextUsage < session.contextWindow, 'it would fit beside them');
        equal(await session.prompt(long), await env.reference([user(long)]));
        equal(overflows, 1);
      }),
  },
  {
    behaviour: 'only as many turns as necessary are dropped, the oldest first, and never a system prompt of the first call',
    source: 'Explainer, Tokenization, context window length limits, and overflow; System prompts',
    test: (env) =>
      inSession(env, async (session) => {
        await session.append([SYSTEM]);
        const part = await filler(session, session.contextWindow * 0.36);
        const [oldest, newer, asked] = ['first ', 'second ', 'third '].map((word) => user(word + part));
        await session.append([oldest, assistant('One.'), newer, assistant('Two.')]);
        equal(await session.prompt([asked]), await env.reference([SYSTEM, newer, assistant('Two.'), asked]));
      }),
  },
  {
    behaviour: '`append()` drops old turns in the same way',
    source: 'Explainer, Appending messages without prompting for a response',
    test: (env) =>
      inSession(env, async (session) => {
        let overflows = 0;
        session.addEventListener('contextoverflow', () => overflows++);
        await session.append([user(await filler(session, session.contextWindow * 0.7)), assistant('I see.')]);
        const later = [user(await filler(session, session.contextWindow * 0.5)), assistant('And I see.')];
        await session.append(later);
        equal(overflows, 1);
        equal(await session.prompt(ASK), await env.reference([...later, user(ASK)]));
      }),
  },
  {
    behaviour: 'a prompt that does not fit even then rejects with QuotaExceededError, whose `requested` is its size, and nothing is dropped',
    source: 'Explainer, Tokenization, context window length limits, and overflow; WPT, usage-prompt-quota-exceeded',
    test: (env) =>
      inSession(env, async (session) => {
        const long = 'a word and '.repeat(session.contextWindow);
        const needed = await session.measureContextUsage(long);
        const first = await session.prompt(NAME);
        const usage = session.contextUsage;
        for (const call of [() => session.prompt(long), () => session.append(long), () => read(session.promptStreaming(long))]) {
          const error = await rejects(call, 'QuotaExceededError');
          equal(error.quota, session.contextWindow);
          equal(error.requested, needed);
        }
        equal(session.contextUsage, usage);
        equal(await session.prompt(ASK), await env.reference([user(NAME), assistant(first), user(ASK)]));
      }),
  },
  {
    behaviour: 'an answer has at most 2,048 tokens, or `maxTokens` of the settings',
    source: 'ours: the specification leaves the end of an answer to the model',
    async test(env) {
      const [few, plenty] = [env.make({ maxTokens: 3 }), await env.LanguageModel.create(GREEDY)];
      const session = await few.create(GREEDY);
      const [short, whole] = [await session.prompt(NAME), await plenty.prompt(NAME)];
      ok(short.length > 0 && short.length < whole.length && whole.startsWith(short), `${short} of ${whole}`);
      session.destroy();
      plenty.destroy();
      for (const maxTokens of [0, 1.5, '9', NaN]) {
        let error;
        try {
          env.make({ maxTokens });
        } catch (thrown) {
          error = thrown;
        }
        equal(/** @type {any} */ (error)?.code, 'BAD_OPTION');
      }
    },
  },
  {
    behaviour: 'an abort does not bring back turns that were dropped for the prompt',
    source: 'Explainer, Aborting a specific prompt',
    test: (env) =>
      inSession(env, async (session) => {
        await session.append([user(await filler(session, session.contextWindow * 0.7)), assistant('I see.')]);
        const full = session.contextUsage;
        const controller = new AbortController();
        session.oncontextoverflow = () => controller.abort();
        const long = await filler(session, session.contextWindow * 0.5);
        await rejects(() => session.prompt(long, { signal: controller.signal }), 'AbortError');
        ok(session.contextUsage < full, 'it is gone');
        equal(await session.prompt(NAME), await env.reference([user(NAME)]));
      }),
  },
];

/** @type {Row[]} */
const lives = [
  {
    behaviour: '`clone()` returns an independent copy of the session',
    source: 'Explainer, Session persistence and cloning; WPT, language-model-clone',
    test: (env) =>
      inSession(
        env,
        async (session) => {
          const pending = session.prompt(NAME);
          const clone = await session.clone();
          const first = await pending;
          ok(clone instanceof env.LanguageModel && clone !== session, 'a LanguageModel');
          for (const name of ['contextUsage', 'contextWindow', 'temperature', 'topK', 'samplingMode']) equal(clone[name], session[name], name);
          const usage = session.contextUsage;
          const history = [SYSTEM, user(NAME), assistant(first)];
          equal(await clone.prompt(ASK), await env.reference([...history, user(ASK)]));
          equal(session.contextUsage, usage);
          session.destroy();
          ok((await clone.prompt('And yours?')).length > 0, 'it lives on');
          clone.destroy();
        },
        { initialPrompts: [SYSTEM] },
      ),
  },
  {
    behaviour: 'an aborted `clone()` rejects with the reason',
    source: 'Specification, clone a language model; WPT, language-model-abort',
    test: (env) =>
      inSession(env, async (session) => {
        const error = new Error('mine');
        await rejects(() => session.clone({ signal: AbortSignal.abort(error) }), error);
        const controller = new AbortController();
        const clone = session.clone({ signal: controller.signal });
        controller.abort(error);
        await rejects(() => clone, error);
        equal(await session.prompt(NAME), await env.reference([user(NAME)]));
      }),
  },
  {
    behaviour: '`destroy()` makes open and later calls reject with InvalidStateError; attributes stay readable',
    source: 'WPT, language-model-destroy',
    differs: 'the explainer and the specification say AbortError; browsers and their tests use InvalidStateError',
    async test(env) {
      const session = await env.LanguageModel.create();
      const pending = [session.prompt('Tell me a long story.'), session.append('x'), session.clone(), session.measureContextUsage('x')];
      const ends = Promise.allSettled(pending);
      session.destroy();
      session.destroy();
      equal((await ends).map((end) => end.status === 'rejected' && end.reason.name), Array(4).fill('InvalidStateError'));
      for (const call of [() => session.prompt('x'), () => session.append('x'), () => session.clone(), () => session.measureContextUsage('x')]) {
        await rejects(call, 'InvalidStateError');
      }
      equal([typeof session.contextUsage, typeof session.contextWindow, typeof session.temperature], ['number', 'number', 'number']);
    },
  },
  {
    behaviour: 'destroying a session does not affect other sessions of the class, and neither do its prompts',
    source: 'Explainer, Session destruction',
    test: (env) =>
      inSession(env, async (session) => {
        const other = await env.LanguageModel.create(GREEDY);
        const first = session.prompt(NAME);
        const pending = other.prompt('Tell me a long story.').catch(() => {});
        other.destroy();
        equal(await first, await env.reference([user(NAME)]));
        await pending;
      }),
  },
  {
    behaviour: 'if the engine crashes, the prompt rejects with UnknownError, the engine restarts, and the conversation continues',
    source: 'Specification, Errors',
    only: 'fake',
    test: (env) =>
      inSession(env, async (session) => {
        const first = await session.prompt(NAME);
        const error = await rejects(() => session.prompt('crash'), 'UnknownError');
        equal(error.cause.code, 'CRASHED');
        equal(await session.prompt(ASK), await env.reference([user(NAME), assistant(first), user(ASK)]));
      }),
  },
  {
    behaviour: 'the former names still work: `inputUsage`, `inputQuota`, `measureInputUsage()`, `onquotaoverflow`',
    source: 'Explainer, Renamed Features',
    differs: 'a browser has them only in extensions',
    test: (env) =>
      inSession(env, async (session) => {
        await session.append(NAME);
        equal([session.inputUsage, session.inputQuota], [session.contextUsage, session.contextWindow]);
        equal(await session.measureInputUsage('x'), await session.measureContextUsage('x'));
        equal(session.onquotaoverflow, null);
      }),
  },
];

export const holding = [
  { title: 'Context', rows: context },
  { title: 'Clones and the end', rows: lives },
];
