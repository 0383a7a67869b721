// `fireside serve` with the bundled models, used through OpenAI's official client, which is given only a
// base URL.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import OpenAI from 'openai';
import { Model } from '../../www/lib/node/index.js';
import { folder, serving } from './server.js';

/**
 * Without a key, a conversation is reused on its connection only, and Node's fetch uses two connections for
 * requests that follow each other at once.
 */
const KEY = 'secret';

let server;
let client;
/** The same models, without a server. */
const alone = {};
before(async () => {
  server = await serving(['--model', folder('chat'), '--model', folder('story'), '--threads', '1', '--api-key', KEY]);
  client = new OpenAI({ baseURL: server.url, apiKey: KEY, maxRetries: 0 });
  for (const id of ['chat', 'story']) alone[id] = await Model.load(folder(id), { threads: 1 });
});
after(async () => {
  await server.stop();
  for (const model of Object.values(alone)) model.dispose();
});

const ASKED = { model: 'chat', messages: [{ role: 'user', content: 'My name is Ada.' }], temperature: 0, max_tokens: 40 };

/** The answer of a new session. */
async function expected(id, input, options) {
  const session = alone[id].session();
  try {
    return await (typeof input === 'string' ? session.generate(input, options) : session.chat(input, options));
  } finally {
    session.dispose();
  }
}

