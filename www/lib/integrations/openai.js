// `fireside-lm/openai`: the door that speaks as OpenAI's API does. One function from a Request to a Response, which needs neither a server nor a page: it runs wherever
// there is fetch, in a service worker and in Node alike. docs/openai.md is its manual.
//
//     const handler = createHandler({ models: { story: await Model.load('models/story/') } });
//     const response = await handler(new Request('http://localhost/v1/models'));

import { badOption } from '../shared/errors.js';
import { chat, completion, newId, now } from './openai/answers.js';
import { readBody } from './openai/body.js';
import { ApiError, fromEngine, invalid, noModel, unavailable } from './openai/errors.js';
import { CHARS_PER_TOKEN, settle } from './openai/limits.js';
import { Wholes } from './openai/outlet.js';
import { ownerOf } from './openai/owners.js';
import { readParameters } from './openai/parameters.js';
import { Queue } from './openai/queue.js';
import { perform } from './openai/runs.js';
import { Sessions } from './openai/sessions.js';
import { early, streamed, whole } from './openai/stream.js';
import { readable, templateKwargs } from './openai/template.js';
import { until, within } from './wait.js';

/** @import { Model } from '../client/model.js' */
/** @import { Asked } from './openai/parameters.js' */
/** @import { Input } from './openai/sessions.js' */
/** @import { RunResult } from '../shared/types.d.ts' */

/**
 * @typedef {object} HandlerOptions
 * @property {Record<string, Model> | Model} models by the ids under which they are asked for; one alone is `fireside`
 * @property {number} [concurrency] requests answered at the same time: 1 unless said otherwise, since one keeps every core busy
 * @property {number} [queueMax] requests that wait for their turn: 32 unless said otherwise; the next one is refused with 429
 * @property {number} [sessionsMax] sessions kept of each model, for requests that go on where another ended: 8 unless said otherwise
 * @property {number} [kvBytesMax] what their caches may take, of each model; in bytes, 512 MiB unless said otherwise. The session used last is kept whatever it takes
 * @property {number} [bodyBytesMax] of a request's body, in bytes: 1 MiB unless said otherwise
 * @property {number} [maxTokens] tokens of an answer to a chat that asks for no number: what is left of the context unless said otherwise
 * @property {number} [bufferBytesMax] of an answer, computed and not yet read, before its run waits: 64 KiB unless said otherwise
 * @property {number} [stallMs] a client that reads nothing of its answer for so long is cut: 30,000 unless said otherwise
 * @property {string} [base] the folder in which the routes may stand as well, without the slash at its end: `/some/where` for `/some/where/v1/models`
 * @property {number} [healthMs] an engine that does not answer for so long is taken to be stuck: 5,000 unless said otherwise
 * @property {readonly string[]} [publicPrompts] system messages, and beginnings of texts, that are no secret: each is computed once for all who ask, and anyone may find out that it is
 *   in use. What else was computed for one owner is reused for that owner alone
 * @property {number} [promptCharsMax] of a prompt, or of a chat's messages together, in UTF-16 units: 32 for each token of the model's context unless said otherwise. To
 *   find out the number of tokens keeps the engine from everybody else
 */

/**
 * @typedef {object} Closing
 * @property {(options?: { graceMs?: number }) => Promise<void>} close refuses new requests with 503, gives those under way so long to end (0 unless said otherwise), aborts
 *   the others, waits a second for an engine that does not notice, and frees every session. The models stay
 * @property {(owner: unknown) => void} forget frees the sessions of an owner (a context's) who will not come back
 */

/**
 * What a server knows of a request.
 * @typedef {object} Context
 * @property {unknown} [owner] who asks, as the server knows it and no client can choose it: the id of a key that was checked, the connection (its socket), a page. Compared by
 *   identity. What was computed for one owner is reused for that owner alone; without an owner nothing is
 * @property {(promise: Promise<unknown>) => void} [waitUntil] given what has to be waited for beyond the Response: a service worker is stopped when nothing says that it works
 * @property {boolean} [isDeaf] the request's signal does not tell when its client goes
 */

