// The names of the files of a model, as they are published.

import { FiresideError } from '../shared/errors.js';

export const NAMES = Object.freeze({
  config: 'config.json',
  tokenizer: 'tokenizer.json',
  tokenizerConfig: 'tokenizer_config.json',
  generationConfig: 'generation_config.json',
  specialTokensMap: 'special_tokens_map.json',
  addedTokens: 'added_tokens.json',
  chatTemplate: 'chat_template.jinja',
  index: 'model.safetensors.index.json',
});

/** The name of a small file in a source. @typedef {keyof typeof NAMES} SmallName */

/**
 * The most bytes that a small file may have: several times as many as the largest published ones
 * (docs/loading.md).
 * @type {Record<SmallName, number>}
 */
export const BYTES_MAX = Object.freeze({
  config: 1 << 20,
  tokenizer: 128 << 20,
  tokenizerConfig: 16 << 20,
  generationConfig: 1 << 20,
  specialTokensMap: 16 << 20,
  addedTokens: 16 << 20,
  chatTemplate: 256 << 10,
  index: 64 << 20,
});

const SAFE_NAME = /^[A-Za-z0-9._-]+\.safetensors$/;

/**
 * The name of a shard. It comes out of a stranger's index, so it must not lead anywhere else.
 * @param {string} name
 */
export function checkedName(name) {
  if (SAFE_NAME.test(name)) return name;
  const expected = `expected plain file names ending in .safetensors, got ${JSON.stringify(name)}`;
  throw new FiresideError('BAD_FILE', `${NAMES.index}: ${expected}.`, { file: NAMES.index });
}
