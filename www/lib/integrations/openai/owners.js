// Who asked. A cached prompt is reused for its owner only. A client that is told, or can measure, how much
// of its prompt was cached could otherwise find out the prompt of another client piece by piece.
//
// An owner is a party and a label:
//
//     party: what the server can tell apart: the holder of an API key, a connection, a page. A client cannot
//            choose it.
//     label: what the request says about its sender: `prompt_cache_key`, `user`, `safety_identifier`,
//            Authorization. Anyone can write these, so a label only divides a party; it leads nobody into
//            another one.

/** @typedef {{ party: unknown, label: string }} Owner */

/** The program that made the handler, where it calls the handler as it would call `fetch`. */
const PROGRAM = Symbol('the program');

const LABELS = ['prompt_cache_key', 'user', 'safety_identifier'];

/**
 * The owner of a request. Undefined if the server cannot identify the client; then nothing is reused. A
 * server passes a context, which names the party or has none.
 * @param {Request} request
 * @param {Record<string, any>} values the parameters of the request
 * @param {{ owner?: unknown } | undefined} context
 * @returns {Owner | undefined}
 */
export function ownerOf({ headers }, values, context) {
  const party = context ? context.owner : PROGRAM;
  if (party === undefined || party === null || party === '') return undefined;
  return { party, label: JSON.stringify([headers.get('authorization'), ...LABELS.map((name) => values[name] ?? null)]) };
}
