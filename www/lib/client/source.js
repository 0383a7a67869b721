// Where the files of a model come from: the URL of a folder or of a GGUF file, `hf:owner/name@revision`, a
// list of Files, a folder on disk, or the files one by one. The engine's worker fetches what has an address
// (worker/files.js). The page reads the files that it was given (input.js).

import { badInput } from '../shared/errors.js';
import { hubAddress, isGguf, isRemote, OF_A_MODEL } from './address.js';
import { BYTES_MAX, checkedName, NAMES } from './names.js';
import { checkLock, hubPins, lockPins, pageUrl } from './pins.js';

/** @import { FileWanted } from '../shared/protocol.d.ts' */
/** @import { Input, ModelFiles, Source } from '../shared/types.d.ts' */
/** @import { SmallName } from './names.js' */
/** @import { FetchList, ListStored, Lock, Pins } from './pins.js' */
/** @import { Platform } from './types.d.ts' */

/**
 * A file that is at an address. `absent`: it is known not to be there.
 * @typedef {FileWanted & { absent?: boolean }} Remote
 */

/**
 * A file that is in the page's hands.
 * @typedef {{ file: string, input: Input, weights?: boolean, max?: number, absent?: undefined }} Given
 */

/** @typedef {Remote | Given} Place */

/**
 * @typedef {object} Located
 * @property {string} label the name of the source in messages
 * @property {boolean} remote whether its files come over a network. Only those are stored
 * @property {boolean} indexed whether an index is known to be there
 * @property {boolean} again whether it can be read more than once
 * @property {boolean} locks whether a lock file can state what its files are
 * @property {(fetchList: FetchList, listStored: ListStored) => Promise<Pins | undefined>} pins what the
 *   publisher states about the files
 * @property {(pins?: Pins) => string} [gguf] the name of the GGUF file, of several the first; absent: the
 *   weights are in safetensors files
 * @property {(key: SmallName, pins?: Pins) => Place | undefined} place of a small file; undefined: it was
 *   not given
 * @property {(name: string, position: number, pins?: Pins) => Place | undefined} weights of a weight file,
 *   by name and position
 */

/** Schemes with hosts and paths that `fetch` does not have. */
const NEVER_FETCHED = ['ftp:', 'ws:', 'wss:'];

/**
 * Says where the files are, without fetching anything.
 * @param {Source} source
 * @param {{ hub: string | URL, lock: Lock }} options `hub`: where `hf:` sources are
 * @param {Platform['disk']} [disk]
 * @returns {Promise<Located>}
 */
export async function locate(source, { hub, lock }, disk) {
  const located = await found(source, hub, lock, disk);
  checkLock(lock, located.locks);
  return located;
}

/**
 * @param {Source} source
 * @param {string | URL} hub
 * @param {Lock} lock
 * @param {Platform['disk']} [disk]
 * @returns {Promise<Located>}
 */
async function found(source, hub, lock, disk) {
  if (typeof source === 'string' || source instanceof URL) {
    const atHub = hubAddress(String(source).trim(), hub);
    const onDisk = atHub === undefined ? disk?.open(source) : undefined;
    const files = onDisk && (await picked(onDisk));
    if (files) return separate(files, String(source));
    const url = sourceUrl(source, hub);
    return isGguf(url.pathname) || url.hash ? (await ofGguf()).atAddress(url, hub, lock) : folder(url, hub, lock);
  }
  if (source instanceof Blob) return separate({ weights: source }, Reflect.get(source, 'name'));
  if (typeof source === 'object' && source !== null) {
    if ('weights' in source || 'config' in source) return separate(/** @type {ModelFiles} */ (source), undefined, disk);
    const files = await picked(source);
    if (files) return separate(files);
  }
  throw badInput('source', `the URL of a folder or of a GGUF file, \`hf:owner/name\`, Files, a directory handle, or {weights, config, tokenizer, ...}`, source);
}

/** Few models are GGUF files. */
const ofGguf = () => import('./gguf.js');

/**
 * A list of files, or the handle of a folder, as a model.
 * @param {Parameters<typeof import('./picked.js').picked>[0]} source
 */
const picked = async (source) => (await import('./picked.js')).picked(source);

/**
 * The address by which the stored files of a source are known: of a folder, which ends in a slash, or of a
 * GGUF file (or what hubAddress gives in its place).
 * @param {string | URL} source
 * @param {string | URL} hub
 */
