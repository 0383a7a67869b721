// The models that the faulty server serves, as files by name: those of the repository, and the chat model
// cut into shards.

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';
import { gguf } from '../gguf.mjs';

export const WEIGHTS = 'model.safetensors';
export const GGUF = 'chat-BF16.gguf';
/** The repository's models have a lock file; cases that need one make it. */
const LOCK = 'fireside.lock.json';

/**
 * 'chat' (6 MB of weights) and 'story' (2 MB) unchanged; 'shards': chat in three files; 'relaid' and
 * 'padded': chat with its tensors in another order or after a longer header, so that a mixture of their
 * bytes with the original's is nonsense; 'gguf': chat as one GGUF file.
 */
const MODELS = {
  chat: () => readFolder(join(ROOT, 'models', 'chat')),
  story: () => readFolder(join(ROOT, 'models', 'story')),
  shards: () => inShards(readModel('chat'), 3),
  relaid: () => rewritten((tensors) => tensors.toReversed(), 0),
  padded: () => rewritten((tensors) => tensors, 4096),
  gguf: () => new Map([[GGUF, gguf(join(ROOT, 'models', 'chat'))[0]]]),
};

/** @type {Map<string, Map<string, Buffer>>} */
const known = new Map();

/** A model's files by name. @param {string} model @returns {Map<string, Buffer>} */
export function readModel(model) {
  const files = known.get(model) ?? MODELS[model]();
  known.set(model, files);
  return files;
}

/** @param {string} folder */
function readFolder(folder) {
  return new Map(readdirSync(folder).filter((name) => !name.endsWith('.md') && name !== LOCK).map((name) => [name, readFileSync(join(folder, name))]));
}

/**
 * The parts of a safetensors file.
 * @param {Buffer} file
 * @returns {{ name: string, dtype: string, shape: number[], bytes: Buffer }[]} in the file's order
 */
function tensorsOf(file) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, start));
  return Object.entries(tensors).map(([name, { data_offsets: [from, to], ...rest }]) => ({ name, ...rest, bytes: file.subarray(start + from, start + to) }));
}

/**
 * A safetensors file of tensors in this order.
 * @param {ReturnType<typeof tensorsOf>} tensors
 * @param {number} [headerBytes] the length to which its header is padded
 */
function safetensors(tensors, headerBytes = 0) {
  let at = 0;
  const entries = tensors.map(({ name, bytes, ...rest }) => [name, { ...rest, data_offsets: [at, (at += bytes.length)] }]);
  const header = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) }).padEnd(headerBytes));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, ...tensors.map(({ bytes }) => bytes)]);
}

/**
 * The same model with its weights in `count` files and an index.
 * @param {Map<string, Buffer>} files
 * @param {number} count
 */
function inShards(files, count) {
  const tensors = tensorsOf(/** @type {Buffer} */ (files.get(WEIGHTS)));
  const total = tensors.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const names = Array.from({ length: count }, (_, index) => `model-0000${index + 1}-of-0000${count}.safetensors`);
  let seen = 0;
  const placed = tensors.map((tensor) => {
    const name = names[Math.floor((seen / total) * count)];
    seen += tensor.bytes.length;
    return { name, tensor };
  });
  const weight_map = Object.fromEntries(placed.map(({ name, tensor }) => [tensor.name, name]));
  const result = new Map([...files].filter(([name]) => name !== WEIGHTS));
  result.set('model.safetensors.index.json', Buffer.from(JSON.stringify({ metadata: { total_size: total }, weight_map })));
  for (const shard of names) result.set(shard, safetensors(placed.filter(({ name }) => name === shard).map(({ tensor }) => tensor)));
  return result;
}

/**
 * The chat model with its tensors in another order, after a longer header.
 * @param {(tensors: any[]) => any[]} order
 * @param {number} longer in bytes
 */
function rewritten(order, longer) {
  const files = readModel('chat');
  const weights = /** @type {Buffer} */ (files.get(WEIGHTS));
  return new Map([...files, [WEIGHTS, safetensors(order(tensorsOf(weights)), Number(weights.readBigUInt64LE(0)) + longer)]]);
}
