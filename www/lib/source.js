// Where a model's files come from: a folder URL, `hf:owner/name@revision`, a list of Files, or the files one by one.
// Everything becomes the same two things: small files as bytes, weight files as streams of chunks. Nothing is cached here.

import { abortError, badInput, FiresideError } from './errors.js';

/** @import { Input, ModelFiles, Source } from './types.d.ts' */

/**
 * A file about to be read. `from`: its address, where it has one. `transferable`: its chunks are ours to give away to the worker.
 * @typedef {{ file: string, from?: string, size?: number, transferable: boolean, chunks: AsyncIterable<Uint8Array> }} Opened
 */
/** @typedef {{ optional?: boolean, weights?: boolean, signal?: AbortSignal }} How optional: may be absent */
/**
 * @typedef {object} Located
 * @property {string} label how messages name the source
 * @property {boolean} indexed whether an index is known to be there
 * @property {(key: keyof typeof NAMES, signal?: AbortSignal) => Promise<Opened | undefined>} open a small file; undefined where it is absent
 * @property {(name: string, position: number, signal?: AbortSignal) => Promise<Opened | undefined>} weights a weight file by name and place
 */

export const NAMES = Object.freeze({
  config: 'config.json',
  tokenizer: 'tokenizer.json',
  tokenizerConfig: 'tokenizer_config.json',
  generationConfig: 'generation_config.json',
  chatTemplate: 'chat_template.jinja',
  index: 'model.safetensors.index.json',
});
const SLICE_BYTES = 1 << 20;
const SAFE_NAME = /^[A-Za-z0-9._-]+\.safetensors$/;

/**
 * Says where the files are, without fetching anything.
 * @param {Source} source
 * @param {string | URL} hub where `hf:` sources live
 * @returns {Located}
 */
export function locate(source, hub) {
  if (typeof source === 'string' || source instanceof URL) return folder(folderUrl(source, hub));
  if (typeof source === 'object' && source !== null) {
    if ('config' in source) return separate(/** @type {ModelFiles} */ (source));
    const files = Array.from(/** @type {ArrayLike<File>} */ (source));
    if (files.length && files.every((file) => file instanceof Blob && typeof file.name === 'string')) return separate(filesByName(files));
  }
  throw badInput('source', 'a folder URL, `hf:owner/name@revision`, a list of Files, or {config, tokenizer, weights, ...}', source);
}

/**
 * @param {string | URL} source
 * @param {string | URL} hub
 * @returns {URL} ending in a slash
 */
