// The handler as the `fetch` of the real packages of the AI SDK and LangChain, with a fake model.
// handler.test.js does the same with OpenAI's client.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { AIMessage, HumanMessage, SystemMessage } from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { ChatOpenAI } from '@langchain/openai';
import { APICallError, generateText, jsonSchema, Output, streamText, tool } from 'ai';
import { createHandler, until } from './handler.js';
import { answerTo, fakeModel } from '../fake.js';

const PROMPT = '<user> Hello <assistant> ';
const ANSWER = answerTo(PROMPT, 7, 4);
const BASE_URL = 'http://localhost/v1';
/** More tokens than any test waits for. */
const LONG = 400;

/** The program's own fetch, which no request may reach. */
const { fetch: network } = globalThis;
const left = [];
before(() => {
  globalThis.fetch = async (url) => {
    left.push(String(url));
    throw new Error(`a client asked the network for ${url}`);
  };
});
after(() => {
  globalThis.fetch = network;
  assert.deepEqual(left, []);
});

/** A model and its handler. A token takes 2 ms, so that an answer can be aborted. */
function setUp() {
  const fake = fakeModel({ tokenMs: 2 });
  return { ...fake, handler: createHandler({ models: { story: fake.model } }) };
}

/** The messages of the last chat that the engine was given. */
const lastMessages = ({ log }) => log.findLast(({ what }) => what === 'start').messages;

/** Waits until the engine is idle, and checks that its last run was aborted before its end. */
async function wasAborted(state) {
  await until(() => state.computing === 0);
  assert.equal(state.log.at(-1).what, 'abort');
  assert(state.log.filter(({ what }) => what === 'token').length < LONG);
}

/** The arguments for calls of the AI SDK. */
function sdk(more) {
  const { handler, ...fake } = setUp();
  const fireside = createOpenAICompatible({ name: 'fireside', baseURL: BASE_URL, fetch: handler, includeUsage: true });
  const ask = { model: fireside('story'), messages: [{ role: 'user', content: 'Hello' }], maxOutputTokens: 4, seed: 7, maxRetries: 0, ...more };
  return { ...fake, fireside, ask };
}

test('AI SDK: an answer arrives whole and can be sent back in the history', async () => {
  const { ask, state } = sdk({ system: 'Be brief.' });
  const { text, finishReason, usage, warnings, response } = await generateText(ask);
  const prompt = '<system> Be brief. <user> Hello <assistant> ';
  assert.deepEqual([text, finishReason, warnings], [answerTo(prompt, 7, 4), 'length', []]);
  assert.deepEqual([usage.inputTokens, usage.outputTokens, usage.totalTokens], [6, 4, 10]);
  const second = await generateText({ ...ask, messages: [...ask.messages, ...response.messages, { role: 'user', content: 'More' }] });
  assert.deepEqual(lastMessages(state).map(({ role, content }) => [role, content]), [['system', 'Be brief.'], ['user', 'Hello'], ['assistant', text], ['user', 'More']]);
  assert.equal(second.usage.inputTokenDetails.cacheReadTokens, 10, 'the first turn was not computed again');
});

test('AI SDK: its settings reach the engine', async () => {
  const { ask, state } = sdk();
  const settings = { temperature: 0.5, topP: 0.9, presencePenalty: 0.1, frequencyPenalty: 0.2 };
  await generateText({ ...ask, ...settings, stopSequences: ['zz'], providerOptions: { fireside: { min_p: 0.3 } } });
  const { options } = state.log.find(({ what }) => what === 'start');
  for (const [name, value] of Object.entries({ ...settings, maxTokens: 4, seed: 7, stop: ['zz'], minP: 0.3 })) assert.deepEqual(options[name], value, name);
});

test('AI SDK: an answer streams word by word, and its usage comes last', async () => {
  const { ask } = sdk();
  const result = streamText(ask);
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  assert.equal(pieces.length, 4);
  assert.equal(pieces.join(''), ANSWER);
  assert.equal(await result.finishReason, 'length');
  const { inputTokens, outputTokens } = await result.usage;
  assert.deepEqual([inputTokens, outputTokens], [3, 4]);
});

test('AI SDK: an abort ends the run in the engine, streamed or not', async () => {
  const whole = sdk({ maxOutputTokens: LONG });
  const controller = new AbortController();
  const answer = generateText({ ...whole.ask, abortSignal: controller.signal });
  const rejected = assert.rejects(answer, { name: 'AbortError' });
  await until(() => whole.state.computing === 1);
  controller.abort();
  await rejected;
  await wasAborted(whole.state);

  const streaming = sdk({ maxOutputTokens: LONG });
  const other = new AbortController();
  const types = [];
  for await (const { type } of streamText({ ...streaming.ask, abortSignal: other.signal }).fullStream) {
    types.push(type);
    if (type === 'text-delta') other.abort();
  }
  assert.equal(types.at(-1), 'abort');
  await wasAborted(streaming.state);
});

test('AI SDK: an error has its message, status, code and parameter', async () => {
  const { ask, fireside } = sdk();
  const refused = (more, status, code, param, message) =>
    assert.rejects(generateText({ ...ask, ...more }), (error) => {
      assert(APICallError.isInstance(error), String(error));
      assert.deepEqual([error.statusCode, error.data.error.code, error.data.error.param, error.isRetryable], [status, code, param, false]);
      assert.match(error.message, message);
      return true;
    });
  const schema = jsonSchema({ type: 'object', properties: {} });
  await refused({ model: fireside('gpt-4') }, 404, 'model_not_found', 'model', /Models here: `story`/);
  await refused({ temperature: 3 }, 400, 'decimal_above_max_value', 'temperature', /Expected a value <= 2/);
  await refused({ messages: [{ role: 'user', content: 'word '.repeat(600) }] }, 400, 'context_length_exceeded', 'messages', /maximum context length is 512 tokens/);
  await refused({ tools: { time: tool({ description: 'the time', inputSchema: schema }) } }, 400, 'unsupported_value', 'tools', /call no tools/);
  await refused({ output: Output.object({ schema }) }, 400, 'unsupported_value', 'response_format', /free text/);
});

