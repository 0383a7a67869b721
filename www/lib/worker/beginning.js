// The beginning of a weight file, for an estimate that asks for more and more of it. Whole chunks are not
// fetched again.

import { joined } from '../shared/bytes.js';
import { CHUNK_BYTES } from '../shared/store.js';
import { Download } from './download.js';

/** @import { Net, Wanted } from './download.js' */
/** @import { Version } from './versions.js' */

export class Beginning {
  /**
   * What was read last, where it is whole chunks.
   * @type {{ url: string, parts: Uint8Array[], digests: string[], version?: Version, size?: number } |
   *   undefined}
   */
  #read;

  /**
   * The first bytes of a file, at least `bytes` where it has as many; undefined: there is no such file.
   * @param {Wanted} wanted
   * @param {number} bytes
   * @param {Net} net
   */
  async read(wanted, bytes, net) {
    const { url } = wanted;
    const there = this.#read?.url === url ? this.#read : { url, parts: [], digests: [] };
    this.#read = undefined;
    const download = new Download(wanted, net, there, bytes);
    if (!(await download.open())) return undefined;
    const { parts, digests } = there;
    for await (const { bytes: part, sha256 } of download.chunks()) {
      parts.push(part);
      digests.push(sha256);
    }
    if (parts.at(-1)?.length === CHUNK_BYTES) this.#read = { url, parts, digests, version: download.version, size: download.size };
    return joined(parts);
  }
}