export function folderUrl(source, hub) {
  let text = String(source).trim();
  // The address of a model's page on the hub is not the address of its files; what is meant is plain.
  const page = /^https:\/\/huggingface\.co\/([^/\s?#]+\/[^/\s?#]+?)(?:\/tree\/([^?#\s]+?))?\/?$/.exec(text);
  if (page) text = `hf:${page[1]}${page[2] ? `@${page[2]}` : ''}`;
  if (text.startsWith('hf:')) {
    const [, name, revision = 'main'] = /^hf:([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/.exec(text) ?? [];
    if (!name || /(^|\/)\.{1,2}(\/|$)/.test(`${name}/${revision}`))
      throw badInput('source', '`hf:owner/name` or `hf:owner/name@revision`', text);
    return new URL(`${String(hub).replace(/\/$/, '')}/${name}/resolve/${encodeURIComponent(revision)}/`);
  }
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  if (!text || !URL.canParse(text, base))
    throw badInput('source', 'the URL of a folder that holds config.json, tokenizer.json and model.safetensors', text);
  const url = new URL(text, base);
  if (!['http:', 'https:', 'blob:', 'data:', 'file:'].includes(url.protocol) || url.username)
    throw badInput('source', 'an http or https URL without credentials', text);
  url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** @param {URL} base @returns {Located} */
function folder(base) {
  /** @param {string} name */
  const at = (name) => {
    const url = new URL(name, base);
    url.search = base.search;
    return url;
  };
  return {
    label: base.href,
    indexed: false,
    open: (key, signal) => openUrl(at(NAMES[key]), NAMES[key], { optional: key !== 'config' && key !== 'tokenizer', signal }),
    weights: (name, _position, signal) => openUrl(at(checkedName(name)), name, { optional: true, weights: true, signal }),
  };
}

/** @param {ModelFiles} files @returns {Located} */
function separate(files) {
  const { config, tokenizer, weights, ...others } = files;
  const unknown = Object.keys(others).find((key) => !(key in NAMES));
  if (unknown) throw badInput('source', `only ${Object.keys(NAMES).join(', ')} and weights`, unknown);
  for (const key of ['config', 'tokenizer', 'weights']) {
    if (Reflect.get(files, key) === undefined) throw badInput('source', `a value for \`${key}\``, undefined);
  }
  const all = Array.isArray(weights) ? weights : [weights];
  if (!all.length) throw badInput('source', 'at least one weight file', 'none');
  if (all.length > 1 && !files.index)
    throw badInput('source', '`index` (model.safetensors.index.json) beside several weight files', undefined);
  return {
    label: 'the files given',
    indexed: files.index !== undefined,
    async open(key, signal) {
      const input = files[key];
      if (input === undefined) return undefined;
      const text = typeof input === 'string' && key === 'chatTemplate' && new TextEncoder().encode(input);
      return openInput(text || /** @type {Input} */ (input), NAMES[key], signal);
    },
    async weights(name, position, signal) {
      checkedName(name);
      const named = all.find((input) => input instanceof Blob && 'name' in input && input.name === name);
      const input = named ?? all[position];
      return input === undefined ? undefined : openInput(input, name, signal, true);
    },
  };
}

/**
 * Picks a model out of files from a picker or a dropped folder: the topmost config.json and what lies beside it.
 * @param {File[]} files
 * @returns {ModelFiles}
 */
function filesByName(files) {
  const depth = (/** @type {File} */ file) => (file.webkitRelativePath || file.name).split('/').length;
  const sorted = [...files].sort((a, b) => depth(a) - depth(b));
  const find = (/** @type {string} */ name) => sorted.find((file) => file.name === name);
  const top = depth(find(NAMES.config) ?? sorted[0]);
  const shards = sorted.filter((file) => depth(file) === top && file.name.endsWith('.safetensors'));
  /** @type {string[]} */
  const missing = [NAMES.config, NAMES.tokenizer].filter((name) => !find(name));
  if (!shards.length) missing.push('model.safetensors');
  if (missing.length) {
    const expected = `config.json, tokenizer.json and model.safetensors (missing: ${missing.join(', ')})`;
    throw badInput('source', expected, files.map((file) => file.name).join(', '));
  }
  const whole = shards.find((file) => file.name === 'model.safetensors');
  const found = Object.entries(NAMES).map(([key, name]) => [key, whole && key === 'index' ? undefined : find(name)]);
  return { ...Object.fromEntries(found), weights: whole ?? shards };
}

/** A shard's name comes out of a stranger's index: it must not lead anywhere else. @param {string} name */
function checkedName(name) {
  if (!SAFE_NAME.test(name))
    throw new FiresideError('BAD_FILE', `${NAMES.index}: expected plain file names ending in .safetensors, got ${JSON.stringify(name)}.`, {
      file: NAMES.index,
    });
  return name;
}

/**
 * @param {Input} input
 * @param {string} file
 * @param {AbortSignal} [signal]
 * @param {boolean} [weights]
 * @returns {Promise<Opened | undefined>}
 */
async function openInput(input, file, signal, weights = false) {
  if (input instanceof URL) return openUrl(input, file, { signal, weights });
  if (input instanceof Response) return openResponse(input, file, input.url || file, { signal, weights });
  if (input instanceof Blob) return { file, size: input.size, transferable: true, chunks: readStream(input.stream(), file, signal) };
  if (input instanceof ReadableStream) return { file, transferable: false, chunks: readStream(input, file, signal) };
  if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) {
    const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return { file, size: bytes.length, transferable: false, chunks: slices(bytes) };
  }
  throw badInput(`source: ${file}`, 'a Uint8Array, ArrayBuffer, Blob, File, Response, ReadableStream or URL', input);
}

/** @param {URL} url @param {string} file @param {How} how */
async function openUrl(url, file, how) {
  const { signal } = how;
  const response = await fetch(url, { signal }).catch((cause) => {
    if (signal?.aborted) throw abortError(signal);
    const cross = globalThis.location && url.origin !== globalThis.location.origin;
    const remedy = `Check the address and the connection${cross ? ', and that the server allows other sites to read it (CORS)' : ''}.`;
    throw new FiresideError('NETWORK', `${file} could not be fetched from ${url}. ${remedy}`, { url: url.href, file }, { cause });
  });
  return openResponse(response, file, url.href, how);
}

/** @param {Response} response @param {string} file @param {string} url @param {How} how @returns {Promise<Opened | undefined>} */
async function openResponse({ status, headers, body }, file, url, { optional, weights, signal }) {
  const html = headers.get('content-type')?.startsWith('text/html');
  if (status !== 200 || !body || (html && (optional || weights))) {
    await body?.cancel();
    // Absent; single-page hosts answer every unknown path with their start page.
    if (optional && (status === 404 || (html && !weights))) return undefined;
    if (status === 200 && html) throw htmlInstead(file, url);
    throw new FiresideError('NETWORK', `${file} could not be fetched: ${url} answered HTTP ${status}. ${remedyFor(status)}`, {
      url,
      status,
      file,
    });
  }
  // With a content encoding, Content-Length counts the compressed bytes.
  const length = headers.get('content-encoding') ? NaN : Number(headers.get('content-length') ?? NaN);
  const size = Number.isSafeInteger(length) ? length : undefined;
  return { file, from: url, size, transferable: true, chunks: readStream(body, file, signal, url) };
}

/** @param {number} status */
function remedyFor(status) {
  if (status === 404) return 'Check the address: it must be a folder that holds config.json, tokenizer.json and model.safetensors.';
  if (status === 401 || status === 403) return 'The model may need an account: download its files and open them from disk.';
  return 'Try again later.';
}

/** @param {string} file @param {string} url */
export function htmlInstead(file, url) {
  return new FiresideError(
    'NOT_A_MODEL_FILE',
    `${file} is not the model file it should be: ${url} gave an HTML page. Check the address: it must be the folder of the files.`,
    { file, url },
  );
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {string} file
 * @param {AbortSignal} [signal]
 * @param {string} [url]
 */
async function* readStream(stream, file, signal, url) {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal?.addEventListener('abort', cancel, { once: true });
  let bytes = 0;
  try {
    for (;;) {
      if (signal?.aborted) throw abortError(signal);
      const { done, value } = await reader.read();
      if (signal?.aborted) throw abortError(signal);
      if (done) return;
      if (!(value instanceof Uint8Array)) throw badInput(`source: ${file}`, 'a stream of Uint8Array chunks', value);
      bytes += value.length;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof FiresideError || cause instanceof DOMException) throw cause;
    throw new FiresideError(
      'NETWORK',
      `${file} broke off after ${bytes} bytes. Check the connection and load again.`,
      { url, file, bytes },
      { cause },
    );
  } finally {
    signal?.removeEventListener('abort', cancel);
    cancel();
  }
}

/** @param {Uint8Array} bytes */
async function* slices(bytes) {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) yield bytes.subarray(start, start + SLICE_BYTES);
}

/** All of a small file. @param {Opened} opened @param {(bytes: number) => void} [onBytes] */
export async function readAll({ chunks }, onBytes) {
  const parts = [];
  let length = 0;
  for await (const chunk of chunks) {
    parts.push(chunk);
    length += chunk.length;
    onBytes?.(chunk.length);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
