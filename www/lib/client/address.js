// Turns what people copy from the hub (the address of a page, a file or a clone) into the folder of one
// revision of a repository, or into a GGUF file in it. An address that is neither is refused with the right
// spelling.
//
//     hf:owner/name    hf:owner/name@refs/pr/1    hf:owner/name:Q4_K_M    hf:owner/name/file.gguf
//     https://huggingface.co/owner/name/tree/refs%2Fpr%2F1?library=transformers#files

import { badInput } from '../shared/errors.js';

/** The beginnings of the hub's addresses, with or without a scheme, those for git among them. */
const HUB = /^(?:https?:\/\/(?:www\.)?|www\.|ssh:\/\/git@|git@|)(?:huggingface\.co|hf\.co)(?:[/:]|$)/i;

/** The files that tell a model's folder. Another file may belong to another model beside it. */
export const OF_A_MODEL =
  /^(?:(?:config|tokenizer|tokenizer_config|special_tokens_map|generation_config|fireside\.lock|model\.safetensors\.index)\.json|chat_template\.jinja|model(?:-\d+-of-\d+)?\.safetensors)$/;

/**
 * Whether an address leads over a network. The schemes of extensions and apps lead to files on the machine.
 * @param {URL} url
 */
export const isRemote = ({ protocol }) => /^https?:$/.test(protocol);

/** Whether a name, a path or an address is that of a GGUF file. @param {string} path */
export const isGguf = (path) => /\.gguf$/i.test(path);

/** The words that come before a revision in the address of a page. */
const REVISIONS = ['tree', 'blob', 'raw', 'resolve', 'blame', 'commit', 'commits'];

/** The first words of addresses that are not those of a model's owner. */
const NO_OWNER = ['api', 'blog', 'collections', 'datasets', 'docs', 'models', 'organizations', 'papers', 'settings', 'spaces', 'tasks'];

/**
 * @param {string} text
 * @param {string | URL} hub
 * @returns {string | undefined} the address of the folder, which ends in a slash, or of a GGUF file in it. In
 *   place of a file's name may be a word of it: `.../resolve/main/#Q4_K_M`. Undefined: `text` is not an
 *   address of the hub
 */
export function hubAddress(text, hub) {
  const home = String(hub).replace(/\/$/, '');
  if (/^hf:/i.test(text)) return named(text, home);
  const isMirror = text.startsWith(`${home}/`) && !HUB.test(text);
  const prefix = isMirror ? `${home}/` : HUB.exec(text)?.[0];
  if (prefix === undefined) return undefined;
  const [, path, query, word = ''] = /^([^?#]*)(\?[^#]*)?(#.*)?$/s.exec(text.slice(prefix.length)) ?? [];
  const [owner, repository, kind, ...rest] = path.split('/').filter(Boolean);
  // A site that mirrors the hub may have other folders too.
  if (isMirror && !REVISIONS.includes(kind)) return undefined;
  if (!owner || !repository || NO_OWNER.includes(owner)) {
    throw badInput('source', 'a model of the hub, which is written `hf:owner/name`', text);
  }
  const name = `${owner}/${repository.replace(/\.git$/, '')}`;
  // The page of a GGUF file, as the list of a repository's files opens it.
  const shown = new URLSearchParams(query).get('show_file_info') ?? '';
  if (kind === undefined) return at(home, name, 'main', isGguf(shown) ? shown : '', text);
  if (!REVISIONS.includes(kind)) throw badInput('source', `\`hf:${name}\` for this model`, text);
  // The names of pull requests and of converted copies have slashes, which some people do not encode.
  const parts = rest[0] === 'refs' ? 3 : 1;
  const revision = rest.length ? decoded(rest.slice(0, parts).join('/'), text) : 'main';
  const inner = rest.slice(parts);
  const top = `\`hf:${name}@${revision}\``;
  const [file = ''] = inner.slice(-1);
  if (kind === 'tree' ? isGguf(shown) : isGguf(file)) return at(home, name, revision, kind === 'tree' ? shown : inner.join('/'), text);
  if (kind === 'resolve' && path.endsWith('/')) return at(home, name, revision, inner.map((part) => `${part}/`).join('') || word, text);
  if (inner.length === 0 || (inner.length === 1 && kind !== 'tree' && OF_A_MODEL.test(file))) return at(home, name, revision, '', text);
  if (inner.length === 1 && kind !== 'tree') throw badInput('source', `${top} for the model that this file lies beside`, text);
  const folder = at(home, name, revision, `${inner.slice(0, kind === 'tree' ? undefined : -1).join('/')}/`, text);
  throw badInput('source', `${top} for the model at the top of the repository, or \`${folder}\` for one in this folder`, text);
}

/** What may come after `hf:`. */
const SPELLINGS = '`hf:owner/name`, `hf:owner/name@revision`, `hf:owner/name:Q4_K_M` or `hf:owner/name/file.gguf`';

/**
 * @param {string} text `hf:...`
 * @param {string} home
 */
function named(text, home) {
  const [, name, rest = '', tag] = /^hf:(?:\/\/)?([\w.-]+\/[\w.-]+)([@/][\w./%+@() -]*?)?(?::([\w.-]+))?\/?$/i.exec(text) ?? [];
  const [, ofFile, file] = /^(?:@(refs\/[^/]+\/[^/]+|[^/]+))?\/(.+\.gguf)$/i.exec(rest) ?? [];
  const revision = file ? ofFile : /^@(.+)$/.exec(rest)?.[1];
  if (!name || (file ? tag : rest && !revision)) throw badInput('source', SPELLINGS, text);
  return at(home, name, decoded(revision ?? 'main', text), file ?? (tag ? `#${tag.toUpperCase()}` : ''), text);
}

/**
 * @param {string} home
 * @param {string} name
 * @param {string} revision
 * @param {string} inner a folder or a file in it
 * @param {string} text
 */
function at(home, name, revision, inner, text) {
  const unusual = /(^|\/)\.{1,2}(\/|$)|[^\w./+-]/;
  if (unusual.test(`${name}/${revision}`) || /(^|\/)\.{1,2}(\/|$)/.test(inner)) {
    throw badInput('source', SPELLINGS, text);
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
