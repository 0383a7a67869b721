// What a publisher states about the files of a model: the hub's list of a revision, or the lock file of a
// folder.

import { badOption, FiresideError } from '../shared/errors.js';

/** @import { FileWanted, Pin } from '../shared/protocol.d.ts' */

/** The option `lock` of a load. @typedef {boolean | string | URL} Lock */

/**
 * Fetches a list of files. `needed`: to lack it is an error.
 * @typedef {(wanted: FileWanted, needed: boolean) => Promise<Uint8Array | undefined>} FetchList
 */

/**
 * Lists the files of a source that are stored.
 * @typedef {(source: string) => Promise<string[]>} ListStored
 */

/**
 * How to ask for a list. `source`: the address by which the stored files are known; `needed`: to lack the
 * list is an error.
 * @typedef {{ source: string, fetchList: FetchList, needed?: boolean }} Ask
 */

/**
 * What is stated about each file. `base`: the folder of exactly these files; `path`: of the GGUF file that
 * was chosen among them.
 * @typedef {{ base?: URL, files: Map<string, Pin>, path?: string }} Pins
 */

const LOCK = 'fireside.lock.json';
const LOCK_BYTES_MAX = 1 << 20;

/** More than the hub's list of a repository with 30,000 files. */
const LIST_BYTES_MAX = 16 << 20;

/** The address that relative addresses begin at; undefined in Node. */
export const pageUrl = () => globalThis.document?.baseURI ?? globalThis.location?.href;

/**
 * Checks the option `lock` of a load. Throws BAD_OPTION.
 * @param {Lock} lock
 * @param {boolean} canLock whether the source can have a lock file
 */
export function checkLock(lock, canLock) {
  const isAddress = (typeof lock === 'string' && lock !== '') || lock instanceof URL;
  const base = pageUrl() ?? 'https://folder.invalid/';
  if (typeof lock !== 'boolean' && !(isAddress && URL.canParse(String(lock), base))) throw badOption('lock', 'true, or the URL of a lock file', lock);
  if (lock && !canLock) throw badOption('lock', 'a source that is the address of a folder, whose lock file says what its files are', lock);
}

/**
 * The parts of an address at the hub. Without `name`: it is none. `inner`: what comes after the revision.
 * @param {URL} url
 * @param {string | URL} hub
 */
export function inHub({ href }, hub) {
  const prefix = `${String(hub).replace(/\/$/, '')}/`;
  const path = href.startsWith(prefix) ? href.slice(prefix.length) : '';
  const [, name, revision, inner = ''] = /^([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.*)$/.exec(path) ?? [];
  return { prefix, name, revision, inner };
}

/**
 * What the hub states about the files of a revision, and the commit that the revision is at present.
 * Undefined: the hub does not say. Files are then told apart by their server's names for versions.
 * @param {URL} base
 * @param {string | URL} hub
 * @param {Ask} ask
 * @returns {Promise<Pins | undefined>}
 */
export async function hubPins(base, hub, { source, fetchList, needed = false }) {
  const { prefix, name, revision, inner } = inHub(base, hub);
  if (!name || inner) return undefined;
  const url = `${prefix}api/models/${name}/revision/${revision}?blobs=true`;
  const bytes = await fetchList({ source, url, file: "the hub's list of files", optional: !needed, max: LIST_BYTES_MAX }, needed);
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
 * What a lock file states about the files of a folder. Undefined: it cannot be had, and the model is stored.
 * @param {URL} base
 * @param {Exclude<Lock, false>} lock
 * @param {Ask} ask
 * @returns {Promise<Pins | undefined>}
 */
export async function lockPins(base, lock, { source, fetchList }) {
  const beside = Object.assign(new URL(LOCK, base), { search: base.search });
  const { href: url } = lock === true ? beside : new URL(lock, pageUrl() ?? base);
  const bytes = await fetchList({ source, url, file: LOCK, optional: true, max: LOCK_BYTES_MAX }, true);
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

/** The value of some JSON; null where it is not JSON. @param {Uint8Array} bytes */
function parsed(bytes) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return null;
  }
}

/** @param {unknown} value */
const hexOf = (value) => (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value) ? value : undefined);

/** @param {unknown} value */
const sizeOf = (value) => (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined);

/** @param {string} url @param {string} expected */
function badLock(url, expected) {
  return new FiresideError('BAD_FILE', `${url}: expected ${expected}. Make a new one with \`fireside lock\`, or leave the option \`lock\` out.`, { file: LOCK, url });
}
