// Messages, system prompts and template variables, in every interface that Node has: Session, the raw
// classes, and the OpenAI handler.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { createHandler } from '../../www/lib/integrations/openai.js';
import { Model, Session } from '../../www/lib/node/index.js';
import { initSync, Session as RawSession, wasm } from '../../www/lib/wasm.js';

const CHAT = join(ROOT, 'models', 'chat');
/** One build, which runs everywhere. */
const BUILD = { threads: 1, deterministic: true };
const GREEDY = { temperature: 0, repetitionPenalty: 1, maxTokens: 8 };
const file = (/** @type {string} */ name) => new Uint8Array(readFileSync(join(CHAT, name)));

/** ChatML that reads a variable, a name and a reasoning. */
const TEMPLATE = `{% for message in messages %}<|im_start|>{{ message.role }}{{ ' ' ~ message.name if message.name is defined }}
{{ message.reasoning_content|default('') }}{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{{ '' if enable_thinking else 'No thoughts. ' * (words|default(1)) }}{% endif %}`;

initSync({ module: readFileSync(join(ROOT, 'www', 'lib', 'pkg', 'simd128_bg.wasm')) });
const model = await Model.load(CHAT, BUILD);
const switched = await Model.load({ config: file('config.json'), tokenizer: file('tokenizer.json'), weights: file('model.safetensors'), chatTemplate: TEMPLATE }, BUILD);
after(() => [model, switched].forEach((each) => each.dispose()));

const files = { tokenizerConfig: file('tokenizer_config.json') };
const raw = (/** @type {object} */ options = files) => RawSession.fromBytes(file('config.json'), file('tokenizer.json'), file('model.safetensors'), options);
const user = { role: 'user', content: 'My name is Ada.' };

/** The error that a call rejects with or throws. @param {() => unknown} call */
async function errorOf(call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return assert.fail('it was taken');
}

const cyclic = { role: 'user', content: 'x', more: {} };
cyclic.more = cyclic;

/** Messages that are refused, and what the error must name. @type {[unknown, RegExp][]} */
const REFUSED = [
  ...['name', 'images', 'tool_calls', 'tool_call_id', 'reasoning_content', 'prefix', 'contents', 'function_call', 'audio', 'cache_control'].map((field) => {
    const value = ['name', 'reasoning_content'].includes(field) ? 'x' : [{}];
    return /** @type {[unknown, RegExp]} */ ([[user, { role: 'assistant', content: 'Hello.' }, { ...user, [field]: value }], new RegExp(`^messages\\[2\\]\\.${field} is not a field that is supported`)]);
  }),
  [[{ ...user, prefix: true }], /^messages\[0\]\.prefix /],
  [[{ role: 'user' }], /^messages\[0\]\.content is missing\. Pass what is said/],
  [[{ role: 'user', content: null }], /^messages\[0\]\.content is null/],
  [[{ role: 'user', content: undefined }], /^messages\[0\]\.content is missing/],
  [[{ role: 'user', content: { type: 'text', text: 'x' } }], /^messages\[0\]\.content is an object/],
  [[{ content: 'x' }], /^messages\[0\]\.role is missing\. Say who speaks/],
  [[{ role: 5, content: 'x' }], /^messages\[0\]\.role is 5/],
  [[{ role: 'user', content: [{ type: 'image', image: 'x.png' }] }], /^messages\[0\]\.content\[0\]\.type is "image"\. Models read text only/],
  [[{ role: 'user', content: [{ type: 'text', text: 'x' }, { type: 'text', value: 'x' }] }], /^messages\[0\]\.content\[1\]\.value is not a field/],
  [[{ role: 'user', content: [{ type: 'text' }] }], /^messages\[0\]\.content\[0\]\.text is missing/],
  [[{ role: 'user', content: ['x'] }], /^messages\[0\]\.content\[0\] is the text "x"/],
  [['x'], /^messages\[0\] is the text "x"/],
  [[null], /^messages\[0\] is null/],
  [[new Map([['role', 'user']])], /^messages\[0\] is (an object \(Map\)|not plain data)/],
  [[{ ...user, onclick() {} }], /^messages\[0\]\.onclick is (a function|not plain data)/],
  [[{ ...user, at: new Date() }], /^messages\[0\]\.at is (an object \(Date\)|not plain data)/],
  [[{ ...user, id: Symbol('x') }], /^messages\[0\]\.id is /],
  [[{ ...user, weight: NaN }], /^messages\[0\]\.weight is (NaN|not a finite number)/],
  [[cyclic], /is nested too deeply, or contains itself/],
];

