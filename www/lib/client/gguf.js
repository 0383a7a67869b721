// A model as a GGUF file, which holds its config and its tokenizer too. A split one is several files, named
// `model-00001-of-00003.gguf` and so on. Few visits load this module.

import { badInput, FiresideError } from '../shared/errors.js';
import { isGguf, isRemote } from './address.js';
import { hubPins, inHub, lockPins } from './pins.js';

/** @import { Input } from '../shared/types.d.ts' */
/** @import { Ask, FetchList, ListStored, Lock, Pins } from './pins.js' */
/** @import { Located } from './source.js' */

/** The end of the name of a part of a split file. */
const PART = /-\d{5}-of-(\d{5}\.gguf)$/i;

/** A GGUF file begins with these bytes. */
const MAGIC = 'GGUF';

/** A message names no more files. */
const LISTED_MAX = 40;

/**
 * The name or path of another part of a split file; of a file that is not split, its own.
 * @param {string} name
 * @param {number} number from 1
 */
const partOf = (name, number) => name.replace(PART, (_, rest) => `-${String(number).padStart(5, '0')}-of-${rest}`);

/**
 * The GGUF models among some files, of a split one the first part. Those that read pictures for a model
 * (`mmproj`) are not models.
 * @param {string[]} paths
 */
export function modelsAmong(paths) {
  return [...new Set(paths.filter((path) => isGguf(path) && !/mmproj/i.test(path)).map((path) => partOf(path, 1)))].sort();
}

/** Whether a file is a part of this model. @param {string} name @param {string} model its first part */
export const isPartOf = (name, model) => partOf(name, 1) === model;

/**
 * Where a GGUF file at an address is.
 * @param {URL} url what hubAddress gives, or another address that ends in `.gguf`
 * @param {string | URL} hub
 * @param {Lock} lock
 * @returns {Located}
 */
export function atAddress(url, hub, lock) {
  const word = decoded(url.hash.slice(1));
  const bare = new URL(url);
  bare.search = bare.hash = '';
  const { name, inner } = inHub(bare, hub);
  const base = name ? new URL(bare.href.slice(0, bare.href.length - inner.length)) : new URL('.', bare);
  // As the hub's list has it: in the folder of a revision.
  const own = decoded(bare.href.slice(base.href.length));
  const source = url.href;

  /** @param {FetchList} fetchList @param {ListStored} listStored @returns {Promise<Pins | undefined>} */
  async function pins(fetchList, listStored) {
    const list = (/** @type {Partial<Ask>} */ how) => {
      const ask = { source, fetchList, ...how };
      return lock ? lockPins(base, lock, ask) : hubPins(base, hub, ask);
    };
    const pins = await list({});
    if (!word) return pins;
    if (pins) return { ...pins, path: chosen([...pins.files.keys()], word, { base, hub }) };
    // Without the list, what is stored for this word is its file.
    const [stored] = modelsAmong((await listStored(source)).map(decoded));
    if (stored) return { files: new Map(), path: stored };
    await list({ needed: true }); // says why there is none
    throw new FiresideError('NETWORK', `${source}: the hub's list of files could not be read. Name the file: hf:${name}/FILE.gguf.`, { url: source });
  }

  const pathOf = (/** @type {Pins | undefined} */ pins) => partOf(pins?.path ?? own, 1);
  return {
    label: url.href,
    remote: isRemote(url),
    indexed: false,
    again: true,
    locks: true,
    pins,
    // A name that every store can use. Parts of a path stay apart in it.
    gguf: (pins) => encodeURIComponent(pathOf(pins)),
    place: () => undefined,
    weights(file, position, pins) {
      const path = partOf(pathOf(pins), position + 1);
      const pin = pins?.files.get(path);
      const address = new URL(path.split('/').map(encodeURIComponent).join('/'), pins?.base ?? base);
      address.search = url.search;
      return { source, url: address.href, file, optional: true, weights: true, pin, absent: Boolean(pins?.files.size) && !pin };
    },
  };
}

/**
 * The one model of a repository with a word in its name; of a split and a whole one, the whole one.
 * @param {string[]} paths
 * @param {string} word such as `Q4_K_M`, in any case
 * @param {{ base: URL, hub: string | URL }} at
 */