/**
 * Takes a Request, and a context where a server asks for somebody else. Also takes what `fetch` takes, an
 * address and its options, so that it is the `fetch` of a client in the same program: then, and where there is
 * no context, that program is the owner. One signature for both: TypeScript does not assign overloads to the
 * type of `fetch`, which is what clients ask for.
 * @typedef {((input: Request | string | URL, more?: Context | RequestInit) => Promise<Response>) & Closing} Handler
 */

/** @typedef {{ id: string, model: Model, sessions: Sessions }} Served */

/** What an engine may take to notice that a run is aborted, on closing; one that takes longer is stuck and waited for no more. */
const ABORT_MS = 1_000;

/** A text that the simple route asks for is a completion. */
const SHAPES = { chat, completion, generate: completion };

/** The route of one model, as errors name it. */
const MODEL = '/v1/models/:id';

/** Where a prompt is found in each route, as errors name it. */
const INPUT = { chat: 'messages', completion: 'prompt', generate: 'text' };

/** @typedef {Parameters<typeof perform>[3]} OnPiece */
/** @typedef {(request: Request, context: Context | undefined, id: string) => Response | Promise<Response>} Answer */

/**
 * Makes the handler. It never rejects: what goes wrong is a Response.
 * @param {HandlerOptions} options
 * @returns {Handler}
 */
