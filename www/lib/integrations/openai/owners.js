// Who asked. What was computed for one owner is of use to that owner alone: a client that is told, or can measure, how much of its prompt was reused could otherwise
// find out the prompt of another one, piece by piece.
//
// An owner is a party and a label:
//
//     party: whom the server itself tells apart: the holder of an API key, a connection, a page. A client cannot choose it.
//     label: what the request says about its sender: `prompt_cache_key`, `user`, `safety_identifier`, Authorization. Anyone can write these, so a label only
//            divides a party. It leads nobody into another party.

/** @typedef {{ party: unknown, label: string }} Owner */

/** The program that made the handler, where it calls the handler as it would call `fetch`. */
const PROGRAM = Symbol('the program');

const LABELS = ['prompt_cache_key', 'user', 'safety_identifier'];

/**
 * The owner of a request; undefined where the server cannot tell who asks, so that nothing is reused. A server passes a context; it names the party there, or it has none.
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
