// The examples of the manual: fenced blocks whose info string ends in `example`. Tests run exactly this
// text.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../scripts/tools.mjs';

/**
 * The examples of a page, in order. Throws if the page has no example, because such a test cannot fail.
 * @param {string} page its path from the repository's root: `docs/node.md`
 * @returns {{ lang: string, code: string }[]} `lang`: the first word of the info string
 */
export function examples(page) {
  const text = readFileSync(join(ROOT, page), 'utf8');
  const found = [...text.matchAll(/^(`{3,})(\S+)(?: \S+)* example\n([\s\S]*?)^\1$/gm)].map(([, , lang, code]) => ({ lang, code }));
  assert(found.length > 0, `${page} has no example`);
  return found;
}
