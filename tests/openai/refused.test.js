// What the handler refuses, with the status, the code and the parameter of each refusal; and what it
// accepts and ignores.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHandler, get, PARAMETERS, post } from './handler.js';
import { fakeModel } from '../fake.js';

const handler = createHandler({ models: { story: fakeModel().model } });
const USER = [{ role: 'user', content: 'Hello' }];
const chat = (more) => post('/v1/chat/completions', { model: 'story', messages: USER, max_tokens: 2, ...more });
const text = (more) => post('/v1/completions', { model: 'story', prompt: 'Once', max_tokens: 2, ...more });
const raw = (body, headers) => post('/v1/chat/completions', body, { headers });
const VALID = JSON.stringify({ model: 'story', messages: USER, max_tokens: 2 });
const deep = `{"model":"story","messages":${'['.repeat(400_000)}${']'.repeat(400_000)}}`;

/** Request, status, code, param. */
const REFUSED = [
  // URLs and methods.
  [() => get('/'), 404, 'unknown_url', null],
  [() => get('/v1'), 404, 'unknown_url', null],
  [() => get('/v1//models'), 404, 'unknown_url', null],
  [() => post('/v1/embeddings', {}), 404, 'unknown_url', null],
  [() => get('/../../etc/passwd'), 404, 'unknown_url', null],
  [() => get('/v1/models/%E0%A4%A'), 404, 'model_not_found', 'model'],
  [() => get('/v1/models/none'), 404, 'model_not_found', 'model'],
  [() => get('/v1/models/__proto__'), 404, 'model_not_found', 'model'],
  [() => get('/v1/models/..%2F..%2Fetc'), 404, 'model_not_found', 'model'],
  [() => get('/v1/chat/completions'), 405, 'method_not_supported', null],
  [() => get('/generate'), 405, 'method_not_supported', null],
  [() => post('/v1/models', {}), 405, 'method_not_supported', null],
  [() => post('/health', {}), 405, 'method_not_supported', null],
  [() => new Request('http://localhost/v1/completions', { method: 'DELETE' }), 405, 'method_not_supported', null],
  [() => new Request('http://localhost/v1/models/story', { method: 'DELETE' }), 405, 'method_not_supported', null],
  // Bodies.
  [() => raw(VALID, { 'Content-Type': 'text/plain' }), 415, 'unsupported_media_type', null],
  [() => raw(VALID, { 'Content-Type': 'application/x-www-form-urlencoded' }), 415, 'unsupported_media_type', null],
  [() => raw(VALID, { 'Content-Type': 'application/jsonp' }), 415, 'unsupported_media_type', null],
  [() => raw(VALID, { 'Content-Type': '' }), 415, 'unsupported_media_type', null],
  [() => raw(VALID, { 'Content-Encoding': 'gzip' }), 415, 'unsupported_media_type', null],
  [() => raw('', {}), 400, 'invalid_json', null],
  [() => raw('{"model": "story", ', {}), 400, 'invalid_json', null],
  [() => raw('{"temperature": NaN}', {}), 400, 'invalid_json', null],
  [() => raw(VALID + VALID, {}), 400, 'invalid_json', null],
  [() => raw('[]', {}), 400, 'invalid_type', 'body'],
  [() => raw('null', {}), 400, 'invalid_type', 'body'],
  [() => raw('"model"', {}), 400, 'invalid_type', 'body'],
  [() => raw(deep, {}), 400, 'invalid_type', 'messages[0]'],
  [() => new Request('http://localhost/v1/completions', { method: 'POST', body: Uint8Array.of(123, 255, 125), headers: { 'Content-Type': 'application/json' } }), 400, 'invalid_body', null],
  [() => raw(`{"user":"${'a'.repeat(2 ** 20)}"}`, {}), 413, 'request_too_large', null],
  // Models and parameters that exist or not.
  [() => chat({ model: undefined }), 400, 'missing_required_parameter', 'model'],
  [() => chat({ model: null }), 400, 'missing_required_parameter', 'model'],
  [() => chat({ model: 3 }), 400, 'invalid_type', 'model'],
  [() => chat({ model: 'none' }), 404, 'model_not_found', 'model'],
  [() => chat({ model: 'constructor' }), 404, 'model_not_found', 'model'],
  [() => chat({ messages: undefined }), 400, 'missing_required_parameter', 'messages'],
  [() => text({ prompt: undefined }), 400, 'missing_required_parameter', 'prompt'],
  [() => post('/generate', {}), 400, 'missing_required_parameter', 'text'],
  [() => chat({ max_token: 3 }), 400, 'unknown_parameter', 'max_token'],
  [() => text({ messages: USER }), 400, 'unknown_parameter', 'messages'],
  [() => post('/generate', { text: 'a', top_p: 1 }), 400, 'unknown_parameter', 'top_p'],
  [() => raw(VALID.replace('{', '{"__proto__": {"temperature": 1}, '), {}), 400, 'unknown_parameter', '__proto__'],
  [() => raw(VALID.replace('{', '{"constructor": 1, '), {}), 400, 'unknown_parameter', 'constructor'],
  [() => raw(VALID.replace('"max_tokens":2', '"max_tokens":2,"max_tokens":-2'), {}), 400, 'integer_below_min_value', 'max_tokens'],
  // Texts that are refused by their length alone: the model's context is 512 tokens.
  [() => text({ prompt: ' '.repeat(16_385) }), 400, 'context_length_exceeded', 'prompt'],
  [() => text({ prompt: ['Once', ' '.repeat(16_385)] }), 400, 'context_length_exceeded', 'prompt'],
  [() => chat({ messages: Array(2).fill({ role: 'user', content: ' '.repeat(8_193) }) }), 400, 'context_length_exceeded', 'messages'],
  [() => post('/generate', { text: ' '.repeat(1_000_000) }), 400, 'context_length_exceeded', 'text'],
  // Messages.
  [() => chat({ messages: [] }), 400, 'empty_array', 'messages'],
  [() => chat({ messages: 'Hello' }), 400, 'invalid_type', 'messages'],
  [() => chat({ messages: {} }), 400, 'invalid_type', 'messages'],
  [() => chat({ messages: [null] }), 400, 'invalid_type', 'messages[0]'],
  [() => chat({ messages: ['Hello'] }), 400, 'invalid_type', 'messages[0]'],
  [() => chat({ messages: [{ content: 'Hello' }] }), 400, 'invalid_type', 'messages[0].role'],
  [() => chat({ messages: [{ role: 'tool', content: 'Hello', tool_call_id: 'x' }] }), 400, 'unsupported_value', 'messages[0].role'],
  [() => chat({ messages: [{ role: '__proto__', content: 'Hello' }] }), 400, 'unsupported_value', 'messages[0].role'],
  [() => chat({ messages: [{ role: 'user' }] }), 400, 'invalid_type', 'messages[0].content'],
  [() => chat({ messages: [{ role: 'user', content: null }] }), 400, 'invalid_type', 'messages[0].content'],
  [() => chat({ messages: [{ role: 'user', content: 'Hello', name: 3 }] }), 400, 'invalid_type', 'messages[0].name'],
  [() => chat({ messages: [{ role: 'user', content: 'Hello', refusal: 'No.' }] }), 400, 'unsupported_parameter', 'messages[0].refusal'],
  [() => chat({ messages: [{ role: 'user', content: 'Hello', reasoning_content: 'Hm.' }] }), 400, 'unsupported_parameter', 'messages[0].reasoning_content'],
  [() => chat({ messages: [{ role: 'user', content: 'Hello', weight: 1 }] }), 400, 'unsupported_parameter', 'messages[0].weight'],
  [() => chat({ messages: [...USER, { role: 'assistant', content: 'Hi', tool_calls: [{}] }] }), 400, 'unsupported_parameter', 'messages[1].tool_calls'],
  [() => chat({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://localhost/' } }] }] }), 400, 'unsupported_value', 'messages[0].content[0].type'],
  [() => chat({ messages: [{ role: 'user', content: [{ type: 'text' }] }] }), 400, 'invalid_type', 'messages[0].content[0].text'],
  [() => chat({ messages: [{ role: 'user', content: ['Hello'] }] }), 400, 'invalid_type', 'messages[0].content[0]'],
  [() => chat({ messages: [...USER, { role: 'assistant', content: 'Hi' }] }), 400, 'invalid_value', 'messages'],
  [() => chat({ messages: Array(5000).fill(USER[0]) }), 400, 'array_above_max_length', 'messages'],
  // Prompts.
  [() => text({ prompt: '' }), 400, 'invalid_value', 'prompt'],
  [() => text({ prompt: ['Once', ''] }), 400, 'invalid_value', 'prompt'],
  [() => text({ prompt: [] }), 400, 'empty_array', 'prompt'],
  [() => text({ prompt: [1, 2, 3] }), 400, 'unsupported_value', 'prompt'],
  [() => text({ prompt: [[1, 2], [3]] }), 400, 'unsupported_value', 'prompt'],
  [() => text({ prompt: ['a', null] }), 400, 'invalid_type', 'prompt[1]'],
  [() => text({ prompt: Array(17).fill('a') }), 400, 'array_above_max_length', 'prompt'],
  [() => text({ prompt: Array(16).fill('a'), n: 2 }), 400, 'integer_above_max_value', 'n'],
  // Numbers.
  [() => chat({ max_tokens: 0 }), 400, 'integer_below_min_value', 'max_tokens'],
  [() => chat({ max_tokens: -2 }), 400, 'integer_below_min_value', 'max_tokens'],
  [() => chat({ max_tokens: 2.5 }), 400, 'invalid_type', 'max_tokens'],
  [() => chat({ max_tokens: '4' }), 400, 'invalid_type', 'max_tokens'],
  [() => chat({ max_tokens: 1e300 }), 400, 'integer_above_max_value', 'max_tokens'],
  [() => chat({ max_tokens: 513 }), 400, 'invalid_value', 'max_tokens'],
  [() => chat({ max_tokens: undefined, max_completion_tokens: 513 }), 400, 'invalid_value', 'max_completion_tokens'],
  [() => chat({ max_completion_tokens: 3 }), 400, 'invalid_parameter_combination', 'max_tokens'],
  [() => post('/generate', { text: 'a', max_length: -1 }), 400, 'integer_below_min_value', 'max_length'],
  [() => post('/generate', { text: 'a', max_length: 1e9 }), 400, 'invalid_value', 'max_length'],
  [() => raw(VALID.replace('}]', '}],"temperature":1e999'), {}), 400, 'decimal_above_max_value', 'temperature'],
  [() => raw(VALID.replace('}]', '}],"temperature":-1e999'), {}), 400, 'decimal_below_min_value', 'temperature'],
  [() => raw(VALID.replace('}]', '}],"seed":1e999'), {}), 400, 'integer_above_max_value', 'seed'],
  [() => chat({ temperature: -0.1 }), 400, 'decimal_below_min_value', 'temperature'],
  [() => chat({ temperature: 2.1 }), 400, 'decimal_above_max_value', 'temperature'],
  [() => chat({ temperature: 'NaN' }), 400, 'invalid_type', 'temperature'],
  [() => chat({ top_p: 1.1 }), 400, 'decimal_above_max_value', 'top_p'],
  [() => chat({ top_k: -1 }), 400, 'integer_below_min_value', 'top_k'],
  [() => chat({ frequency_penalty: 2.5 }), 400, 'decimal_above_max_value', 'frequency_penalty'],
  [() => chat({ presence_penalty: -2.5 }), 400, 'decimal_below_min_value', 'presence_penalty'],
  [() => chat({ repetition_penalty: 0 }), 400, 'decimal_below_min_value', 'repetition_penalty'],
  [() => chat({ n: 0 }), 400, 'integer_below_min_value', 'n'],
  [() => chat({ n: 17 }), 400, 'integer_above_max_value', 'n'],
  [() => chat({ seed: -2 }), 400, 'integer_below_min_value', 'seed'],
  [() => chat({ seed: 2 ** 60 }), 400, 'integer_above_max_value', 'seed'],
  // The rest.
  [() => chat({ stop: Array(17).fill('a') }), 400, 'array_above_max_length', 'stop'],
  [() => chat({ stop: ['a', ''] }), 400, 'invalid_value', 'stop'],
  [() => chat({ stop: ['a', 'b'.repeat(1_001)] }), 400, 'string_above_max_length', 'stop'],
  [() => chat({ stop: ['a', 3] }), 400, 'invalid_type', 'stop[1]'],
  [() => chat({ logit_bias: { a: 1 } }), 400, 'invalid_value', 'logit_bias'],
  [() => chat({ logit_bias: { 3: 101 } }), 400, 'decimal_above_max_value', 'logit_bias.3'],
  [() => chat({ logit_bias: [] }), 400, 'invalid_type', 'logit_bias'],
  [() => chat({ logit_bias: { 99999: 1 } }), 400, 'invalid_value', 'logit_bias'],
  [() => chat({ logprobs: 3 }), 400, 'invalid_type', 'logprobs'],
  [() => chat({ top_logprobs: 3 }), 400, 'invalid_parameter_combination', 'top_logprobs'],
  [() => chat({ logprobs: true, top_logprobs: 21 }), 400, 'integer_above_max_value', 'top_logprobs'],
  [() => text({ logprobs: 6 }), 400, 'integer_above_max_value', 'logprobs'],
  [() => chat({ stream: 'yes' }), 400, 'invalid_type', 'stream'],
  [() => chat({ stream_options: { usage: true } }), 400, 'unknown_parameter', 'stream_options.usage'],
  [() => chat({ stream: true, stream_options: { usage: true } }), 400, 'unknown_parameter', 'stream_options.usage'],
  [() => chat({ tools: [{ type: 'function', function: { name: 'f' } }] }), 400, 'unsupported_value', 'tools'],
  [() => chat({ tool_choice: 'required' }), 400, 'unsupported_value', 'tool_choice'],
  [() => chat({ functions: [{ name: 'f' }] }), 400, 'unsupported_value', 'functions'],
  [() => chat({ response_format: { type: 'json_schema', json_schema: {} } }), 400, 'unsupported_value', 'response_format'],
  [() => chat({ response_format: { type: 'json_object' } }), 400, 'unsupported_value', 'response_format'],
  [() => chat({ modalities: ['text', 'audio'] }), 400, 'unsupported_value', 'modalities'],
  [() => chat({ audio: { voice: 'alloy' } }), 400, 'unsupported_value', 'audio'],
  [() => chat({ reasoning_effort: 'high' }), 400, 'unsupported_value', 'reasoning_effort'],
  [() => chat({ web_search_options: {} }), 400, 'unsupported_value', 'web_search_options'],
  [() => text({ best_of: 3 }), 400, 'unsupported_value', 'best_of'],
  [() => text({ echo: true }), 400, 'unsupported_value', 'echo'],
  [() => text({ suffix: 'end' }), 400, 'unsupported_value', 'suffix'],
  [() => chat({ metadata: { a: { b: 1 } } }), 400, 'invalid_type', 'metadata.a'],
];

for (const [request, status, code, param] of REFUSED) {
  test(`${status} ${code}${param ? ` of ${param}` : ''}: ${request.toString().replace(/^\(\) => /, '').slice(0, 100)}`, async () => {
    const response = await handler(request());
    const { error } = await response.json();
    assert.deepEqual([response.status, error.code, error.param], [status, code, param]);
    assert.deepEqual(Object.keys(error), ['message', 'type', 'param', 'code']);
    assert.equal(error.type, 'invalid_request_error');
    assert(error.message.length > 10 && error.message.length < 400, error.message);
    assert.equal(response.headers.get('allow') !== null, status === 405);
  });
}

test('no refused request reaches the engine', async () => {
  const { model, state } = fakeModel();
  const handler = createHandler({ models: { story: model } });
  for (const [request, status] of REFUSED) {
    // Faults that only the engine can see reach it, and nothing is computed for them.
    if (status < 500) await (await handler(request())).text();
  }
  assert.equal(state.log.length, 0);
});

test('parameters that ask for nothing are accepted: ignored ones, neutral values, null', async () => {
  const neutral = {
    user: 'ada', metadata: { run: '1' }, store: true, service_tier: 'auto', prompt_cache_key: 'a', safety_identifier: 'b', parallel_tool_calls: true, prediction: { type: 'content', content: 'x' },
    tools: [], tool_choice: 'none', functions: [], function_call: 'auto', response_format: { type: 'text' }, modalities: ['text'], reasoning_effort: 'none', verbosity: 'medium',
    temperature: null, stop: null, logit_bias: null, logprobs: false, stream: false, n: 1, audio: null,
  };
  const plain = await (await handler(chat({ seed: 3 }))).json();
  const full = await handler(chat({ seed: 3, ...neutral }));
  assert.equal(full.status, 200);
  assert.deepEqual((await full.json()).choices, plain.choices);
  assert.equal((await handler(chat({ stop: 'b'.repeat(1_000) }))).status, 200);
  const streamed = await handler(chat({ stream: true, stream_options: { include_usage: null } }));
  assert.equal(streamed.status, 200);
  assert(!(await streamed.text()).includes('usage'));
  assert.equal((await handler(text({ best_of: 1, echo: false, suffix: '', user: 'ada' }))).status, 200);
});

/** The engine's arguments for this chat. */
async function told(more, info = {}) {
  const { model, state, rendered } = fakeModel();
  const known = model.info();
  model.info = () => ({ ...known, ...info });
  const response = await createHandler({ models: { story: model } })(chat(more));
  assert.equal(response.status, 200, await response.clone().text());
  return { ...state.log.find(({ what }) => what === 'start'), rendered };
}

test('an assistant message without content, or with a refusal, is accepted as clients send it back', async () => {
  const said = async (answer) => (await told({ messages: [...USER, { role: 'assistant', ...answer }, { role: 'user', content: 'Go on' }] })).prompt;
  for (const nothing of [{ content: null }, {}, { content: '' }, { content: null, refusal: null, tool_calls: [], annotations: [] }]) {
    assert.equal(await said(nothing), '<user> Hello <assistant>  <user> Go on <assistant> ', JSON.stringify(nothing));
  }
  for (const refused of [{ content: null, refusal: 'No.' }, { content: [{ type: 'refusal', refusal: 'No.' }] }]) {
    assert.equal(await said(refused), '<user> Hello <assistant> No. <user> Go on <assistant> ', JSON.stringify(refused));
  }
});

test('a name and a reasoning reach the template under their own names', async () => {
  const messages = [{ role: 'user', content: 'Hello', name: 'Ada' }, { role: 'assistant', content: 'Hi', reasoning_content: 'She greets.' }, ...USER];
  const messageFields = ['role', 'content', 'name', 'reasoning_content'];
  assert.deepEqual((await told({ messages }, { messageFields })).messages, messages);
  // A template that reads neither gets neither.
  assert.deepEqual((await told({ messages })).messages, messages.map(({ role, content }) => ({ role, content })));
});

test('no error contains "undefined", whatever is missing', async () => {
  for (const messages of [[{}], [{ role: 'user' }], [{ content: 'Hello' }], [{ role: 'user', content: [{ type: 'text' }] }], [{ role: 'user', content: [{}] }]]) {
    const { error } = await (await handler(chat({ messages }))).json();
    assert.doesNotMatch(error.message, /undefined/);
  }
});

test('other conventions are accepted: -1 for no limit and a random seed, an empty stop, the limit under both names', async () => {
  const options = async (more) => (await told(more)).options;
  assert.deepEqual(await options({ max_tokens: undefined }), { maxTokens: 512 }); // the context
  assert.deepEqual(await options({ max_tokens: -1 }), { maxTokens: 512 });
  assert.deepEqual(await options({ max_tokens: undefined, max_completion_tokens: -1 }), { maxTokens: 512 });
  assert.deepEqual(await options({ max_tokens: 3, max_completion_tokens: 3 }), { maxTokens: 3 });
  assert.deepEqual(await options({ seed: -1, stop: '', stream_options: { include_usage: true } }), { maxTokens: 2 });
  assert.deepEqual(await options({ stop: [] }), { maxTokens: 2 });
});

test('a path may begin with two slashes, as from a base URL that ends with a slash', async () => {
  for (const path of ['//v1/models', '///v1/models', '//health']) assert.equal((await handler(get(path))).status, 200, path);
  assert.equal((await handler(post('//v1/chat/completions', { model: 'story', messages: USER, max_tokens: 2 }))).status, 200);
});

test('the error about an unknown model lists the known ones', async () => {
  const { error } = await (await handler(chat({ model: 'gpt-4' }))).json();
  assert.equal(error.message, 'The model `gpt-4` does not exist or you do not have access to it. Models here: `story`.');
});

test('if a name occurs twice, the last value counts', async () => {
  const response = await handler(raw(VALID.replace('"max_tokens":2', '"max_tokens":2,"max_tokens":5'), {}));
  assert.equal((await response.json()).usage.completion_tokens, 5);
});

test('every parameter is honoured, ignored or refused', () => {
  for (const [route, parameters] of Object.entries(PARAMETERS)) {
    for (const [name, { use, rule, option }] of Object.entries(parameters)) {
      assert(['honoured', 'ignored', 'refused'].includes(use), `${route} ${name}`);
      assert.equal(typeof rule, 'function');
      assert(!option || use === 'honoured', `${route} ${name}`);
    }
  }
});
