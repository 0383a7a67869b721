// The handler without a server: every route in the shape of OpenAI's API, with a fake model.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { createHandler, events, get, post } from './handler.js';
import { answerTo, fakeModel } from '../fake.js';

const USER = [{ role: 'user', content: 'Hello' }];
const ask = (more = {}) => ({ model: 'story', messages: USER, max_tokens: 4, seed: 7, ...more });
const CHAT_PROMPT = '<user> Hello <assistant> ';

/**
 * @param {any} [settings]
 * @param {object} [limits]
 */
function setUp(settings, limits) {
  const fake = fakeModel(settings);
  return { ...fake, handler: createHandler({ models: { story: fake.model }, ...limits }) };
}

test('the models are listed, and each can be described', async () => {
  const { model } = fakeModel();
  const handler = createHandler({ models: { story: model, 'owner/chat': model } });
  const list = await (await handler(get('/v1/models'))).json();
  assert.equal(list.object, 'list');
  assert.deepEqual(list.data.map(({ id, object, owned_by }) => [id, object, owned_by]), [['story', 'model', 'fireside'], ['owner/chat', 'model', 'fireside']]);
  assert(Math.abs(list.data[0].created - Date.now() / 1000) < 60);
  for (const path of ['/v1/models/story', '/v1/models/owner/chat', '/v1/models/owner%2Fchat']) {
    const response = await handler(get(path));
    assert.equal(response.status, 200, path);
    assert.match((await response.json()).id, /^(story|owner\/chat)$/);
  }
  const head = await handler(get('/v1/models', { method: 'HEAD' }));
  assert.deepEqual([head.status, await head.text()], [200, '']);
});

test('a single model without an id is called fireside', async () => {
  const handler = createHandler({ models: fakeModel().model });
  const { data } = await (await handler(get('/v1/models'))).json();
  assert.deepEqual(data.map(({ id }) => id), ['fireside']);
});

test('a chat is answered in OpenAI\'s format', async () => {
  const { handler } = setUp();
  const response = await handler(post('/v1/chat/completions', ask()));
  assert.equal(response.status, 200);
  assert.match(response.headers.get('content-type'), /^application\/json/);
  assert.match(response.headers.get('x-request-id'), /^req-/);
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  const { id, created, system_fingerprint, usage, ...rest } = await response.json();
  assert.match(id, /^chatcmpl-[A-Za-z0-9]{29}$/);
  assert(Math.abs(created - Date.now() / 1000) < 60);
  assert.match(system_fingerprint, /^fp_[0-9a-f]{8}$/);
  assert.deepEqual(rest, {
    object: 'chat.completion',
    model: 'story',
    service_tier: 'default',
    choices: [{ index: 0, message: { role: 'assistant', content: answerTo(CHAT_PROMPT, 7, 4), refusal: null, annotations: [] }, logprobs: null, finish_reason: 'length' }],
  });
  assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, usage.prompt_tokens_details.cached_tokens], [3, 4, 7, 0]);
});

test('content parts are joined, and a developer message is a system message', async () => {
  const { handler } = setUp();
  const messages = [{ role: 'developer', content: [{ type: 'text', text: 'Be ' }, { type: 'text', text: 'brief.' }] }, ...USER];
  const { choices } = await (await handler(post('/v1/chat/completions', ask({ messages })))).json();
  assert.equal(choices[0].message.content, answerTo(`<system> Be brief. ${CHAT_PROMPT}`, 7, 4));
});

test('an answer can be sent back in the history', async () => {
  const { handler } = setUp();
  const { choices } = await (await handler(post('/v1/chat/completions', ask()))).json();
  const messages = [...USER, choices[0].message, { role: 'user', content: 'More' }];
  const response = await handler(post('/v1/chat/completions', ask({ messages })));
  assert.equal(response.status, 200);
  const { usage } = await response.json();
  assert(usage.prompt_tokens_details.cached_tokens > 3, 'the conversation was not computed again');
});

