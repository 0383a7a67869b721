// docs/faults.md: the table of the matrix, as a run of it has found things to be.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

const PATH = join(ROOT, 'docs', 'faults.md');

const HEAD = `# Faults and what becomes of them

Written by the tests: every line is a case in \`tests/faults/cases/\`, run in both browsers with the package as it ships. It ends in the text that the
reference writes, or in an error with the code that is named here, after which loading again, with nothing cleared, ends in that text.
\`node scripts/test.mjs faults\` runs them all and compares; \`FAULTS_TABLE=write\` before it brings this page up to date.

The columns: what goes wrong; what a user, or a program, sees; what is fetched a second time because of it; how it ended in each browser.
`;

/**
 * @param {{ section: string, fault: string, sees: string, again: string }[]} cases
 * @param {Map<string, string>} ended by `browser fault`
 */
export function renderTable(cases, ended) {
  const sections = new Map();
  for (const one of cases) sections.set(one.section, [...(sections.get(one.section) ?? []), one]);
  const cell = (name, { fault }) => ended.get(`${name} ${fault}`) ?? 'did not end as it should';
  const word = (end) => (/^[A-Z]/.test(end) ? `\`${end}\`` : end);
  const row = (one) => `| ${[one.fault, one.sees, one.again, word(cell('chrome', one)), word(cell('firefox', one))].join(' | ')} |`;
  const parts = Array.from(sections, ([section, rows]) =>
    [`## ${section}\n`, '| Fault | Seen | Fetched again | Chromium | Firefox |', '|---|---|---|---|---|', ...rows.map(row)].join('\n'),
  );
  return `${[HEAD, ...parts].join('\n')}\n`.replaceAll('\n## ', '\n\n## ').replace(/\n{3,}/g, '\n\n');
}

/** The page as it stands in the repository. */
export function committedTable() {
  try {
    return readFileSync(PATH, 'utf8');
  } catch {
    return '';
  }
}

/** @param {string} text */
export function writeTable(text) {
  writeFileSync(PATH, text);
}
