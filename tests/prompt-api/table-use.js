// The rows about using a session: prompts, refused input, aborts, streams.

import { equal, ok, read, rejects, throws } from './assert.js';
import { ASK, assistant, inSession, NAME, SYSTEM, user } from './session.js';

/** @import { Row } from './table.js' */

/** @type {Row[]} */
const prompting = [
  {
    behaviour: '`prompt()` resolves with the answer to the whole conversation; the prompt and the answer become part of it',
    source: 'Explainer, Session persistence and cloning',
    test: (env) =>
      inSession(env, async (session) => {
        const first = await session.prompt(NAME);
        equal(first, await env.reference([user(NAME)]));
        equal(await session.prompt(ASK), await env.reference([user(NAME), assistant(first), user(ASK)]));
      }),
  },
  {
    behaviour: 'a prompt is a string, or a list of messages with roles, whose content is a string or a list of strings, joined without a separator',
    source: 'Specification, validate and canonicalize a prompt',
    async test(env) {
      const expected = await env.reference([user('first'), user(NAME)]);
      const inParts = { role: 'user', content: [{ type: 'text', value: 'My name' }, { type: 'text', value: ' is Ada.' }] };
      await inSession(env, async (session) => equal(await session.prompt([user('first'), inParts]), expected));
      await inSession(env, async (session) => equal(await session.prompt(new Set([user('first'), user(NAME)])), expected));
    },
  },
  {
    behaviour: 'an empty prompt is answered; a value that is neither a string nor a list is converted to a string',
    source: 'Web IDL; WPT, prompt/empty-inputs',
    async test(env) {
      for (const [input, text] of /** @type {[any, string][]} */ ([['', ''], [[], ''], [[{ role: 'user', content: [] }], ''], [null, 'null'], [undefined, 'undefined'], [{}, '[object Object]']])) {
        await inSession(env, async (session) => equal(await session.prompt(input), await env.reference([user(text)])));
      }
    },
  },
  {
    behaviour: 'messages without a known role or without content reject with TypeError',
    source: 'Specification, LanguageModelMessage',
    test: (env) =>
      inSession(env, async (session) => {
        const content = [{ type: 'text', value: new ArrayBuffer(1) }];
        for (const message of [{ role: 'ai', content: 'x' }, { content: 'x' }, { role: 'user' }, 'x', 5, { role: 'user', content }, { role: 'user', content: [{ type: 'text' }] }, { role: 'user', content: [{ value: 'x' }] }]) {
          await rejects(() => session.prompt([message]), 'TypeError');
        }
        for (const options of [5, { signal: 'x' }]) await rejects(() => session.prompt('x', options), 'TypeError');
        equal(session.contextUsage, 0);
      }),
  },
  {
    behaviour: 'images and audio reject with NotSupportedError',
    source: 'Explainer, Multimodal inputs',
    test: (env) =>
      inSession(env, async (session) => {
        for (const [role, type] of [['user', 'image'], ['user', 'audio'], ['assistant', 'image'], ['user', 'tool-response']]) {
          await rejects(() => session.prompt([{ role, content: [{ type: 'text', value: 'Look:' }, { type, value: new Uint8Array(1) }] }]), 'NotSupportedError');
        }
      }),
  },
  {
    behaviour: 'the system prompt may be the first message of the first call; later it rejects with TypeError',
    source: 'Explainer, System prompts; WPT, prompt/rejections',
    async test(env) {
      await inSession(env, async (session) => {
        for (const messages of [[user('foo'), SYSTEM], [SYSTEM, SYSTEM]]) await rejects(() => session.prompt(messages), 'TypeError');
        equal(await session.prompt([SYSTEM, user(NAME)]), await env.reference([SYSTEM, user(NAME)]));
        await rejects(() => session.prompt([SYSTEM]), 'TypeError');
      });
      await inSession(env, async (session) => void (await rejects(() => session.prompt([SYSTEM]), 'TypeError')), { initialPrompts: [user('Hello!'), assistant('Hello!')] });
    },
  },
  {
    behaviour: 'a list that ends with the assistant rejects with NotSupportedError',
    source: 'Explainer, Customizing the role per prompt',
    differs: 'the specification lets the assistant continue; this engine only answers messages of other roles',
    test: (env) => inSession(env, async (session) => void (await rejects(() => session.prompt([user(NAME), assistant('Hello Ada,')]), 'NotSupportedError'))),
  },
  {
    behaviour: '`prefix` rejects with NotSupportedError on a last message of the assistant, and with SyntaxError on any other message',
    source: 'Explainer, Constraining responses by providing a prefix',
    differs: 'the engine cannot continue an answer that the caller began',
    test: (env) =>
      inSession(env, async (session) => {
        await rejects(() => session.prompt([{ ...user('x'), prefix: true }]), 'SyntaxError');
        await rejects(() => session.prompt([{ ...assistant('x'), prefix: true }, user('x')]), 'SyntaxError');
        await rejects(() => session.prompt([user('x'), { ...assistant('x'), prefix: true }]), 'NotSupportedError');
        await session.prompt([{ ...user('x'), prefix: false }]);
      }),
  },
  {
    behaviour: '`responseConstraint` rejects with NotSupportedError; `omitResponseConstraintInput` without it rejects with TypeError',
    source: 'Explainer, Structured output with JSON schema or RegExp constraints',
    differs: 'constrained answers are not supported yet',
    test: (env) =>
      inSession(env, async (session) => {
        for (const responseConstraint of [{ type: 'boolean' }, /yes|no/]) {
          await rejects(() => session.prompt('x', { responseConstraint }), 'NotSupportedError');
          await rejects(() => session.measureContextUsage('x', { responseConstraint }), 'NotSupportedError');
          await rejects(() => read(session.promptStreaming('x', { responseConstraint })), 'NotSupportedError');
        }
        for (const responseConstraint of [5, 'yes', null]) await rejects(() => session.prompt('x', { responseConstraint }), 'TypeError');
        await rejects(() => session.prompt('x', { omitResponseConstraintInput: true }), 'TypeError');
      }),
  },
  {
    behaviour: 'concurrent prompts are answered in the order of the calls',
    source: 'Explainer, Aborting a specific prompt; WPT, prompt/prompt-concurrent',
    test: (env) =>
      inSession(env, async (session) => {
        const answers = await Promise.all([session.prompt(NAME), session.prompt(ASK)]);
        const first = await env.reference([user(NAME)]);
        equal(answers, [first, await env.reference([user(NAME), assistant(first), user(ASK)])]);
      }),
  },
];

