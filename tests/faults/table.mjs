// record.md: the table of the matrix, as the last run that wrote it found it.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

const PATH = join(ROOT, 'tests', 'faults', 'record.md');

const HEAD = `# Faults: the record of a run

Written by the tests. Each row is a case in \`tests/faults/cases/\`, run in both browsers with the package as it is published. A case ends in the reference text, or in an error with the code
given here; loading again, without clearing anything, then ends in the reference text. \`node scripts/test.mjs faults\` runs all cases and compares them with this page;
\`FAULTS_TABLE=write\` before the command writes it anew.

The columns: what goes wrong; what a user or a program sees; what is fetched a second time; how the case ended in each browser.
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