export function createHandler({ models, base = '', ...limits }) {
  const { concurrency, queueMax, sessionsMax, kvBytesMax, bodyBytesMax, healthMs, promptCharsMax, publicPrompts, bufferBytesMax, stallMs, maxTokens = Infinity } = settle(limits);
  const wholes = new Wholes();
  const queue = new Queue({ concurrency, queueMax });
  const created = now();
  /** @type {[string, Model][]} */
  const entries = isModel(models) ? [['fireside', models]] : Object.entries(models ?? {});
  if (entries.length === 0 || !entries.every(([, model]) => isModel(model))) throw badOption('models', 'a Model, or one for each id', models);
  /** @type {Map<string, Served>} */
  const served = new Map(
    entries.map(([id, model]) => [id, { id, model, sessions: new Sessions(model, { sessionsMax: Math.max(sessionsMax, concurrency), kvBytesMax, publicPrompts }) }]),
  );
  const [[, first]] = served;
  /** What is under way, to be aborted on closing. @type {Set<AbortController>} */
  const underWay = new Set();

  /** Methods and answers, by path. Six routes need no router: a map is smaller and tells as much. */
  const routes = new Map(/** @type {[path: string, [method: 'GET' | 'POST', answer: Answer]][]} */ ([
    ['/v1/models', ['GET', () => Response.json({ object: 'list', data: [...served.values()].map(described) })]],
    [MODEL, ['GET', (_request, _context, id) => Response.json(described(find(id)))]],
    ['/v1/chat/completions', ['POST', (request, context) => generate('chat', request, context)]],
    ['/v1/completions', ['POST', (request, context) => generate('completion', request, context)]],
    ['/generate', ['POST', (request, context) => generate('generate', request, context)]],
    ['/health', ['GET', health]],
  ]));

  /** Answers by the route of the request's path. A slash at the end of a path does not count. @param {Request} request @param {Context | undefined} context */
  async function answerByRoute(request, context) {
    const { method } = request;
    const { pathname } = new URL(request.url);
    // A base URL with a slash at its end, and a path with one at its beginning.
    const path = pathname.replace(/^\/{2,}/, '/');
    const inner = base && path.startsWith(`${base}/`) ? path.slice(base.length) : path;
    const [, id] = /^\/v1\/models\/(.+)$/.exec(inner) ?? [];
    const name = id ? MODEL : inner.replace(/\/$/, '');
    const [allowed, answer] = routes.get(name) ?? [];
    if (!answer) throw new ApiError(404, `Invalid URL (${method} ${pathname.slice(0, 200)})`, { code: 'unknown_url' });
    if (method !== allowed && !(method === 'HEAD' && allowed === 'GET')) {
      const message = `Not allowed to ${method} on ${name}. (HINT: Perhaps you meant to use a different HTTP method?)`;
      throw new ApiError(405, message, { code: 'method_not_supported', headers: { Allow: allowed === 'GET' ? 'GET, HEAD' : 'POST' } });
    }
    return answer(request, context, id && decoded(id));
  }

  /** @param {Served} served */
  function described({ id }) {
    return { id, object: 'model', created, owned_by: 'fireside' };
  }

  /** @param {string} id */
  function find(id) {
    const found = served.get(id);
    if (!found) throw noModel(id, served.keys());
    return found;
  }

  /** @param {keyof typeof INPUT} route @param {Request} request @param {Context | undefined} context */
  async function generate(route, request, context) {
    const { waitUntil, isDeaf } = context ?? {};
    const begin = performance.now();
    const asked = readParameters(route, await readBody(request, bodyBytesMax));
    const { values, options } = asked;
    const { id, model, sessions } = route === 'generate' ? first : find(values.model);
    const info = model.info();
    const { context: contextWindow } = info;
    if (route === 'chat') {
      values.messages = readable(values.messages, info);
      const kwargs = templateKwargs(values, info);
      // Passed though it is empty: a session that is used again has those of the request before.
      if (info.chatTemplateKwargs?.length) options.chatTemplateKwargs = kwargs;
    }
    checkLength(asked, contextWindow);
    checkChars(asked, promptCharsMax ?? CHARS_PER_TOKEN * contextWindow);
    const closing = new AbortController();
    underWay.add(closing);
    const signal = AbortSignal.any([request.signal, closing.signal]);
    // Without a limit of the request an answer may be as long as the context allows, as the original has it.
    if (route !== 'generate') options.maxTokens ??= asked.isUnlimited ? contextWindow : Math.min(maxTokens, contextWindow);
    const job = { sessions, owner: ownerOf(request, values, context), inputs: inputs(asked), options };
    const describe = (/** @type {unknown} */ error) => (closing.signal.aborted ? unavailable('The server is shutting down.', 'shutting_down') : fromEngine(error, INPUT[route]));
    const run = (/** @type {AbortSignal} */ signal, /** @type {OnPiece} */ onPiece = undefined) => {
      const running = perform(queue, job, signal, onPiece).finally(() => underWay.delete(closing));
      waitUntil?.(running.catch(() => {}));
      return running;
    };
    const head = { id: newId(SHAPES[route].prefix), created: now(), model: id, fingerprint: fingerprint(model) };
    const way = { signal, limits: { bufferBytesMax, stallMs }, wholes, waitUntil };
    const answer = (/** @type {RunResult[]} */ results) =>
      route === 'generate'
        ? { generated_text: results[0].text, latency_ms: Math.round((performance.now() - begin) * 10) / 10 }
        : SHAPES[route].whole(head, results);
    try {
      if (values.stream) {
        const hasUsage = values.stream_options?.include_usage ?? false;
        return await streamed({ head, shape: SHAPES[route], n: options.n ?? 1, hasUsage, describe, run }, way);
      }
      return isDeaf ? await early(run, answer, way) : whole(answer(await run(signal)), way);
    } catch (error) {
      throw describe(error);
    }
  }

  /** Tells the truth: every engine is asked, and has to answer. */
  async function health() {
    const states = await Promise.all([...served.values()].map(async ({ id, model }) => ({ id, ...(await state(model, healthMs)) })));
    const isWell = states.every(({ status }) => status === 'ok');
    const body = { status: isWell ? 'ok' : 'error', model: first.id, models: states, running: queue.running, queue: { length: queue.waiting, max: queueMax } };
    return Response.json(body, { status: isWell ? 200 : 503 });
  }

  /** @param {Request | string | URL} input @param {Context | RequestInit} [more] */
  async function handle(input, more) {
    const isFetch = typeof input === 'string' || input instanceof URL;
    const request = isFetch ? new Request(input, /** @type {RequestInit} */ (more)) : input;
    const context = isFetch ? undefined : /** @type {Context | undefined} */ (more);
    const answer = await answerByRoute(request, context).catch((error) => (error instanceof ApiError ? error : fromEngine(error, 'body')).toResponse());
    const response = request.method === 'HEAD' ? new Response(null, answer) : answer;
    // As fetch does.
    if (isFetch) request.signal.throwIfAborted();
    response.headers.set('X-Content-Type-Options', 'nosniff');
    response.headers.set('Cache-Control', 'no-store');
    response.headers.set('X-Request-Id', newId('req'));
    return response;
  }

  async function close({ graceMs = 0 } = {}) {
    queue.close();
    await until(() => underWay.size === 0, graceMs);
    for (const closing of underWay) closing.abort();
    await until(() => queue.running === 0, ABORT_MS);
    for (const { sessions } of served.values()) sessions.clear({ isOver: true });
  }

  /** @param {unknown} owner */
  function forget(owner) {
    for (const { sessions } of served.values()) sessions.leave(owner);
  }

  return Object.assign(handle, { close, forget });
}