/** @type {Row[]} */
const aborting = [
  {
    behaviour: 'an aborted prompt rejects with the reason and is rolled back: later answers do not depend on it',
    source: 'Explainer, Aborting a specific prompt; WPT, resources/util.js testAbortPromise',
    test: (env) =>
      inSession(env, async (session) => {
        await rejects(() => session.prompt('x', { signal: AbortSignal.abort() }), 'AbortError');
        for (const reason of [undefined, new Error('mine')]) {
          const controller = new AbortController();
          const chunks = session.promptStreaming('Tell me a long story.', { signal: controller.signal }).getReader();
          await chunks.read();
          controller.abort(reason);
          await rejects(() => chunks.read().then((/** @type {any} */ { value }) => value && chunks.read()), reason ?? 'AbortError');
          const late = new AbortController();
          const pending = session.prompt('Tell me a long story.', { signal: late.signal });
          late.abort(reason);
          await rejects(() => pending, reason ?? 'AbortError');
        }
        equal(session.contextUsage, 0);
        equal(await session.prompt(NAME), await env.reference([user(NAME)]));
      }),
  },
  {
    behaviour: 'aborting a prompt in the queue removes it; aborting an answered one has no effect',
    source: 'Explainer, Aborting a specific prompt',
    test: (env) =>
      inSession(env, async (session) => {
        const controller = new AbortController();
        const [first, second, third] = [session.prompt(NAME), session.prompt('never', { signal: controller.signal }), session.prompt(ASK)];
        controller.abort();
        await rejects(() => second, 'AbortError');
        const after = new AbortController();
        equal(await third, await env.reference([user(NAME), assistant(await first), user(ASK)]));
        const fourth = await session.prompt('And?', { signal: after.signal });
        after.abort();
        equal(await session.prompt('So?'), await env.reference([user(NAME), assistant(await first), user(ASK), assistant(await third), user('And?'), assistant(fourth), user('So?')]));
      }),
  },
];

