// What is kept between visits: chats and the story, in this browser's IndexedDB and nowhere else. The store is idb-keyval's: a page of code, kept by one of
// IndexedDB's own editors, that also reopens a connection which a browser has closed. Where a browser keeps nothing (a private window), the page works on without.
//
// Two databases: records are small and all read when the page opens; a session's saved state may be megabytes and is read alone.

import { clear, createStore, del, get, keys, set, values } from '../vendor/idb-keyval/dist/index.js';

/** A saved state may take so many bytes: a larger one costs more to write and read than most prompts to compute again. */
export const STATE_BYTES_MAX = 16e6;
/** And so many of them are kept, the latest. */
const STATES_MAX = 8;

/**
 * @typedef {object} Kept
 * @property {string} id
 * @property {string} model the key of the model that a saved state belongs to
 * @property {number} updated milliseconds since 1970
 */

const records = createStore('fireside-work', 'records');
const states = createStore('fireside-states', 'states');

/** One write after the other, so that what is forgotten stays forgotten. @type {Promise<unknown>} */
let tail = Promise.resolve();
let working = true;

/** Whether this browser has kept what it was given so far. */
export function keeps() {
  return working;
}

/** All records. @returns {Promise<Kept[]>} */
export async function recordsKept() {
  const all = await attempt(() => values(records), []);
  return all.filter((record) => typeof record?.id === 'string');
}

/** The saved state of a record's session, if one is kept. @param {string} id @returns {Promise<Uint8Array | undefined>} */
export function stateKept(id) {
  return attempt(() => get(id, states), undefined);
}

/** @param {Kept} record */
export function keep(record) {
  return write(() => set(record.id, record, records));
}

/** Keeps a state beside its record; none, or one too large, removes what was there. @param {string} id @param {Uint8Array | undefined} state */
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

/** @template T @param {() => Promise<T>} job @param {T} otherwise */
async function attempt(job, otherwise) {
  try {
    const result = await job();
    working = true;
    return result;
  } catch {
    working = false; // no IndexedDB here, or no room: said in the list of chats
    return otherwise;
  }
}
