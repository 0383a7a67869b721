// Where a model's files come from: a folder URL, `hf:owner/name@revision`, a list of Files, a folder on disk, or the files one by one.
// What has an address is told by it, and fetched by the engine's worker (worker/files.js); what is in the page's hands, or on Node's disk, is read here.

import { hubFolder, OF_A_MODEL } from './address.js';
import { abortError, badInput, badOption, FiresideError } from '../shared/errors.js';

/** @import { Input, ModelFiles, Platform, Source } from '../shared/types.d.ts' */
/** @import { Pin } from '../worker/download.js' */
/** @import { FileWanted } from '../worker/files.js' */

/**
 * A file in the page's hands, about to be read. `transferable`: its chunks are ours to give away to the worker.
 * @typedef {{ file: string, size?: number, transferable: boolean, chunks: AsyncIterable<Uint8Array> }} Opened
 */
/** Where a file is: its address, which `absent` says that it is known not to be at, or the thing itself. @typedef {(FileWanted & { absent?: boolean }) | { file: string, input: Input, max?: number, absent?: undefined }} Place */
/**
 * @typedef {object} Located
 * @property {string} label how messages name the source
 * @property {boolean} remote whether its files are fetched over a network: only those are worth keeping
 * @property {boolean} indexed whether an index is known to be there
 * @property {boolean} again whether it can be read more than once
 * @property {boolean} [locks] whether a lock file can tell of its files
 * @property {(list: List) => Promise<Pins | undefined>} pins what the publisher says that the files are
 * @property {(key: keyof typeof NAMES, pins?: Pins) => Place | undefined} place of a small file; undefined where it was not given
 * @property {(name: string, position: number, pins?: Pins) => Place | undefined} weights of a weight file, by name and place
 */
/** Fetches a list of files; `needed`: to lack it is an error. @typedef {(wanted: FileWanted, needed: boolean) => Promise<Uint8Array | undefined>} List */
/** `base`: where exactly these files are. @typedef {{ base?: URL, files: Map<string, Pin> }} Pins */

export const NAMES = Object.freeze({
  config: 'config.json',
  tokenizer: 'tokenizer.json',
  tokenizerConfig: 'tokenizer_config.json',
  generationConfig: 'generation_config.json',
  specialTokensMap: 'special_tokens_map.json',
  addedTokens: 'added_tokens.json',
  chatTemplate: 'chat_template.jinja',
  index: 'model.safetensors.index.json',
});
/** The most bytes that a small file may have: of the largest ones published, several times as many (docs/loading.md). @type {Record<keyof typeof NAMES, number>} */
export const BYTES_MAX = Object.freeze({
  config: 1 << 20,
  tokenizer: 128 << 20,
  tokenizerConfig: 16 << 20,
  generationConfig: 1 << 20,
  specialTokensMap: 16 << 20,
  addedTokens: 16 << 20,
  chatTemplate: 256 << 10,
  index: 64 << 20,
});
const LOCK = 'fireside.lock.json';
const LOCK_BYTES_MAX = 1 << 20;
/** The hub's list of a repository with 30,000 files. */
const LIST_BYTES_MAX = 16 << 20;
/** Schemes with hosts and paths that no `fetch` has. */
const NEVER_FETCHED = ['ftp:', 'ws:', 'wss:'];
const SLICE_BYTES = 1 << 20;
const SAFE_NAME = /^[A-Za-z0-9._-]+\.safetensors$/;

/**
 * Says where the files are, without fetching anything.
 * @param {Source} source
 * @param {{ hub: string | URL, lock: boolean | string | URL }} options `hub`: where `hf:` sources live; `lock`: whether a lock file states what the files are, or where it is
 * @param {Platform['disk']} [disk]
 * @returns {Promise<Located>}
 */
export async function locate(source, { hub, lock }, disk) {
  const located = await found(source, hub, lock, disk);
  if (lock && !located.locks) throw badOption('lock', 'a source that is the address of a folder, whose lock file says what its files are', lock);
  return located;
}

/** @param {Source} source @param {string | URL} hub @param {boolean | string | URL} lock @param {Platform['disk']} [disk] @returns {Promise<Located>} */
async function found(source, hub, lock, disk) {
  if (typeof source === 'string' || source instanceof URL) {
    const atHub = hubFolder(String(source).trim(), hub);
    const handle = atHub === undefined ? disk?.folder(source) : undefined;
    return handle ? separate(await picked(handle), String(source)) : folder(folderUrl(source, hub), hub, lock);
  }
  if (typeof source === 'object' && source !== null) {
    if ('config' in source) return separate(/** @type {ModelFiles} */ (source), undefined, disk);
    const files = await picked(source);
    if (files) return separate(files);
  }
  throw badInput('source', 'a folder URL, `hf:owner/name@revision`, a list of Files, a directory handle, or {config, tokenizer, weights, ...}', source);
}

/** Of a list of files or a folder's handle. @param {any} source @returns {Promise<any>} */
const picked = async (source) => (await import('./picked.js')).picked(source);

