// Stores chats and the story between visits, in this browser's IndexedDB and nowhere else. It uses
// idb-keyval: a page of code, maintained by one of IndexedDB's editors, which also reopens a connection
// that the browser has closed. If the browser stores nothing (a private window), the page works without it.
//
// There are two databases. Records are small, and all are read when the page opens. A saved session may
// have megabytes and is read when needed.

import { clear, createStore, del, get, keys, set, values } from '../vendor/idb-keyval/dist/index.js';

/**
 * The largest saved session that is stored. A larger one takes longer to write and read than most prompts
 * to compute.
 */
export const STATE_BYTES_MAX = 16e6;
/** How many saved sessions are stored; the latest ones stay. */
const STATES_MAX = 8;

/**
 * @typedef {object} Kept
 * @property {string} id
 * @property {string} model the key of the model that a saved state belongs to
 * @property {number} updated milliseconds since 1970
 */

const records = createStore('fireside-work', 'records');
const states = createStore('fireside-states', 'states');

/**
 * Runs the writes one after another, so that a deleted record is not written again.
 * @type {Promise<unknown>}
 */
let tail = Promise.resolve();
let working = true;

/** Whether this browser has stored everything so far. */
export function keeps() {
  return working;
}

/** All records. @returns {Promise<Kept[]>} */
export async function recordsKept() {
  const all = await attempt(() => values(records), []);
  return all.filter((record) => typeof record?.id === 'string');
}

/**
 * The saved session of a record, if it is stored.
 * @param {string} id
 * @returns {Promise<Uint8Array | undefined>}
 */
export function stateKept(id) {
  return attempt(() => get(id, states), undefined);
}

/** @param {Kept} record */
export function keep(record) {
  return write(() => set(record.id, record, records));
}

/**
 * Stores a saved session for a record. If it is absent or too large, deletes the old one.
 * @param {string} id
 * @param {Uint8Array | undefined} state
 */
export function keepState(id, state) {
  return write(async () => {
    await del(id, states);
    if (!state || state.byteLength > STATE_BYTES_MAX) return;
    await set(id, state, states);
    const latest = /** @type {Kept[]} */ (await recordsKept()).sort((a, b) => b.updated - a.updated).map((record) => record.id);
    for (const key of await keys(states)) {
      const place = latest.indexOf(String(key));
      if (place < 0 || place >= STATES_MAX) await del(key, states);
    }
  });
}

/** @param {string} id */
export function forget(id) {
  return write(() => Promise.all([del(id, records), del(id, states)]));
}

export function forgetAll() {
  return write(() => Promise.all([clear(records), clear(states)]));
}

/** @param {() => Promise<unknown>} job */
function write(job) {
  tail = tail.then(() => attempt(job, undefined));
  return tail;
}

/**
 * @template T
 * @param {() => Promise<T>} job
 * @param {T} otherwise
 */
async function attempt(job, otherwise) {
  try {
    const result = await job();
    working = true;
    return result;
  } catch {
    working = false; // no IndexedDB, or no space; the list of chats says so
    return otherwise;
  }
}
