// `fireside-lm/openai`: OpenAI's API as one function from a Request to a Response. It needs neither a server
// nor a page and runs wherever fetch exists, in a service worker as in Node. The manual is docs/openai.md.
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
 * @property {Record<string, Model> | Model} models by id; a single model has the id `fireside`
 * @property {number} [concurrency] how many requests are answered at the same time; default: 1, because one
 *   keeps every core busy
 * @property {number} [queueMax] how many requests may wait; default: 32. The next one is refused with 429
 * @property {number} [sessionsMax] how many sessions of each model are kept for requests that continue an
 *   earlier one; default: 8
 * @property {number} [kvBytesMax] the memory of their KV caches, for each model, in bytes; default: 512 MiB.
 *   The latest session is kept in any case
 * @property {number} [bodyBytesMax] of a request's body, in bytes; default: 1 MiB
 * @property {number} [maxTokens] tokens of an answer to a chat that sets no limit; default: the rest of the
 *   context
 * @property {number} [bufferBytesMax] of an answer that is computed and not yet read, before its run waits;
 *   default: 64 KiB
 * @property {number} [stallMs] how long a client may read nothing of its answer before it is disconnected;
 *   default: 30,000
 * @property {string} [base] a folder that also has the routes, without the last slash: `/some/where` for
 *   `/some/where/v1/models`
 * @property {number} [healthMs] how long an engine may take to answer `/health` before it counts as stuck;
 *   default: 5,000
 * @property {readonly string[]} [publicPrompts] system messages and beginnings of texts that are not secret:
 *   each is computed once for all clients, and any client may find out that it is in use. All other prompts
 *   are reused for their owner only
 * @property {number} [promptCharsMax] of a prompt, or of all messages of a chat, in UTF-16 units; default:
 *   32 for each token of the model's context. Counting the tokens of a longer prompt would block the engine
 *   for all clients
 */

/**
 * @typedef {object} Closing
 * @property {(options?: { graceMs?: number }) => Promise<void>} close refuses new requests with 503 and
 *   gives those under way `graceMs` to end (default: 0). It aborts the others, waits a second for the engine
 *   to notice, and frees every session. The models stay
 * @property {(owner: unknown) => void} forget frees the sessions of an owner (of a context) that will not
 *   return
 */

/**
 * What a server knows of a request.
 * @typedef {object} Context
 * @property {unknown} [owner] the client: the id of a checked key, the connection (its socket), or a page.
 *   Compared by identity. Cached prompts are reused for their owner only; without an
 *   owner, nothing is reused
 * @property {(promise: Promise<unknown>) => void} [waitUntil] receives the promises that outlive the
 *   Response; a browser stops a service worker that has none
 * @property {boolean} [isDeaf] whether the request's signal does not abort when its client goes
 */

/**
 * Takes a Request, and a context if a server asks on behalf of a client. Also takes the arguments of
 * `fetch`, a URL and its options, so that it can be the `fetch` of a client in the same program; then, and
 * without a context, that program is the owner. One signature serves both, because TypeScript does not
 * assign overloads to the type of `fetch`, which clients require.
 * @typedef {((input: Request | string | URL, more?: Context | RequestInit) => Promise<Response>) & Closing}
 *   Handler
 */

/** @typedef {{ id: string, model: Model, sessions: Sessions }} Served */

/** How long the engine may take, on closing, to notice an abort. One that takes longer is stuck. */
const ABORT_MS = 1_000;

/** The simple route generates a completion. */
const SHAPES = { chat, completion, generate: completion };

/** The route of one model, as errors name it. */
const MODEL = '/v1/models/:id';

/** Where a prompt is found in each route, as errors name it. */
const INPUT = { chat: 'messages', completion: 'prompt', generate: 'text' };

/** @typedef {Parameters<typeof perform>[3]} OnPiece */
/**
 * @typedef {(request: Request, context: Context | undefined, id: string) => Response | Promise<Response>}
 *   Answer
 */

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

  /**
   * Answers by the route of the request's path. A slash at the end of a path does not count.
   * @param {Request} request
   * @param {Context | undefined} context
   */
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
      // Passed even if it is empty, because a reused session has those of the request before.
      if (info.chatTemplateKwargs?.length) options.chatTemplateKwargs = kwargs;
    }
    checkLength(asked, contextWindow);
    checkChars(asked, promptCharsMax ?? CHARS_PER_TOKEN * contextWindow);
    const closing = new AbortController();
    underWay.add(closing);
    const signal = AbortSignal.any([request.signal, closing.signal]);
    // If the request sets no limit, the context is the limit, as in OpenAI's API.
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

  /** Asks every engine, and each has to answer. */
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

/**
 * Checks by methods: an attached model, or that of a test, will do.
 * @param {any} value
 * @returns {value is Model}
 */
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

/**
 * @param {Model} model
 * @param {number} patienceMs
 * @returns {Promise<{ status: 'ok' | 'crashed' | 'stuck', message?: string }>}
 */
async function state(model, patienceMs) {
  try {
    const answer = await within(model.stats(), patienceMs, 'stuck');
    return answer === 'stuck' ? { status: 'stuck', message: `the engine has not answered for ${patienceMs} ms` } : { status: 'ok' };
  } catch (error) {
    return { status: 'crashed', message: error instanceof Error ? error.message : String(error) };
  }
}
