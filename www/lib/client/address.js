// Turns what people copy from the hub (the address of a page, a file or a clone) into the folder of one
// revision of a repository. An address that cannot be such a folder is refused with the right spelling.
//
//     hf:owner/name    hf:owner/name@refs/pr/1
//     https://huggingface.co/owner/name/tree/refs%2Fpr%2F1?library=transformers#files

import { badInput } from '../shared/errors.js';

/** The beginnings of the hub's addresses, with or without a scheme, those for git among them. */
const HUB = /^(?:https?:\/\/(?:www\.)?|www\.|ssh:\/\/git@|git@|)(?:huggingface\.co|hf\.co)(?:[/:]|$)/i;

/** The files that tell a model's folder. Another file may belong to another model beside it. */
export const OF_A_MODEL =
  /^(?:(?:config|tokenizer|tokenizer_config|special_tokens_map|generation_config|fireside\.lock|model\.safetensors\.index)\.json|chat_template\.jinja|model(?:-\d+-of-\d+)?\.safetensors)$/;

/** The words that come before a revision in the address of a page. */
const REVISIONS = ['tree', 'blob', 'raw', 'resolve', 'blame', 'commit', 'commits'];

/** The first words of addresses that are not those of a model's owner. */
const NO_OWNER = ['api', 'blog', 'collections', 'datasets', 'docs', 'models', 'organizations', 'papers', 'settings', 'spaces', 'tasks'];

/**
 * @param {string} text
 * @param {string | URL} hub
 * @returns {string | undefined} the address of the folder; undefined: `text` is not an address of the hub
 */
export function hubFolder(text, hub) {
  const home = String(hub).replace(/\/$/, '');
  if (/^hf:/i.test(text)) {
    const [, name, revision = 'main'] = /^hf:(?:\/\/)?([\w.-]+\/[\w.-]+)(?:@([\w./%+-]+?))?\/?$/i.exec(text) ?? [];
    if (!name) throw badInput('source', '`hf:owner/name` or `hf:owner/name@revision`', text);
    return at(home, name, decoded(revision, text), '', text);
  }
  const isMirror = text.startsWith(`${home}/`) && !HUB.test(text);
  const prefix = isMirror ? `${home}/` : HUB.exec(text)?.[0];
  if (prefix === undefined) return undefined;
  const path = text.slice(prefix.length).split(/[?#]/)[0];
  const [owner, repository, kind, ...rest] = path.split('/').filter(Boolean);
  // A site that mirrors the hub may have other folders too.
  if (isMirror && !REVISIONS.includes(kind)) return undefined;
  if (!owner || !repository || NO_OWNER.includes(owner)) {
    throw badInput('source', 'a model of the hub, which is written `hf:owner/name`', text);
  }
  const name = `${owner}/${repository.replace(/\.git$/, '')}`;
  if (kind === undefined) return at(home, name, 'main', '', text);
  if (!REVISIONS.includes(kind)) throw badInput('source', `\`hf:${name}\` for this model`, text);
  // The names of pull requests and of converted copies have slashes, which some people do not encode.
  const parts = rest[0] === 'refs' ? 3 : 1;
  const revision = rest.length ? decoded(rest.slice(0, parts).join('/'), text) : 'main';
  const inner = rest.slice(parts);
  const top = `\`hf:${name}@${revision}\``;
  const [file] = inner.slice(-1);
  if (kind === 'resolve' && path.endsWith('/')) return at(home, name, revision, inner.map((part) => `${part}/`).join(''), text);
  if (inner.length === 0 || (inner.length === 1 && kind !== 'tree' && OF_A_MODEL.test(file))) return at(home, name, revision, '', text);
  if (inner.length === 1 && kind !== 'tree') throw badInput('source', `${top} for the model that this file lies beside`, text);
  const folder = at(home, name, revision, `${inner.slice(0, kind === 'tree' ? undefined : -1).join('/')}/`, text);
  throw badInput('source', `${top} for the model at the top of the repository, or \`${folder}\` for one in this folder`, text);
}

/**
 * @param {string} home
 * @param {string} name
 * @param {string} revision
 * @param {string} inner a folder in it
 * @param {string} text
 */
function at(home, name, revision, inner, text) {
  const unusual = /(^|\/)\.{1,2}(\/|$)|[^\w./+-]/;
  if (unusual.test(`${name}/${revision}`) || /(^|\/)\.{1,2}(\/|$)/.test(inner)) {
    throw badInput('source', '`hf:owner/name` or `hf:owner/name@revision`', text);
  }
  return `${home}/${name}/resolve/${encodeURIComponent(revision)}/${inner}`;
}

/** @param {string} revision @param {string} text */
function decoded(revision, text) {
  try {
    return decodeURIComponent(revision);
  } catch {
    throw badInput('source', 'a revision that is encoded as addresses are', text);
  }
}
