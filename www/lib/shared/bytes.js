// Bytes that come in pieces, as one array.

/**
 * The bytes of some pieces, up to the piece that makes them at least `enough`.
 * @param {AsyncIterable<Uint8Array>} pieces
 * @param {number} [enough]
 */
export async function collect(pieces, enough = Infinity) {
  const parts = [];
  let length = 0;
  for await (const piece of pieces) {
    parts.push(piece);
    length += piece.length;
    if (length >= enough) break;
  }
  return joined(parts);
}

/** @param {Uint8Array[]} pieces */
export function joined(pieces) {
  const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