test('a chat streams its role, its text, its end and [DONE]', async () => {
  const { handler } = setUp();
  const response = await handler(post('/v1/chat/completions', ask({ stream: true, n: 2 })));
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  const all = await events(response);
  assert.equal(all.pop(), '[DONE]');
  assert.equal(new Set(all.map(({ id }) => id)).size, 1);
  assert(all.every((chunk) => chunk.object === 'chat.completion.chunk' && chunk.model === 'story' && !('usage' in chunk)));
  for (const index of [0, 1]) {
    const mine = all.map(({ choices }) => choices[0]).filter((choice) => choice.index === index);
    assert.deepEqual(mine[0].delta, { role: 'assistant', refusal: null, content: '' });
    assert.equal(mine.map(({ delta }) => delta.content ?? '').join(''), answerTo(CHAT_PROMPT, 7 + index, 4));
    assert.deepEqual(mine.map(({ finish_reason }) => finish_reason), [...Array(mine.length - 1).fill(null), 'length']);
    assert.deepEqual(mine.at(-1).delta, {});
  }
});

test('a stream reports its usage at the end on request', async () => {
  const { handler } = setUp();
  const all = await events(await handler(post('/v1/chat/completions', ask({ stream: true, stream_options: { include_usage: true } }))));
  assert.equal(all.pop(), '[DONE]');
  const { choices, usage } = all.pop();
  assert.deepEqual(choices, []);
  assert.deepEqual([usage.prompt_tokens, usage.completion_tokens, usage.total_tokens], [3, 4, 7]);
  assert(all.every((chunk) => chunk.usage === null));
});

test('texts are completed, several at a time and several times each', async () => {
  const { handler } = setUp();
  const response = await handler(post('/v1/completions', { model: 'story', prompt: ['The fox ', 'The sea '], n: 2, max_tokens: 3, seed: 1 }));
  const { id, object, choices, usage } = await response.json();
  assert.match(id, /^cmpl-/);
  assert.equal(object, 'text_completion');
  const expected = ['The fox ', 'The sea '].flatMap((prompt) => [1, 2].map((seed) => answerTo(prompt, seed, 3)));
  assert.deepEqual(choices.map(({ index, text }) => [index, text]), [...expected.entries()]);
  assert.equal(usage.completion_tokens, 12);
});

test('a completion has sixteen tokens by default, as in OpenAI\'s API', async () => {
  const { handler } = setUp();
  const { usage } = await (await handler(post('/v1/completions', { model: 'story', prompt: 'The fox ' }))).json();
  assert.equal(usage.completion_tokens, 16);
});

test('completions stream with the index of their prompt and choice', async () => {
  const { handler } = setUp();
  const all = await events(await handler(post('/v1/completions', { model: 'story', prompt: ['The fox ', 'The sea '], n: 2, max_tokens: 3, seed: 1, stream: true })));
  assert.equal(all.pop(), '[DONE]');
  const texts = ['', '', '', ''];
  for (const { choices: [{ index, text }] } of all) texts[index] += text;
  assert.deepEqual(texts, ['The fox ', 'The sea '].flatMap((prompt) => [1, 2].map((seed) => answerTo(prompt, seed, 3))));
  assert.equal(all.filter(({ choices: [{ finish_reason }] }) => finish_reason === 'length').length, 4);
});

test('token probabilities have the format of each route, streamed or not', async () => {
  const { handler } = setUp();
  const chatted = ask({ logprobs: true, top_logprobs: 2 });
  const { choices: [{ logprobs }] } = await (await handler(post('/v1/chat/completions', chatted))).json();
  assert.equal(logprobs.content.length, 4);
  const [{ token, logprob, bytes, top_logprobs }] = logprobs.content;
  assert.equal(new TextDecoder().decode(Uint8Array.from(bytes)), token);
  assert(logprob < 0 && top_logprobs.length === 2 && top_logprobs[0].token === token);
  const chunks = (await events(await handler(post('/v1/chat/completions', { ...chatted, stream: true })))).slice(0, -1);
  assert.deepEqual(chunks.flatMap(({ choices: [choice] }) => choice.logprobs?.content ?? []), logprobs.content);

  const texted = { model: 'story', prompt: 'The fox ', max_tokens: 4, seed: 7, logprobs: 1 };
  const { choices: [whole] } = await (await handler(post('/v1/completions', texted))).json();
  assert.equal(whole.logprobs.tokens.join(''), whole.text);
  assert.deepEqual(whole.logprobs.text_offset, whole.logprobs.tokens.map((_, i, all) => all.slice(0, i).join('').length));
  assert.deepEqual(Object.keys(whole.logprobs.top_logprobs[0]), [whole.logprobs.tokens[0]]);
  const parts = (await events(await handler(post('/v1/completions', { ...texted, stream: true })))).slice(0, -1);
  assert.deepEqual(parts.flatMap(({ choices: [choice] }) => choice.logprobs?.text_offset ?? []), whole.logprobs.text_offset);
});