/** @type {Row[]} */
const streaming = [
  {
    behaviour: '`promptStreaming()` returns a ReadableStream of pieces, which together are the answer',
    source: 'Explainer, Zero-shot prompting',
    test: (env) =>
      inSession(env, async (session) => {
        const stream = session.promptStreaming(NAME);
        ok(stream instanceof ReadableStream, 'a ReadableStream');
        const pieces = await read(stream);
        ok(pieces.length > 1 && pieces.every((piece) => typeof piece === 'string' && piece), `${pieces.length} pieces`);
        equal(pieces.join(''), await env.reference([user(NAME)]));
        const again = await Promise.all([read(session.promptStreaming(ASK)), read(session.promptStreaming(ASK))]);
        ok(again.every((each) => each.length > 0), 'two at once');
      }),
  },
  {
    behaviour: '`for await` works even if ReadableStream has no async iterator (Safari up to 26); leaving the loop aborts the prompt',
    source: 'Streams Standard, 4.2.5 Asynchronous iteration',
    test: (env) =>
      inSession(env, async (session) => {
        const { prototype } = ReadableStream;
        const own = ['values', Symbol.asyncIterator].map((name) => /** @type {const} */ ([name, Object.getOwnPropertyDescriptor(prototype, name)]));
        for (const [name] of own) Reflect.deleteProperty(prototype, name);
        try {
          let text = '';
          for await (const piece of session.promptStreaming(NAME)) text += piece;
          equal(text, await env.reference([user(NAME)]));
          const left = session.promptStreaming(ASK);
          for await (const _ of left) break;
          equal(left.locked, false);
          equal(await read(left), []);
          for await (const _ of session.promptStreaming(ASK).values({ preventCancel: true })) break;
          const failing = session.promptStreaming([user('x'), SYSTEM]);
          await rejects(async () => {
            for await (const _ of failing);
          }, 'TypeError');
          equal(failing.locked, false);
        } finally {
          for (const [name, descriptor] of own) if (descriptor) Object.defineProperty(prototype, name, descriptor);
        }
      }),
  },
  {
    behaviour: '`promptStreaming()` throws at once for wrong arguments, an aborted signal or a destroyed session; later errors end the stream',
    source: 'Shared infrastructure, get a streaming AI model result',
    async test(env) {
      await inSession(env, async (session) => {
        throws(() => session.promptStreaming('x', { signal: AbortSignal.abort() }), 'AbortError');
        throws(() => session.promptStreaming([{}]), 'TypeError');
        await rejects(() => read(session.promptStreaming([user('x'), SYSTEM])), 'TypeError');
        const pending = session.promptStreaming('Tell me a long story.');
        session.destroy();
        await rejects(() => read(pending), 'InvalidStateError');
        throws(() => session.promptStreaming('x'), 'InvalidStateError');
      });
    },
  },
  {
    behaviour: 'cancelling the stream aborts the prompt, like leaving its loop',
    source: 'Shared infrastructure, get a streaming AI model result',
    test: (env) =>
      inSession(env, async (session) => {
        const reader = session.promptStreaming('Tell me a long story.').getReader();
        await reader.read();
        await reader.cancel();
        for await (const piece of session.promptStreaming('Tell me a long story.')) if (piece) break;
        equal(session.contextUsage, 0);
        equal(await session.prompt(NAME), await env.reference([user(NAME)]));
      }),
  },
];

export const using = [
  { title: 'Prompting', rows: prompting },
  { title: 'Aborting', rows: aborting },
  { title: 'Streaming', rows: streaming },
];