export function sourceUrl(source, hub) {
  const text = String(source).trim();
  const atHub = hubAddress(text, hub);
  if (atHub !== undefined) return new URL(atHub);
  const base = pageUrl();
  if (!text || !URL.canParse(text, base))
    throw badInput('source', 'the URL of a GGUF file, or of a folder that holds config.json, tokenizer.json and model.safetensors', text);
  const url = new URL(text, base);
  // Which schemes can be read is the page's affair: those of extensions (chrome-extension:, moz-extension:)
  // and of apps (capacitor:, tauri:, app:) can.
  if (!/^[^:]+:\/\//.test(url.href) || NEVER_FETCHED.includes(url.protocol) || url.username || url.password)
    throw badInput('source', 'an http or https URL, or one of the scheme that this page has, without credentials', text);
  url.hash = '';
  const [, folder, file] = /^(.*\/)([^/]*)$/.exec(url.pathname) ?? [];
  if (isGguf(file)) return url;
  if (OF_A_MODEL.test(file)) url.pathname = folder;
  else if (/\.(safetensors|bin|onnx|pth?)$/i.test(file))
    throw badInput('source', 'the URL of the folder, or of each file: {config, tokenizer, weights, ...}', text);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** @param {URL} base @param {string | URL} hub @param {Lock} lock @returns {Located} */
function folder(base, hub, lock) {
  /**
   * @param {string} file
   * @param {{ optional: boolean, weights?: boolean, max?: number }} how
   * @param {Pins} [pins]
   * @returns {Place | undefined}
   */
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
    async pins(fetchList) {
      const ask = { source: base.href, fetchList };
      const pins = await (lock ? lockPins(base, lock, ask) : hubPins(base, hub, ask));
      const files = [...(pins?.files.keys() ?? [])];
      // Another format's weights are refused by the name of the missing file.
      if (files.some(isGguf) && !files.some((file) => file.endsWith('.safetensors'))) throw (await ofGguf()).unchosen(base, hub, files);
      return pins;
    },
    place: (key, pins) => at(NAMES[key], { optional: key !== 'config' && key !== 'tokenizer', max: BYTES_MAX[key] }, pins),
    weights: (name, _position, pins) => at(checkedName(name), { optional: true, weights: true }, pins),
  };
}

/**
 * @param {ModelFiles} given
 * @param {string} [label]
 * @param {Platform['disk']} [disk]
 * @returns {Promise<Located>}
 */
async function separate(given, label = 'the files given', disk) {
  const local = (/** @type {Input | string | undefined} */ input) => (input instanceof URL && disk?.file(input)) || input;
  const found = Object.entries(given).map(([key, input]) => [key, Array.isArray(input) ? input.map(local) : local(input)]);
  /** @type {ModelFiles} */
  const files = Object.fromEntries(found);
  const { weights, ...others } = files;
  const unknown = Object.keys(others).find((key) => !(key in NAMES));
  if (unknown) throw badInput('source', `only ${Object.keys(NAMES).join(', ')} and weights`, unknown);
  const all = Array.isArray(weights) ? weights : [weights];
  const isWhole = files.config !== undefined && files.tokenizer !== undefined;
  const gguf = weights && !files.index ? await (await ofGguf()).given(/** @type {Input[]} */ (all), !isWhole) : undefined;
  for (const key of ['config', 'tokenizer', 'weights']) {
    if (Reflect.get(files, key) === undefined && !gguf) throw badInput('source', `a value for \`${key}\``, undefined);
  }
  if (!all.length) throw badInput('source', 'at least one weight file', 'none');
  if (all.length > 1 && !files.index && !gguf)
    throw badInput('source', '`index` (model.safetensors.index.json) beside several weight files', undefined);
  /**
   * @param {Input} input
   * @param {string} file
   * @param {{ weights?: boolean, max?: number }} how
   * @returns {Place}
   */
  const at = (input, file, how) => (input instanceof URL ? { source: input.href, url: input.href, file, ...how } : { file, input, ...how });
  const inputs = [...Object.values(others), ...all];
  return {
    label,
    remote: inputs.some((input) => input instanceof URL && isRemote(input)),
    indexed: files.index !== undefined,
    again: !inputs.some((input) => input instanceof Response || input instanceof ReadableStream),
    locks: false,
    pins: async () => undefined,
    ...(gguf && { gguf: () => gguf.name }),
    place(key) {
      const input = files[key];
      if (input === undefined) return undefined;
      const text = typeof input === 'string' && key === 'chatTemplate' && new TextEncoder().encode(input);
      return at(text || /** @type {Input} */ (input), NAMES[key], { max: BYTES_MAX[key] });
    },
    weights(name, position) {
      const named = () => all.find((input) => input instanceof Blob && 'name' in input && input.name === checkedName(name)) ?? all[position];
      const input = gguf ? gguf.input(name, position) : named();
      return input === undefined ? undefined : at(input, name, { weights: true });
    },
  };
}