test('a stop sequence ends the text with the reason stop', async () => {
  const { handler } = setUp();
  const text = answerTo(CHAT_PROMPT, 7, 4);
  const third = text.split(' ')[3];
  const { choices: [{ finish_reason, message }] } = await (await handler(post('/v1/chat/completions', ask({ stop: [third] })))).json();
  assert.equal(finish_reason, 'stop');
  assert(text.startsWith(message.content) && message.content.length < text.length);
});

test('honoured parameters reach the engine under its own names, and no others do', async () => {
  const { handler, state } = setUp();
  const sampling = { temperature: 0.5, top_p: 0.9, top_k: 5, min_p: 0.1, typical_p: 0.8, repetition_penalty: 1.1, frequency_penalty: 0.2, presence_penalty: -0.3, logit_bias: { 7: -1 }, stop: 'x', seed: 9, n: 2, min_tokens: 1 };
  const passed = { temperature: 0.5, topP: 0.9, topK: 5, minP: 0.1, typicalP: 0.8, repetitionPenalty: 1.1, frequencyPenalty: 0.2, presencePenalty: -0.3, logitBias: { 7: -1 }, stop: ['x'], seed: 9, n: 2, minTokens: 1, maxTokens: 3 };
  const options = async (request) => {
    assert.equal((await handler(request)).status, 200);
    return state.log.findLast(({ what }) => what === 'start').options;
  };
  const asked = { model: 'story', ...sampling, user: 'ada' };
  assert.deepEqual(await options(post('/v1/chat/completions', { ...asked, messages: USER, max_completion_tokens: 3, logprobs: true, top_logprobs: 2, store: false })), { ...passed, logprobs: 2 });
  assert.deepEqual(await options(post('/v1/completions', { ...asked, prompt: 'The fox ', max_tokens: 3, logprobs: 0 })), { ...passed, logprobs: 0 });
  assert.deepEqual(await options(post('/v1/chat/completions', { model: 'story', messages: USER, logprobs: true })), { maxTokens: 512, logprobs: 0 });
  assert.deepEqual(await options(post('/v1/completions', { model: 'story', prompt: 'The fox ' })), { maxTokens: 16 });
  assert.deepEqual(await options(post('/generate', { text: 'The fox ' })), { maxTokens: 100, temperature: 0.7 });
  assert.deepEqual(await options(post('/v1/completions', { model: 'story', prompt: 'The fox ', top_p: 0 })), { maxTokens: 16, topK: 1 });
});

test('an impossible token has the least probability that JSON can express', async () => {
  const { handler } = setUp();
  const { choices: [{ logprobs }] } = await (await handler(post('/v1/chat/completions', ask({ logprobs: true, top_logprobs: 6 })))).json();
  assert.deepEqual(logprobs.content.map(({ top_logprobs }) => top_logprobs[5].logprob), [-9999, -9999, -9999, -9999]);
});

test('the simple route generates max_length tokens and returns its duration', async () => {
  const { handler } = setUp();
  const response = await handler(post('/generate', { text: 'The fox ', max_length: 5 }));
  const { generated_text, latency_ms, ...rest } = await response.json();
  assert.equal(generated_text, answerTo('The fox ', 0, 5));
  assert(latency_ms >= 0 && Number.isFinite(latency_ms));
  assert.deepEqual(rest, {});
  const { generated_text: long } = await (await handler(post('/generate', { text: 'The fox ' }))).json();
  assert.equal(long, answerTo('The fox ', 0, 100));
});

test('health reports running and waiting requests, and a crashed or stuck engine', async () => {
  const { handler, state } = setUp({}, { healthMs: 30 });
  const health = async () => {
    const response = await handler(get('/health'));
    return [response.status, await response.json()];
  };
  assert.deepEqual(await health(), [200, { status: 'ok', model: 'story', models: [{ id: 'story', status: 'ok' }], running: 0, queue: { length: 0, max: 32 } }]);
  state.isStuck = true;
  const [stuck, { models }] = await health();
  assert.deepEqual([stuck, models[0].status], [503, 'stuck']);
  state.isStuck = false;
  state.crashed = true;
  const [crashed, body] = await health();
  assert.deepEqual([crashed, body.status, body.models[0].status], [503, 'error', 'crashed']);
});

