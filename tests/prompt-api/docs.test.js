// Checks that docs/prompt-api.md has the table of this folder, word for word. PROMPT_API_TABLE=write
// updates the page.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { TABLE } from './table.js';

const PAGE = join(ROOT, 'docs', 'prompt-api.md');
const [BEGIN, END] = ['<!-- the table, by the tests -->\n', '<!-- end of the table -->\n'];

/** @param {(typeof TABLE)[number]} group */
function section({ title, rows }) {
  const lines = rows.map(({ behaviour, source, differs = '' }) => `| ${[behaviour, source, differs].map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`);
  return `### ${title}\n\n| Behaviour | Source | How ours differs |\n|---|---|---|\n${lines.join('\n')}\n`;
}

test('the page has every row of the table', () => {
  const page = readFileSync(PAGE, 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest.split(END)[1];
  const expected = `${before}${BEGIN}\n${TABLE.map(section).join('\n')}\n${END}${after}`;
  if (process.env.PROMPT_API_TABLE === 'write') writeFileSync(PAGE, expected);
  else assert.equal(page, expected, 'PROMPT_API_TABLE=write node --test tests/prompt-api/docs.test.js');
});

test('no behaviour occurs twice', () => {
  const all = TABLE.flatMap(({ rows }) => rows.map(({ behaviour }) => behaviour));
  assert.equal(new Set(all).size, all.length);
});
