// A fake hub: the file list of a repository at a revision, and its files by commit or by revision, large
// ones through a redirect.

import { createHash } from 'node:crypto';

export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/**
 * @param {Buffer} bytes
 * @returns {string} git's name for a file with this content
 */
const blobId = (bytes) => createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/**
 * The file list.
 * @param {Map<string, Buffer>} files
 * @param {(listing: any) => void} [edit]
 */
function listing(files, edit) {
  const siblings = [...files].map(([rfilename, bytes]) => {
    const entry = { rfilename, size: bytes.length, blobId: blobId(bytes) };
    if (!/\.(safetensors|gguf)$/.test(rfilename)) return entry;
    return { ...entry, lfs: { sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length, pointerSize: 134 } };
  });
  const answer = { id: 'owner/name', sha: COMMIT, siblings };
  edit?.(answer);
  return JSON.stringify(answer);
}

/**
 * Answers one request to a hub.
 * @param {any} hub `folder`: the repository's files; `api`: a growing list of the requests for the file
 *   list; `listingFault`: a response in place of it (`{ status, body, wait }`); `edit(listing)`: introduces
 *   a fault; `weightsAt`: where weights are redirected to
 * @param {string} path
 * @param {URLSearchParams} query
 * @param {any} request
 * @param {any} response
 * @param {string} origin
 */
export async function hubAnswer(hub, path, query, request, response, origin) {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Expose-Headers', 'ETag, Content-Range, X-Repo-Commit, X-Linked-Etag, X-Linked-Size');
  const asked = /^api\/models\/owner\/name\/revision\/(.+)$/.exec(path);
  if (asked) {
    hub.api.push(`${asked[1]}?${query}`);
    const { status = 200, body = listing(hub.folder.files, hub.edit), wait } = hub.listingFault ?? {};
    await wait;
    return response.writeHead(status, { 'Content-Type': 'application/json' }).end(body);
  }
  const [, revision, file] = /^owner\/name\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
  if (!file) return response.writeHead(404, { 'Content-Type': 'application/json' }).end('{"error":"Repository not found"}');
  hub.revisions = [...new Set([...(hub.revisions ?? []), revision])];
  if (hub.weightsAt && file.endsWith('.safetensors')) return response.writeHead(302, { Location: new URL(file, hub.weightsAt).href }).end();
  return hub.folder.answer(file, request, response, origin, { 'X-Repo-Commit': COMMIT });
}