function chosen(paths, word, { base, hub }) {
  // `Q4_K` is no word of `model-Q4_K_M.gguf`, and `Q4_NL` none of `model-IQ4_NL.gguf`.
  const has = new RegExp(`(^|[^a-z0-9])${word.replace(/\W/g, '\\$&')}(?![a-z0-9_])`, 'i');
  const fitting = modelsAmong(paths).filter((path) => has.test(path.replace(PART, '').replace(/\.gguf$/i, '')));
  const whole = fitting.filter((path) => !PART.test(path));
  const [first, ...more] = whole.length ? whole : fitting;
  if (first === undefined) throw unchosen(base, hub, paths, `\`${word}\`, which no name has`);
  if (more.length) throw unchosen(base, hub, fitting, `\`${word}\`, which several names have`);
  return first;
}

/**
 * Says which GGUF files there are, and how to choose one.
 * @param {URL} base
 * @param {string | URL} hub
 * @param {string[]} paths
 * @param {string} [got] what did not choose one
 */
export function unchosen(base, hub, paths, got = 'a folder without model.safetensors') {
  const { name, revision } = inHub(base, hub);
  const at = `hf:${name}${revision === 'main' ? '' : `@${decoded(revision ?? '')}`}`;
  const ways = name ? `\`${at}/FILE.gguf\`, or a word that only its name has, as in \`${at}:Q4_K_M\`` : `\`${base.href}FILE.gguf\``;
  const all = modelsAmong(paths);
  const listed = all.slice(0, LISTED_MAX).join(', ') + (all.length > LISTED_MAX ? ', ...' : '');
  const expected = `the name of one GGUF file, as in ${ways}. There are ${listed}`;
  return new FiresideError('BAD_INPUT', `source: got ${got}; expected ${expected}.`, { what: 'source', expected, got, files: all });
}

/**
 * GGUF files that were given as weights. `name`: of the model, of several parts the first; `input`: the part
 * with a name and position.
 * @typedef {{ name: string, input: (name: string, position: number) => Input | undefined }} Given
 */

/**
 * What was given as weights; undefined: no GGUF file. A file that cannot be looked into is one if its name
 * says so, or if it is alone.
 * @param {Input[]} inputs
 * @param {boolean} isAlone whether it has to hold the config or the tokenizer too
 * @returns {Promise<Given | undefined>}
 */
export async function given(inputs, isAlone) {
  const [first, ...more] = inputs;
  const own = nameIn(first);
  const head = isGguf(own) ? MAGIC : await headOf(first);
  if (head === undefined ? !isAlone : head !== MAGIC) {
    if (isAlone) throw badInput('source', 'a GGUF file, or `config` and `tokenizer` beside the weights', own || first);
    return undefined;
  }
  return {
    name: more.length && !PART.test(own) ? `model-00001-of-${String(inputs.length).padStart(5, '0')}.gguf` : partOf(own || 'model.gguf', 1),
    input(name, position) {
      const named = inputs.find((input) => nameIn(input) === name);
      if (named) return named;
      if (first instanceof URL && !more.length) return Object.assign(new URL(first), { pathname: partOf(first.pathname, position + 1) });
      // Those without a name of their own are taken in their order.
      const input = inputs[position];
      return input && PART.test(nameIn(input)) ? undefined : input;
    },
  };
}

/** Whether a file is GGUF, whatever its name. @param {Blob} file */
export const isGgufFile = async (file) => isGguf(nameIn(file)) || (await headOf(file)) === MAGIC;

/** @param {Input | undefined} input */
function nameIn(input) {
  if (input instanceof URL || input instanceof Response) return (input instanceof URL ? input.pathname : input.url.split(/[?#]/)[0]).split('/').at(-1) ?? '';
  return input instanceof Blob && 'name' in input ? String(input.name) : '';
}

/**
 * The first bytes of a file as text; undefined: only reading it would tell.
 * @param {Input | undefined} input
 */
async function headOf(input) {
  const bytes = input instanceof Blob ? await input.slice(0, MAGIC.length).arrayBuffer() : input;
  if (bytes instanceof ArrayBuffer) return text(new Uint8Array(bytes, 0, Math.min(MAGIC.length, bytes.byteLength)));
  return ArrayBuffer.isView(bytes) ? text(new Uint8Array(bytes.buffer, bytes.byteOffset, Math.min(MAGIC.length, bytes.byteLength))) : undefined;
}

const text = (/** @type {Uint8Array} */ bytes) => String.fromCharCode(...bytes);

/** @param {string} part of an address */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