describe('a message field that is unknown or not supported is refused, with its index, its name and a remedy', () => {
  test('by a session, which stays unchanged', async () => {
    const session = model.session();
    await session.setMessages([user]);
    for (const [messages, expected] of REFUSED) {
      const list = /** @type {any} */ (messages);
      for (const call of [() => session.chat(list), () => session.append(list), () => session.setMessages(list), () => session.measureContextUsage(list)]) {
        const error = await errorOf(call);
        assert.equal(error.code, 'BAD_INPUT', `${error}`);
        assert.match(error.message, expected);
        assert.match(error.message, /\. [A-Z].*\.$/, 'the fact, then the remedy');
        assert.doesNotMatch(error.message, /JsValue|Object\(/);
        assert.equal(error.message.startsWith(error.details.what), true);
      }
    }
    assert.deepEqual(await session.messages(), [user]);
    session.dispose();
  });

  test('by the raw classes', async () => {
    const session = raw();
    for (const [messages, expected] of REFUSED) {
      const list = /** @type {any} */ (messages);
      for (const call of [() => session.chat(list), () => session.append(list), () => session.setMessages(list), () => session.measureContextUsage(list)]) {
        const error = await errorOf(call);
        assert.equal(error.code, 'BAD_INPUT', `${error}`);
        assert.match(error.message, expected);
      }
    }
    session.free();
  });

  test('unknown names in the other objects that go to the engine are refused too', async () => {
    const session = raw();
    const small = { config: file('config.json'), tokenizer: file('tokenizer.json') };
    /** @type {[() => unknown, string][]} */
    const calls = [
      [() => new wasm.Loader(/** @type {any} */ ({ ...small, chat_template: file('config.json') }), {}), 'BAD_INPUT'],
      [() => new wasm.Estimator(/** @type {any} */ ({ ...small, weights: file('config.json') }), {}), 'BAD_INPUT'],
      [() => new wasm.Loader(small, /** @type {any} */ ({ dtpye: 'q8' })), 'BAD_OPTION'],
      [() => raw({ ...files, sytem: 'x' }), 'BAD_OPTION'],
      [() => session.generate('x', new Map([['temperature', 0]])), 'BAD_INPUT'],
      [() => session.generate('x', { chatTemplateKwargs: {} }), 'BAD_OPTION'],
      [() => session.append([user], { temperature: 0 }), 'BAD_OPTION'],
      [() => session.measureContextUsage('x', /** @type {any} */ ({ overflow: 'shift' })), 'BAD_OPTION'],
      [() => session.save(/** @type {any} */ ({ kache: false })), 'BAD_OPTION'],
      [() => model.session(/** @type {any} */ ({ sytem: 'x' })), 'BAD_OPTION'],
      [() => model.session(/** @type {any} */ ({ system: 5 })), 'BAD_OPTION'],
    ];
    for (const [call, code] of calls) assert.equal((await errorOf(call)).code, code, `${call}`);
    session.free();
  });

  test('a field that is undefined or null is treated as absent', async () => {
    const session = model.session();
    await session.chat([/** @type {any} */ ({ ...user, name: undefined, tool_calls: null })], GREEDY);
    assert.deepEqual((await session.messages())[0], user);
    session.dispose();
  });

  test('a name and a reasoning reach a template that reads them', async () => {
    const session = switched.session();
    const more = { ...user, name: 'ada', reasoning_content: 'Who?' };
    const [plain, long] = [await session.measureContextUsage([user]), await session.measureContextUsage([more])];
    assert(long > plain, `${long} ${plain}`);
    assert.deepEqual(switched.info().messageFields, ['role', 'content', 'name', 'reasoning_content']);
    assert.deepEqual(model.info().messageFields, ['role', 'content']);
    session.dispose();
  });
});

test('text parts are joined', async () => {
  const parts = [{ role: 'user', content: [{ type: 'text', text: 'My name ' }, { type: 'text', text: 'is Ada.' }] }];
  const answers = [];
  for (const messages of [[user], parts]) {
    const session = model.session();
    answers.push((await session.chat(/** @type {any} */ (messages), GREEDY)).text);
    assert.deepEqual((await session.messages())[0], user);
    session.dispose();
  }
  assert.equal(answers[0], answers[1]);
});

test('a system prompt begins every history, also in clones, saved sessions and after a reset', async () => {
  const system = { role: 'system', content: 'You are kind.' };
  const session = model.session({ system: system.content });
  assert.deepEqual(await session.messages(), [system]);
  const { text } = await session.chat(user.content, GREEDY);
  const plain = model.session();
  assert.equal((await plain.chat([system, user], GREEDY)).text, text);
  const copies = [await session.clone(), await Session.restore(model, await session.save())];
  await session.chat([user], GREEDY);
  assert.deepEqual((await session.messages()).slice(0, 2), [system, user]);
  const other = { role: 'system', content: 'You are brief.' };
  await session.setMessages([other, user]);
  assert.deepEqual(await session.messages(), [other, user]);
  for (const each of [session, ...copies]) {
    await each.reset();
    assert.deepEqual(await each.messages(), [system]);
    each.dispose();
  }
  const loaded = await Session.load(CHAT, { ...BUILD, system: system.content });
  assert.deepEqual(await loaded.messages(), [system]);
  await loaded.model.reload();
  assert.deepEqual(await loaded.messages(), [system]);
  loaded.dispose();
  const bytes = raw({ ...files, system: system.content });
  assert.deepEqual(bytes.messages(), [system]);
  assert.deepEqual(bytes.options(), { system: system.content });
  bytes.free();
  plain.dispose();
});

test('template variables stay with the session until others are set', async () => {
  assert.deepEqual(switched.info().chatTemplateKwargs, ['enable_thinking', 'words']);
  const session = switched.session();
  const prompt = async (/** @type {import('../../www/lib/shared/types.d.ts').GenerateOptions} */ options = {}) => (await session.regenerate({ ...GREEDY, ...options })).usage.promptTokens;
  await session.chat('Hello!', GREEDY);
  const off = await prompt();
  const on = await prompt({ chatTemplateKwargs: { enable_thinking: true } });
  assert(on < off, `${on} ${off}`);
  assert.equal(await prompt(), on, 'a later turn');
  const copies = [await session.clone(), await Session.restore(switched, await session.save({ cache: false }))];
  for (const copy of copies) assert.equal((await copy.regenerate(GREEDY)).usage.promptTokens, on);
  assert.equal(await prompt({ chat_template_kwargs: {} }), off, 'an empty object clears them');
  assert(await prompt({ chatTemplateKwargs: { words: 3 } }) > off);
  const run = session.regenerate({ ...GREEDY, maxTokens: 400, minTokens: 400, chatTemplateKwargs: { enable_thinking: true }, signal: AbortSignal.timeout(1) });
  await assert.rejects(Promise.resolve(run));
  assert(await prompt() > off, 'a turn that was aborted changes nothing');
  const measured = await Promise.all([{}, { enable_thinking: true }].map((chatTemplateKwargs) => session.measureContextUsage('x', { chatTemplateKwargs })));
  assert(measured[1] < measured[0]);
  const opened = switched.session({ chatTemplateKwargs: { enable_thinking: true } });
  assert.equal((await opened.chat('Hello!', GREEDY)).usage.promptTokens, on);
  for (const each of [session, opened, ...copies]) each.dispose();
});

test('variables that the template does not read, and names that callers cannot set, are refused by name', async () => {
  const session = switched.session();
  /** @type {[any, RegExp][]} */
  const refused = [
    [{ enable_thinkin: true }, /chatTemplateKwargs\.enable_thinkin`: This model's chat template does not read `enable_thinkin`\. It reads enable_thinking, words\./],
    ...['messages', 'tools', 'documents', 'add_generation_prompt', 'bos_token', 'strftime_now'].map((name) => /** @type {[any, RegExp]} */ ([{ [name]: 1 }, new RegExp(`chatTemplateKwargs\\.${name}\``)])),
    [[1], /`chatTemplateKwargs`: expected an object/],
    ['x', /`chatTemplateKwargs`: expected an object/],
    [{ words: 'x'.repeat(70_000) }, /at most 65536 bytes/],
  ];
  for (const [chatTemplateKwargs, expected] of refused) {
    const error = await errorOf(() => session.chat('x', { ...GREEDY, chatTemplateKwargs }));
    assert.equal(error.code, 'BAD_OPTION');
    assert.match(error.message, expected);
  }
  const error = await errorOf(() => session.chat('x', { ...GREEDY, chatTemplateKwargs: /** @type {any} */ ({ words: () => 1 }) }));
  assert.match(error.message, /^chatTemplateKwargs\.words is a function/);
  await assert.rejects(switched.session({ chatTemplateKwargs: { x: 1 } }).messages(), { code: 'BAD_OPTION' });
  await assert.rejects(Session.load(CHAT, { ...BUILD, chatTemplateKwargs: { x: 1 } }), { code: 'BAD_OPTION' });
  assert.deepEqual(await session.messages(), []);
  session.dispose();
});

