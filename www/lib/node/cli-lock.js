// `fireside lock`: writes the sizes and checksums of a model folder's files, by which browsers check them.
// The native program writes the same file.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isGguf } from '../client/address.js';
import { NAMES } from '../client/names.js';
import { isWeights } from '../shared/store.js';
import { helpOf, parse } from './cli-options.js';
import { say } from './cli-run.js';

const USAGE = `Write the size and SHA-256 of every file of a model to its fireside.lock.json, with which browsers check their downloads

Usage: fireside lock FOLDER

FOLDER is the folder of a model, or a GGUF file in it`;

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function lock(args) {
  const { positionals, help } = parse(args, {}, { positionals: ['FOLDER'] });
  if (help) {
    process.stdout.write(helpOf(USAGE, {}));
    return 0;
  }
  const [given] = positionals;
  const folder = isGguf(given) ? dirname(given) : given;
  const small = /** @type {string[]} */ (Object.values(NAMES));
  const present = await readdir(folder).catch((error) => {
    throw new Error(`cannot read ${folder}: ${error.message}`);
  });
  const names = present.filter((name) => small.includes(name) || isWeights(name)).sort();
  for (const needed of names.some(isGguf) ? [] : [NAMES.config, NAMES.tokenizer]) {
    if (!names.includes(needed)) throw new Error(`${folder} has no ${needed}, so it is not a model folder`);
  }
  /** @type {Record<string, { size: number, sha256: string }>} */
  const files = {};
  for (const name of names) {
    files[name] = await digest(join(folder, name));
    say(`${String(files[name].size).padStart(12)}  ${name}\n`);
  }
  await writeFile(join(folder, 'fireside.lock.json'), `${JSON.stringify({ files }, null, 2)}\n`);
  return 0;
}

/** @param {string} path */
async function digest(path) {
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of createReadStream(path)) {
    hash.update(piece);
    size += piece.length;
  }
  return { size, sha256: hash.digest('hex') };
}
