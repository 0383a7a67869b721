// Finds a model among files from a picker, of a dropped folder, or of a folder on disk. Few visits load this
// module: most models are loaded by their address.

import { badInput } from '../shared/errors.js';
import { isGguf } from './address.js';
import { isGgufFile, isPartOf, modelsAmong } from './gguf.js';
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
  return isList && (isFolder || files.length) ? await filesByName(files) : undefined;
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

/** @param {File} file */
const depth = (file) => (file.webkitRelativePath || file.name).split('/').length;

/**
 * Picks a model out of files from a picker or a dropped folder: the topmost config.json and what lies
 * beside it, or the topmost GGUF file.
 * @param {File[]} files
 * @returns {Promise<ModelFiles>}
 */
async function filesByName(files) {
  const sorted = [...files].sort((a, b) => depth(a) - depth(b));
  const find = (/** @type {string} */ name) => sorted.find((file) => file.name === name);
  const first = find(NAMES.config) ?? sorted[0];
  const top = first ? depth(first) : 0;
  const shards = sorted.filter((file) => depth(file) === top && file.name.endsWith('.safetensors'));
  if (!shards.length && (files.length === 1 ? await isGgufFile(first) : files.some(({ name }) => isGguf(name)))) return ggufIn(sorted);
  /** @type {string[]} */
  const missing = [NAMES.config, NAMES.tokenizer].filter((name) => !find(name));
  if (!shards.length) missing.push('model.safetensors');
  if (missing.length) {
    const expected = `config.json, tokenizer.json and model.safetensors (missing: ${missing.join(', ')}), or a GGUF file`;
    throw badInput('source', expected, files.map((file) => file.name).join(', ') || 'an empty folder');
  }
  const whole = shards.find((file) => file.name === 'model.safetensors');
  const found = Object.entries(NAMES).map(([key, name]) => [key, whole && key === 'index' ? undefined : find(name)]);
  return { ...Object.fromEntries(found), weights: whole ?? shards };
}

/**
 * The one GGUF model among files, with the small files beside it: these go before what it holds.
 * @param {File[]} sorted the topmost first
 * @returns {ModelFiles}
 */
function ggufIn(sorted) {
  const [only] = sorted;
  if (sorted.length === 1) return { weights: only };
  const top = depth(sorted.find(({ name }) => isGguf(name)) ?? only);
  const beside = sorted.filter((file) => depth(file) === top);
  const models = modelsAmong(beside.map(({ name }) => name));
  if (models.length !== 1) throw badInput('source', 'the files of one model', models.join(', ') || 'GGUF files that are no models');
  const small = Object.entries(NAMES).filter(([key]) => key !== 'index');
  const found = small.map(([key, name]) => [key, beside.find((file) => file.name === name)]).filter(([, file]) => file);
  return { ...Object.fromEntries(found), weights: beside.filter(({ name }) => isPartOf(name, models[0])) };
}