test('the server lists its models and describes one', async () => {
  const { data } = await client.models.list();
  assert.deepEqual(data.map(({ id }) => id), ['chat', 'story']);
  assert.equal((await client.models.retrieve('story')).owned_by, 'fireside');
  await assert.rejects(client.models.retrieve('gpt-4'), (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found' && error.param === 'model');
});

test('the server continues a conversation without computing any of it twice', async () => {
  const messages = [...ASKED.messages];
  const first = await client.chat.completions.create(ASKED);
  assert.equal(first.choices[0].message.content, (await expected('chat', messages, { temperature: 0, maxTokens: 40 })).text);
  assert.equal(first.choices[0].finish_reason, 'stop');
  messages.push(first.choices[0].message, { role: 'user', content: 'What is my name?' });
  const second = await client.chat.completions.create({ ...ASKED, messages });
  assert.match(second.choices[0].message.content, /Ada/);
  const { prompt_tokens, prompt_tokens_details, completion_tokens, total_tokens } = second.usage;
  assert(prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens, JSON.stringify(second.usage));
  assert.equal(total_tokens, prompt_tokens + completion_tokens);
});

test('a stream gives the same text as a non-streamed answer, with its usage', async () => {
  const whole = await client.chat.completions.create({ ...ASKED, temperature: 0.8, seed: 3 });
  const stream = await client.chat.completions.create({ ...ASKED, temperature: 0.8, seed: 3, stream: true, stream_options: { include_usage: true } });
  let [text, usage, finish] = ['', null, null];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    finish = chunk.choices[0]?.finish_reason ?? finish;
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(finish, 'stop');
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test('the client\'s streaming helper assembles the same', async () => {
  const runner = client.chat.completions.stream({ ...ASKED });
  const { choices } = await runner.finalChatCompletion();
  assert.equal(choices[0].message.content, (await client.chat.completions.create(ASKED)).choices[0].message.content);
});

test('the server completes texts, several at a time', async () => {
  const prompt = ['Once upon a time', 'The little boat'];
  const { choices, usage } = await client.completions.create({ model: 'story', prompt, max_tokens: 20, temperature: 0 });
  for (const [index, text] of prompt.entries()) assert.equal(choices[index].text, (await expected('story', text, { temperature: 0, maxTokens: 20 })).text);
  assert.equal(usage.completion_tokens, 40);
  let streamed = '';
  for await (const chunk of await client.completions.create({ model: 'story', prompt: prompt[0], max_tokens: 20, temperature: 0, stream: true })) streamed += chunk.choices[0].text;
  assert.equal(streamed, choices[0].text);
});

test('n answers are those of the engine for one prompt, and the seed repeats them', async () => {
  const asked = { ...ASKED, temperature: 1, seed: 11, n: 3 };
  const [one, two] = [await client.chat.completions.create(asked), await client.chat.completions.create(asked)];
  const texts = one.choices.map(({ message }) => message.content);
  assert.deepEqual(two.choices.map(({ message }) => message.content), texts);
  const { choices } = await expected('chat', ASKED.messages, { temperature: 1, seed: 11, n: 3, maxTokens: 40 });
  assert.deepEqual(texts, choices.map(({ text }) => text));
  const streamed = ['', '', ''];
  for await (const { choices: [choice] } of await client.chat.completions.create({ ...asked, stream: true })) streamed[choice.index] += choice.delta.content ?? '';
  assert.deepEqual(streamed, texts);
});

test('the server returns the probabilities of tokens and of their alternatives', async () => {
  const { choices: [{ logprobs, message }] } = await client.chat.completions.create({ ...ASKED, logprobs: true, top_logprobs: 3 });
  const bytes = logprobs.content.flatMap((token) => token.bytes);
  assert(new TextDecoder().decode(Uint8Array.from(bytes)).startsWith(message.content));
  for (const { token, logprob, top_logprobs } of logprobs.content) {
    assert(logprob <= 0 && top_logprobs.length === 3);
    assert.equal(top_logprobs[0].token, token); // greedy
  }
  const { choices: [text] } = await client.completions.create({ model: 'story', prompt: 'Once upon a time', max_tokens: 8, temperature: 0, logprobs: 2 });
  assert.equal(text.logprobs.tokens.join(''), text.text);
  assert.equal(text.logprobs.token_logprobs.length, 8);
});

test('stop, logit_bias and the penalties take effect', async () => {
  const base = { model: 'story', prompt: 'Once upon a time', max_tokens: 48, temperature: 0 };
  const text = async (more) => (await client.completions.create({ ...base, ...more })).choices[0];
  const plain = await text({});
  const stop = plain.text.slice(10, 14);
  const stopped = await text({ stop });
  assert.equal(stopped.finish_reason, 'stop');
  assert.equal(stopped.text, plain.text.slice(0, plain.text.indexOf(stop)));
  const [, first] = await alone.story.tokenize(plain.text); // the tokenizer puts a space before a text
  assert.notEqual((await text({ logit_bias: { [first]: -100 } })).text, plain.text);
  assert.notEqual((await text({ frequency_penalty: 2, presence_penalty: 2 })).text, plain.text);
});

test('errors arrive as the client\'s error classes', async () => {
  const create = (more) => client.chat.completions.create({ ...ASKED, ...more });
  await assert.rejects(create({ temperature: 3 }), (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(create({ tools: [{ type: 'function', function: { name: 'f' } }] }), (error) => error.code === 'unsupported_value' && error.param === 'tools');
  await assert.rejects(create({ messages: [{ role: 'user', content: 'Hello '.repeat(3000) }] }), (error) => error.status === 400 && error.code === 'context_length_exceeded' && error.param === 'messages');
  await assert.rejects(create({ messages: [{ role: 'user', content: 'Hello '.repeat(3000) }], stream: true }), (error) => error.code === 'context_length_exceeded');
  await assert.rejects(create({ logit_bias: { 999999999: 1 } }), (error) => error.status === 400 && error.param === 'logit_bias');
});

test('an aborted stream ends, and the server continues', async () => {
  const controller = new AbortController();
  const stream = await client.chat.completions.create({ ...ASKED, temperature: 2, max_tokens: 900, min_tokens: 900, stream: true }, { signal: controller.signal });
  let pieces = 0;
  for await (const _ of stream) if (++pieces === 3) controller.abort();
  const begin = performance.now();
  await client.chat.completions.create({ ...ASKED, max_tokens: 1 });
  assert(performance.now() - begin < 1_000);
});

test('an aborted non-streamed answer rejects with the client\'s abort error', async () => {
  const controller = new AbortController();
  const answer = client.chat.completions.create({ ...ASKED, temperature: 2, max_tokens: 900, min_tokens: 900 }, { signal: controller.signal });
  setTimeout(() => controller.abort(), 50);
  await assert.rejects(answer, OpenAI.APIUserAbortError);
});

test('the simple route continues a text with the first model, and health lists that model', async () => {
  const base = server.url.replace('/v1', '');
  const send = (body) => fetch(`${base}/generate`, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${KEY}` } });
  const { generated_text, latency_ms } = await (await send({ text: 'Once', max_length: 10 })).json();
  assert(generated_text.length > 0 && latency_ms > 0);
  const health = await fetch(`${base}/health`);
  assert.equal(health.status, 200);
  const { status, model, running } = await health.json();
  assert.deepEqual([status, model, running], ['ok', 'chat', 0]);
});