test('a crash is 503 for non-streamed answers, and the last event of streams', async () => {
  const { handler, state } = setUp({ tokenMs: 5 });
  const response = await handler(post('/v1/chat/completions', ask({ stream: true, max_tokens: 100 })));
  assert.equal(response.status, 200);
  state.crashed = true;
  const all = await events(response);
  assert.equal(all.at(-1).error.code, 'engine_crashed');
  assert.equal(all.at(-1).error.type, 'server_error');
  for (const more of [{}, { stream: true }]) {
    const refused = await handler(post('/v1/chat/completions', ask(more)));
    assert.equal(refused.status, 503);
    assert.equal((await refused.json()).error.code, 'engine_crashed');
  }
});

test('an error in the prompt is a status even if a stream was requested', async () => {
  const { handler } = setUp();
  const response = await handler(post('/v1/completions', { model: 'story', prompt: 'a '.repeat(600), stream: true }));
  assert.equal(response.status, 400);
  assert.deepEqual((await response.json()).error, {
    message: "This model's maximum context length is 512 tokens. However, your prompt resulted in 600 tokens. Please reduce the length of the prompt.",
    type: 'invalid_request_error',
    param: 'prompt',
    code: 'context_length_exceeded',
  });
});

test('the limit of characters in a prompt is exact', async () => {
  const { handler, state } = setUp({}, { promptCharsMax: 8 });
  const status = async (path, asked) => (await handler(post(path, asked))).status;
  for (const [text, expected] of [['The fox ', 200], ['The fox a', 400]]) {
    assert.equal(await status('/v1/completions', { model: 'story', prompt: text }), expected);
    assert.equal(await status('/v1/completions', { model: 'story', prompt: ['a', text] }), expected);
    assert.equal(await status('/v1/chat/completions', ask({ messages: [{ role: 'system', content: text.slice(0, 4) }, { role: 'user', content: text.slice(4) }] })), expected);
    assert.equal(await status('/generate', { text }), expected);
  }
  assert.equal(state.log.filter(({ what }) => what === 'start').length, 5);
});

test('the handler works as the fetch of the official client: streamed or not, aborted, and with errors', async () => {
  const { handler, state } = setUp({ tokenMs: 1 });
  const client = new OpenAI({ baseURL: 'http://localhost/v1', apiKey: 'none', maxRetries: 0, fetch: handler });
  const { choices } = await client.chat.completions.create(ask());
  assert.equal(choices[0].message.content, answerTo(CHAT_PROMPT, 7, 4));
  let streamed = '';
  for await (const chunk of await client.chat.completions.create(ask({ stream: true }))) streamed += chunk.choices[0].delta.content ?? '';
  assert.equal(streamed, choices[0].message.content);
  await assert.rejects(client.chat.completions.create(ask({ temperature: 3 })), (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  const controller = new AbortController();
  const aborted = client.chat.completions.create(ask({ max_tokens: 500 }), { signal: controller.signal });
  setTimeout(() => controller.abort(), 30);
  await assert.rejects(aborted, OpenAI.APIUserAbortError);
  assert.equal(state.computing, 0);
});

test('the handler refuses invalid limits and models', () => {
  const { model } = fakeModel();
  const code = (options) => {
    try {
      createHandler(options);
    } catch (error) {
      return `${error.code} ${error.details.option}`;
    }
    return 'none';
  };
  assert.equal(code({ models: {} }), 'BAD_OPTION models');
  assert.equal(code({ models: { story: {} } }), 'BAD_OPTION models');
  assert.equal(code({ models: model, concurrency: 0 }), 'BAD_OPTION concurrency');
  assert.equal(code({ models: model, queueMax: -1 }), 'BAD_OPTION queueMax');
  assert.equal(code({ models: model, promptCharsMax: 0 }), 'BAD_OPTION promptCharsMax');
  assert.equal(code({ models: model, wrong: 1 }), 'BAD_OPTION wrong');
});