test('the OpenAI handler accepts template variables as clients send them, and keeps none for the next request', async () => {
  const handler = createHandler({ models: { switched, chat: model } });
  const ask = async (/** @type {object} */ more, name = 'switched') => {
    const body = JSON.stringify({ model: name, messages: [user], max_tokens: 4, temperature: 0, ...more });
    const response = await handler(new Request('http://localhost/v1/chat/completions', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }));
    const answer = await response.json();
    return response.ok ? answer.usage.prompt_tokens : answer.error.param;
  };
  const off = await ask({});
  const on = await ask({ chat_template_kwargs: { enable_thinking: true } });
  assert(on < off);
  assert.equal(await ask({}), off);
  assert.equal(await ask({ enable_thinking: true }), on);
  assert.equal(await ask({ reasoning_effort: 'none' }), off);
  assert.equal(await ask({ reasoning_effort: 'none', enable_thinking: true }), on);
  assert.equal(await ask({ reasoning_effort: 'high' }), 'reasoning_effort');
  assert.equal(await ask({ chat_template_kwargs: { think: true } }), 'chat_template_kwargs.think');
  assert.equal(await ask({ chat_template_kwargs: { enable_thinking: true }, enable_thinking: false }), 'enable_thinking');
  assert.equal(await ask({ enable_thinking: true }, 'chat'), 'enable_thinking');
  await handler.close();
});
