// `fireside serve`: OpenAI's API with a model, on this machine and for it. The manual is docs/openai.md.

import { readFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createHandler } from '../integrations/openai.js';
import { FiresideError } from '../shared/errors.js';
import { isLoopback, originOf } from './guard.js';
import { listen } from './http.js';
import { Model } from './index.js';
import { refusals } from './refusals.js';

export const USAGE = `usage: fireside serve --model DIR [--model DIR]... [options]

  --model DIR           a folder in Hugging Face layout, a GGUF file, or hf:owner/name; its id is the name
  --port N              the port [default: 8377]; 0 takes any free one
  --host ADDRESS        the address to listen on [default: 127.0.0.1, only this machine]
  --threads N           the number of threads [default: as many as are fastest]
  --dtype TYPE          the storage format: f32, f16, bf16, q8 or q4 [default: that of the file, if it fits]
  --queue N             how many requests may wait [default: 32]
  --concurrency N       how many requests are answered at the same time [default: 1]
  --kv-dtype TYPE       the storage format of the KV cache: f32, f16 or q8
  --hub URL             the hub from which hf: models are downloaded
  --max-tokens N        the most tokens of a chat answer if the request sets no limit [default: what is left of the context]
  --allow-origin URL    allows requests from pages of this origin, for example https://app.example or chrome-extension://ID (can be repeated)
  --allow-host NAME     accepts this name in Host, for example from a proxy (can be repeated)
  --api-key KEY         requires "Authorization: Bearer KEY" (can be repeated); the environment variable FIRESIDE_API_KEY hides the key
  --public-prompt FILE  a system message that is not secret, computed once for all clients (can be repeated)`;

/** How long requests under way may take to end when the server is stopped. */
const GRACE_MS = 5_000;

/** @satisfies {import('node:util').ParseArgsConfig['options']} */
const OPTIONS = {
  model: { type: 'string', multiple: true, default: /** @type {string[]} */ ([]) },
  port: { type: 'string', default: '8377' },
  host: { type: 'string', default: '127.0.0.1' },
  threads: { type: 'string', default: 'auto' },
  dtype: { type: 'string', default: 'auto' },
  'kv-dtype': { type: 'string' },
  hub: { type: 'string' },
  'max-tokens': { type: 'string' },
  queue: { type: 'string', default: '32' },
  concurrency: { type: 'string', default: '1' },
  'allow-origin': { type: 'string', multiple: true, default: /** @type {string[]} */ ([]) },
  'allow-host': { type: 'string', multiple: true, default: /** @type {string[]} */ ([]) },
  'api-key': { type: 'string', multiple: true },
  'public-prompt': { type: 'string', multiple: true, default: /** @type {string[]} */ ([]) },
  help: { type: 'boolean', default: false },
};

/** An error that the user can correct. It is printed as one line, without a stack. */
class Trouble extends Error {
  /** @param {string} message @param {number} [status] the exit status: 2 for wrong arguments */
  constructor(message, status = 2) {
    super(message);
    this.status = status;
  }
}

/** @param {string} name @param {string} value @param {number} min @param {number} max */
function whole(name, value, min, max) {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < min || number > max) throw new Trouble(`--${name} must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`);
  return number;
}

