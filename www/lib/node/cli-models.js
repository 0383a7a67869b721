// `fireside models`: published models that were tried, with what they take.

import { helpOf, parse } from './cli-options.js';
import { say } from './cli-run.js';
import { SHELF, size } from './shelf.js';

const USAGE = `Print tested published models: their names for --model, and their memory

Usage: fireside models`;

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function models(args) {
  const { help } = parse(args, {});
  if (help) {
    process.stdout.write(helpOf(USAGE, {}));
    return 0;
  }
  const rows = SHELF.map(({ name, weightBytes, kvBytesPerToken, about }) => [`hf:${name}`, size(weightBytes), `+ ${size(1000 * kvBytesPerToken)}`, about]);
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column].length)));
  for (const [name, weights, cache, about] of rows) {
    process.stdout.write(`${name.padEnd(widths[0])}  ${weights.padStart(widths[1])}  ${cache.padStart(widths[2])}  ${about}\n`);
  }
  say('Memory: the weights in 16 bits, and the KV cache of 1,000 tokens. Each model has its own licence. `fireside estimate NAME` computes the memory of any model.\n');
  return 0;
}