/** A part of a path. One that is encoded wrongly stays as it is. @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** By what it can do: a model that was attached, or a test's, is as good. @param {any} value @returns {value is Model} */
function isModel(value) {
  return typeof value?.session === 'function' && typeof value.info === 'function';
}

/** @param {Asked} asked @returns {Input[]} */
function inputs({ route, values }) {
  if (route === 'chat') return [{ kind: 'chat', messages: values.messages }];
  const texts = route === 'completion' ? values.prompt : [values.text];
  return texts.map((/** @type {string} */ text) => ({ kind: 'text', text }));
}

/** @param {Asked} asked @param {number} context */
function checkLength({ values }, context) {
  for (const name of ['max_tokens', 'max_completion_tokens', 'max_length', 'min_tokens']) {
    if (values[name] > context) {
      throw invalid(name, 'invalid_value', `${name} is too large: ${values[name]}. This model supports at most ${context} tokens, prompt and answer together.`);
    }
  }
}

/** @param {Asked} asked @param {number} charsMax */
function checkChars(asked, charsMax) {
  for (const input of inputs(asked)) {
    const texts = input.kind === 'chat' ? input.messages.flatMap(({ content, name = '', reasoning_content: thought = '' }) => [content, name, thought]) : [input.text];
    const chars = texts.reduce((total, text) => total + text.length, 0);
    if (chars <= charsMax) continue;
    const name = INPUT[asked.route];
    throw invalid(name, 'context_length_exceeded', `Your ${name} resulted in ${chars} characters, and this model takes at most ${charsMax}. Please reduce the length of the ${name}.`);
  }
}

/** What would have to be the same for the same text to come of the same seed. @param {Model} model */
function fingerprint(model) {
  const { build, dtype, parameters, kernels } = model.info();
  let hash = 0x811c9dc5;
  for (const character of `${build} ${dtype} ${parameters} ${kernels}`) hash = Math.imul(hash ^ character.charCodeAt(0), 0x01000193);
  return `fp_${(hash >>> 0).toString(16).padStart(8, '0')}`;
}

/** @param {Model} model @param {number} patienceMs @returns {Promise<{ status: 'ok' | 'crashed' | 'stuck', message?: string }>} */
async function state(model, patienceMs) {
  try {
    const answer = await within(model.stats(), patienceMs, 'stuck');
    return answer === 'stuck' ? { status: 'stuck', message: `the engine has not answered for ${patienceMs} ms` } : { status: 'ok' };
  } catch (error) {
    return { status: 'crashed', message: error instanceof Error ? error.message : String(error) };
  }
}
