// Finds a model among files from a picker, of a dropped folder, or of a folder on disk. Few visits load this
// module: most models are loaded by their address.

import { badInput } from '../shared/errors.js';
import { NAMES } from './names.js';

/** @import { ModelFiles } from '../shared/types.d.ts' */

/**
 * @param {Iterable<File> | ArrayLike<File> | FileSystemDirectoryHandle} source
 * @returns {Promise<ModelFiles | undefined>} undefined: it is neither
 */
export async function picked(source) {
  const isFolder = 'kind' in source && source.kind === 'directory';
  const files = isFolder ? await filesIn(source) : Array.from(/** @type {ArrayLike<File>} */ (source));
  const isList = files.every((file) => file instanceof Blob && typeof file.name === 'string');
  return isList && (isFolder || files.length) ? filesByName(files) : undefined;
}

/**
 * The files of a folder on disk.
 * @param {FileSystemDirectoryHandle} handle
 */
async function filesIn(handle) {
  /** @type {File[]} */
  const files = [];
  for await (const entry of handle.values?.() ?? []) {
    if (entry.kind === 'file') files.push(await /** @type {FileSystemFileHandle} */ (entry).getFile());
  }
  return files;
}

/**
 * Picks a model out of files from a picker or a dropped folder: the topmost config.json and what lies
 * beside it.
 * @param {File[]} files
 * @returns {ModelFiles}
 */
function filesByName(files) {
  const depth = (/** @type {File} */ file) => (file.webkitRelativePath || file.name).split('/').length;
  const sorted = [...files].sort((a, b) => depth(a) - depth(b));
  const find = (/** @type {string} */ name) => sorted.find((file) => file.name === name);
  const first = find(NAMES.config) ?? sorted[0];
  const top = first ? depth(first) : 0;
  const shards = sorted.filter((file) => depth(file) === top && file.name.endsWith('.safetensors'));
  /** @type {string[]} */
  const missing = [NAMES.config, NAMES.tokenizer].filter((name) => !find(name));
  if (!shards.length) missing.push('model.safetensors');
  if (missing.length) {
    const expected = `config.json, tokenizer.json and model.safetensors (missing: ${missing.join(', ')})`;
    throw badInput('source', expected, files.map((file) => file.name).join(', ') || 'an empty folder');
  }
  const whole = shards.find((file) => file.name === 'model.safetensors');
  const found = Object.entries(NAMES).map(([key, name]) => [key, whole && key === 'index' ? undefined : find(name)]);
  return { ...Object.fromEntries(found), weights: whole ?? shards };
}