/** @param {string[]} args */
function read(args) {
  let values;
  try {
    values = parseArgs({ args, options: OPTIONS }).values;
  } catch (error) {
    throw new Trouble(`${/** @type {Error} */ (error).message}\n\n${USAGE}`);
  }
  const { model, host, dtype, help } = values;
  if (help) return { help };
  if (model.length === 0) throw new Trouble(`--model is missing\n\n${USAGE}`);
  for (const origin of values['allow-origin']) {
    if (origin === 'null') throw new Trouble('--allow-origin null would let every website in, since any can make a page without an origin. Serve the page from an address, and allow that');
    if (!originOf(origin)) throw new Trouble(`--allow-origin must be a scheme, a host and a port where there is one, as in https://app.example, not ${JSON.stringify(origin)}`);
  }
  if (!/^[\w.:%-]+$/.test(host)) throw new Trouble(`--host must be an address or a name of this machine, not ${JSON.stringify(host)}`);
  for (const name of values['allow-host']) {
    // As a Host has it; an address of IPv6 stands in brackets there.
    const found = name.match(/^(?:\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i);
    if (!found || Number(found[1] ?? 0) > 65_535) throw new Trouble(`--allow-host must be a name, and a port where there is one, as in app.example or app.example:8443, not ${JSON.stringify(name)}`);
  }
  const apiKeys = values['api-key'] ?? [process.env.FIRESIDE_API_KEY ?? []].flat();
  if (apiKeys.includes('')) throw new Trouble('the API key must not be empty');
  return {
    models: named(model),
    load: { dtype, kvDtype: values['kv-dtype'], hub: values.hub, threads: values.threads === 'auto' ? /** @type {const} */ ('auto') : whole('threads', values.threads, 1, 32) },
    limits: { queueMax: whole('queue', values.queue, 0, 100_000), concurrency: whole('concurrency', values.concurrency, 1, 64), publicPrompts: values['public-prompt'].map(text), maxTokens: values['max-tokens'] === undefined ? undefined : whole('max-tokens', values['max-tokens'], 1, 2 ** 31 - 1) },
    listening: { port: whole('port', values.port, 0, 65_535), host, allowOrigins: values['allow-origin'], allowHosts: values['allow-host'], apiKey: apiKeys },
  };
}

/** A public prompt, without the line end after its last line, which editors add. @param {string} file */
function text(file) {
  let content;
  try {
    content = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new Trouble(`--public-prompt: ${/** @type {Error} */ (error).message}`);
  }
  if (!content) throw new Trouble(`--public-prompt: ${file} is empty`);
  return content;
}

/** @param {string[]} sources @returns {Map<string, string>} */
function named(sources) {
  const models = new Map();
  for (const source of sources) {
    const id = /^hf:([^@]+)/.exec(source)?.[1] ?? basename(resolve(source)).replace(/\.gguf$/i, '');
    if (models.has(id)) throw new Trouble(`two models would be called ${id}: rename a folder`);
    models.set(id, source);
  }
  return models;
}

/**
 * Runs until it is told to stop. Resolves with the exit status.
 * @param {string[]} args those after `serve`
 * @returns {Promise<number>}
 */
export async function serve(args) {
  try {
    const { help, models = new Map(), load, limits, listening } = read(args);
    if (help || !listening) return console.log(USAGE), 0;
    return await run(models, load, limits, listening);
  } catch (error) {
    if (!(error instanceof Trouble) && !(error instanceof FiresideError)) throw error;
    console.error(error.message);
    return error instanceof Trouble ? error.status : 1;
  }
}

/**
 * @param {Map<string, string>} sources
 * @param {any} load
 * @param {object} limits
 * @param {Parameters<typeof listen>[1]} listening
 */
async function run(sources, load, limits, listening) {
  /** @type {Record<string, Model>} */
  const models = Object.create(null);
  try {
    for (const [id, source] of sources) {
      models[id] = await Model.load(source, load);
      await warm(models[id]);
    }
    const server = await listen(createHandler({ models, ...limits }), { ...listening, refused: refusals((line) => console.error(line)) }).catch((error) => {
      throw explained(error, listening);
    });
    const stopped = stopSignal();
    for (const [id, model] of Object.entries(models)) {
      const { dtype, threads, context } = model.info();
      console.log(`${id}: ${dtype}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, ${context} tokens of context`);
    }
    console.log(`${server.url}/v1  (Ctrl-C ends it)`);
    if (!isLoopback(listening.host) && !listening.apiKey?.length) console.error(`${listening.host} is reached from other machines, and there is no --api-key: every client that reaches it may use it.`);
    await stopped;
    await server.close({ graceMs: GRACE_MS });
    return 0;
  } finally {
    for (const model of Object.values(models)) model.dispose();
  }
}

/**
 * V8 compiles each function of the engine at its first call. It should not do so while a client waits,
 * because a client that leaves could not be noticed.
 * @param {Model} model
 */
async function warm(model) {
  const session = model.session();
  await session.chat([{ role: 'user', content: 'Hello!' }], { maxTokens: 2 }).catch(() => {}); // a model without chats
  session.dispose();
}

/** Resolves at the first SIGINT or SIGTERM; a second one ends the program as it is. */
function stopSignal() {
  return new Promise((resolve) => {
    for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
      process.once(signal, () => {
        setImmediate(() => process.once(signal, () => process.exit(1))); // not at once: Deno would call it for this same signal
        resolve(signal);
      });
    }
  });
}

/** @param {NodeJS.ErrnoException} error @param {{ host: string, port: number }} listening */
function explained(error, { host, port }) {
  switch (error.code) {
    case 'EADDRINUSE':
      return new Trouble(`port ${port} is in use: choose another by --port, or any free one by --port 0`, 1);
    case 'EACCES':
      return new Trouble(`port ${port} is not for ordinary users: choose one from 1024 on by --port`, 1);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new Trouble(`${host} is not an address of this machine: see --host`, 1);
    default:
      return error;
  }
}