test('AI SDK: a stream reports refusals, and failures midway', async () => {
  const { ask, state, fireside } = sdk({ maxOutputTokens: LONG });
  const errors = [];
  const onError = ({ error }) => errors.push(error.message);
  for await (const _ of streamText({ ...ask, model: fireside('gpt-4'), onError }).textStream) assert.fail('there is no such model');
  const types = [];
  for await (const { type } of streamText({ ...ask, onError }).fullStream) {
    types.push(type);
    if (type === 'text-delta') state.crashed = true;
  }
  assert(types.includes('error'), types.join());
  assert.match(errors[0], /^The model `gpt-4` does not exist/);
  assert.deepEqual(errors.slice(1), ['the engine stopped: unreachable.']);
});

/** LangChain's model. */
function langchain(more) {
  const { handler, ...fake } = setUp();
  const create = (other) => new ChatOpenAI({ model: 'story', apiKey: 'none', maxRetries: 0, maxTokens: 4, ...other, configuration: { baseURL: BASE_URL, fetch: handler } });
  return { ...fake, create, chat: create(more) };
}

test('LangChain: an answer arrives whole and can be sent back in the history', async () => {
  const { chat, state } = langchain();
  const history = [new SystemMessage('Be brief.'), new HumanMessage('Hello')];
  const answer = await chat.invoke(history, { seed: 7 });
  assert(AIMessage.isInstance(answer));
  assert.equal(answer.content, answerTo('<system> Be brief. <user> Hello <assistant> ', 7, 4));
  assert.equal(answer.response_metadata.finish_reason, 'length');
  assert.deepEqual([answer.usage_metadata.input_tokens, answer.usage_metadata.output_tokens], [6, 4]);
  const second = await chat.invoke([...history, answer, new HumanMessage('More')], { seed: 7 });
  assert.deepEqual(lastMessages(state).map(({ role, content }) => [role, content]), [['system', 'Be brief.'], ['user', 'Hello'], ['assistant', answer.content], ['user', 'More']]);
  assert.equal(second.usage_metadata.input_token_details.cache_read, 10, 'the first turn was not computed again');
});

test('LangChain: a chain answers one question, and several at a time', async () => {
  const { chat } = langchain({ modelKwargs: { seed: 7 } });
  const chain = ChatPromptTemplate.fromMessages([['human', '{question}']]).pipe(chat).pipe(new StringOutputParser());
  assert.equal(await chain.invoke({ question: 'Hello' }), ANSWER);
  const questions = ['Hello', 'Who?', 'Where?'];
  assert.deepEqual(await chain.batch(questions.map((question) => ({ question }))), questions.map((question) => answerTo(`<user> ${question} <assistant> `, 7, 4)));
});

test('LangChain: an answer streams word by word, and its usage comes last', async () => {
  const { chat } = langchain();
  const pieces = [];
  let usage;
  for await (const { content, usage_metadata } of await chat.stream('Hello', { seed: 7 })) {
    if (content) pieces.push(content);
    usage = usage_metadata ?? usage;
  }
  assert.equal(pieces.length, 4);
  assert.equal(pieces.join(''), ANSWER);
  assert.deepEqual([usage.input_tokens, usage.output_tokens], [3, 4]);
});

test('LangChain: an abort ends the run in the engine, streamed or not', async () => {
  const whole = langchain({ maxTokens: LONG });
  const controller = new AbortController();
  const rejected = assert.rejects(whole.chat.invoke('Hello', { signal: controller.signal }), { name: 'AbortError' });
  await until(() => whole.state.computing === 1);
  controller.abort();
  await rejected;
  await wasAborted(whole.state);

  const streaming = langchain({ maxTokens: LONG });
  const other = new AbortController();
  await assert.rejects(async () => {
    for await (const { content } of await streaming.chat.stream('Hello', { signal: other.signal })) if (content) other.abort();
  }, { name: 'AbortError' });
  await wasAborted(streaming.state);
});

test('LangChain: an error has its message, status, code and parameter, also in a stream', async () => {
  const { chat, create, state } = langchain();
  const last = async (stream) => {
    for await (const _ of await stream); // to its end
  };
  const unknown = { status: 404, code: 'model_not_found', param: 'model', message: /Models here: `story`/ };
  await assert.rejects(create({ model: 'gpt-4' }).invoke('Hello'), unknown);
  await assert.rejects(last(create({ model: 'gpt-4' }).stream('Hello')), unknown);
  await assert.rejects(create({ temperature: 3 }).invoke('Hello'), { status: 400, param: 'temperature', message: /Expected a value <= 2/ });
  await assert.rejects(chat.invoke('word '.repeat(600)), { name: 'ContextOverflowError', message: /maximum context length is 512 tokens/ });
  const parameters = { type: 'object', properties: {} };
  await assert.rejects(chat.bindTools([{ type: 'function', function: { name: 'time', parameters } }]).invoke('Hello'), { code: 'unsupported_value', param: 'tools' });
  await assert.rejects(chat.withStructuredOutput({ title: 'time', ...parameters }).invoke('Hello'), { code: 'unsupported_value', param: 'response_format' });
  await assert.rejects(async () => {
    for await (const { content } of await create({ maxTokens: LONG }).stream('Hello')) if (content) state.crashed = true;
  }, { code: 'engine_crashed', message: /the engine stopped: unreachable/ });
});