/** Whether it leads over a network: what extensions and apps have by schemes of their own is on the machine. @param {URL} url */
const isRemote = ({ protocol }) => /^https?:$/.test(protocol);

/** What addresses are relative to; nothing in Node. */
const pageUrl = () => globalThis.document?.baseURI ?? globalThis.location?.href;

/**
 * @param {string | URL} source
 * @param {string | URL} hub
 * @returns {URL} ending in a slash
 */
export function folderUrl(source, hub) {
  const text = String(source).trim();
  const atHub = hubFolder(text, hub);
  if (atHub !== undefined) return new URL(atHub);
  const base = pageUrl();
  if (!text || !URL.canParse(text, base))
    throw badInput('source', 'the URL of a folder that holds config.json, tokenizer.json and model.safetensors', text);
  const url = new URL(text, base);
  // Which schemes can be read is the page's affair: those of extensions (chrome-extension:, moz-extension:) and of apps (capacitor:, tauri:, app:) can.
  if (!/^[^:]+:\/\//.test(url.href) || NEVER_FETCHED.includes(url.protocol) || url.username || url.password)
    throw badInput('source', 'the http or https URL of a folder, or one of the scheme that this page has, without credentials', text);
  url.hash = '';
  const [, folder, file] = /^(.*\/)([^/]*)$/.exec(url.pathname) ?? [];
  if (OF_A_MODEL.test(file)) url.pathname = folder;
  else if (/\.(safetensors|gguf|bin|onnx|pth?)$/i.test(file))
    throw badInput('source', 'the URL of the folder, or of each file: {config, tokenizer, weights, ...}', text);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** @param {URL} base @param {string | URL} hub @param {boolean | string | URL} lock @returns {Located} */
function folder(base, hub, lock) {
  /** @param {string} file @param {{ optional: boolean, weights?: boolean, max?: number }} how @param {Pins} [pins] @returns {Place | undefined} */
  const at = (file, { optional, weights = false, max }, pins) => {
    const pin = pins?.files.get(file);
    const url = new URL(file, pins?.base ?? base);
    url.search = base.search;
    return { source: base.href, url: url.href, file, optional, weights, max, pin, absent: pins !== undefined && !pin && optional };
  };
  return {
    label: base.href,
    remote: isRemote(base),
    indexed: false,
    again: true,
    locks: true,
    pins: (list) => (lock ? lockOf(base, lock, list) : hubListOf(base, hub, list)),
    place: (key, pins) => at(NAMES[key], { optional: key !== 'config' && key !== 'tokenizer', max: BYTES_MAX[key] }, pins),
    weights: (name, _position, pins) => at(checkedName(name), { optional: true, weights: true }, pins),
  };
}

/**
 * What the hub says that the files of a revision are, and the commit that it stands for at present. Where the hub does not say, files are told apart by
 * what their server calls their versions.
 * @param {URL} base
 * @param {string | URL} hub
 * @param {List} list
 * @returns {Promise<Pins | undefined>}
 */
async function hubListOf(base, hub, list) {
  const prefix = `${String(hub).replace(/\/$/, '')}/`;
  const [, name, revision] = /^([^/]+\/[^/]+)\/resolve\/([^/]+)\/$/.exec(base.href.startsWith(prefix) ? base.href.slice(prefix.length) : '') ?? [];
  if (!name) return undefined;
  const url = `${prefix}api/models/${name}/revision/${revision}?blobs=true`;
  const bytes = await list({ source: base.href, url, file: "the hub's list of files", optional: true, max: LIST_BYTES_MAX }, false);
  const answer = bytes && parsed(bytes);
  if (!/^[0-9a-f]{40}$/.test(answer?.sha) || !Array.isArray(answer.siblings)) return undefined;
  /** @type {Map<string, Pin>} */
  const files = new Map();
  for (const { rfilename, size, blobId, lfs } of answer.siblings) {
    const sha256 = hexOf(lfs?.sha256);
    files.set(String(rfilename), { id: sha256 ?? `${blobId ?? answer.sha}`, sha256, size: sizeOf(lfs?.size ?? size) });
  }
  return { base: new URL(`${prefix}${name}/resolve/${answer.sha}/`), files };
}

/**
 * What a lock file says that a folder's files are. Undefined: it cannot be had, and the model is in the cache.
 * @param {URL} base
 * @param {true | string | URL} lock
 * @param {List} list
 * @returns {Promise<Pins | undefined>}
 */
async function lockOf(base, lock, list) {
  const beside = Object.assign(new URL(LOCK, base), { search: base.search });
  const from = pageUrl() ?? base;
  if (lock !== true && !URL.canParse(String(lock), String(from))) throw badOption('lock', 'true, or the URL of a lock file', lock);
  const { href: url } = lock === true ? beside : new URL(lock, from);
  const bytes = await list({ source: base.href, url, file: LOCK, optional: true, max: LOCK_BYTES_MAX }, true);
  if (!bytes) return undefined;
  /** @type {Map<string, Pin>} */
  const files = new Map();
  for (const [file, stated] of Object.entries(parsed(bytes)?.files ?? {})) {
    const sha256 = hexOf(stated?.sha256);
    if (!sha256) throw badLock(url, `a SHA-256 of 64 hexadecimal digits for ${file}`);
    files.set(file, { id: sha256, sha256, size: sizeOf(stated.size) });
  }
  if (!files.size) throw badLock(url, '{"files": {"config.json": {"size", "sha256"}, ...}}');
  return { files };
}

/** JSON, or null for what is none. @param {Uint8Array} bytes */
function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** @param {unknown} value */
const hexOf = (value) => (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : undefined);

/** @param {any} value @returns {number | undefined} */
const sizeOf = (value) => (Number.isSafeInteger(value) && value >= 0 ? value : undefined);

/** @param {string} url @param {string} expected */
function badLock(url, expected) {
  return new FiresideError('BAD_FILE', `${url}: expected ${expected}. Make it anew with \`fireside lock\`, or leave the option \`lock\` out.`, { file: LOCK, url });
}

/** @param {ModelFiles} given @param {string} [label] @param {Platform['disk']} [disk] @returns {Located} */
function separate(given, label = 'the files given', disk) {
  const local = (/** @type {any} */ input) => (input instanceof URL && disk?.file(input)) || input;
  const found = Object.entries(given).map(([key, input]) => [key, Array.isArray(input) ? input.map(local) : local(input)]);
  /** @type {ModelFiles} */
  const files = Object.fromEntries(found);
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
  /** @param {Input} input @param {string} file @param {{ weights?: boolean, max?: number }} how @returns {Place} */
  const at = (input, file, how) => (input instanceof URL ? { source: input.href, url: input.href, file, ...how } : { file, input, max: how.max });
  const inputs = [...Object.values({ config, tokenizer, ...others }), ...all];
  return {
    label,
    remote: inputs.some((input) => input instanceof URL && isRemote(input)),
    indexed: files.index !== undefined,
    again: !inputs.some((input) => input instanceof Response || input instanceof ReadableStream),
    pins: async () => undefined,
    place(key) {
      const input = files[key];
      if (input === undefined) return undefined;
      const text = typeof input === 'string' && key === 'chatTemplate' && new TextEncoder().encode(input);
      return at(text || /** @type {Input} */ (input), NAMES[key], { max: BYTES_MAX[key] });
    },
    weights(name, position) {
      checkedName(name);
      const named = all.find((input) => input instanceof Blob && 'name' in input && input.name === name);
      const input = named ?? all[position];
      return input === undefined ? undefined : at(input, name, { weights: true });
    },
  };
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
 * Opens what is in the page's hands.
 * @param {{ file: string, input: Input }} place
 * @param {AbortSignal} signal
 * @param {number} stallMs how long nothing may come
 * @returns {Opened}
 */
export function openInput({ input, file }, signal, stallMs) {
  if (input instanceof Response) {
    if (input.ok && input.body) return { file, transferable: true, chunks: readStream(input.body, file, signal, stallMs) };
    throw new FiresideError('NETWORK', `${file} could not be read: its Response has status ${input.status}.`, { file, status: input.status });
  }
  if (input instanceof Blob) return { file, size: input.size, transferable: true, chunks: readStream(input.stream(), file, signal, stallMs) };
  if (input instanceof ReadableStream) return { file, transferable: false, chunks: readStream(input, file, signal, stallMs) };
  if (input instanceof ArrayBuffer || ArrayBuffer.isView(input)) {
    const bytes = input instanceof ArrayBuffer ? new Uint8Array(input) : new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    return { file, size: bytes.length, transferable: false, chunks: slices(bytes) };
  }
  throw badInput(`source: ${file}`, 'a Uint8Array, ArrayBuffer, Blob, File, Response, ReadableStream or URL', input);
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {string} file
 * @param {AbortSignal} signal
 * @param {number} stallMs
 */
async function* readStream(stream, file, signal, stallMs) {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener('abort', cancel, { once: true });
  let bytes = 0;
  let stalled = false;
  try {
    for (;;) {
      if (signal.aborted) throw abortError(signal);
      const timer = setTimeout(() => (stalled = true) && cancel(), stallMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (signal.aborted) throw abortError(signal);
      if (stalled) throw new Error('nothing came');
      if (done) return;
      if (!(value instanceof Uint8Array)) throw badInput(`source: ${file}`, 'a stream of Uint8Array chunks', value);
      bytes += value.length;
      yield value;
    }
  } catch (cause) {
    if (cause instanceof FiresideError || signal.aborted) throw cause;
    const what = stalled ? `stood still for ${stallMs} ms after` : 'broke off after';
    throw new FiresideError('NETWORK', `${file} ${what} ${bytes} bytes. Check the connection and load again.`, { file, bytes }, { cause });
  } finally {
    signal.removeEventListener('abort', cancel);
    cancel();
  }
}

/** @param {Uint8Array} bytes */
async function* slices(bytes) {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) yield bytes.subarray(start, start + SLICE_BYTES);
}
