// record.md: the table of the matrix, as the last run wrote it.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

const PATH = join(ROOT, 'tests', 'faults', 'record.md');

const HEAD = `# Faults: the record of a run

The tests write this page. Each row is a case in \`tests/faults/cases/\`, run in both browsers with the published package. A case ends with the reference text, or with an error that has the
code given here. Loading again without clearing anything then gives the reference text. \`node scripts/test.mjs faults\` runs all cases and compares them with this page;
\`FAULTS_TABLE=write\` before the command updates it.

The columns: the fault; what a user or a program sees; what is fetched a second time; how the case ended in each browser.
`;

/**
 * @param {{ section: string, fault: string, sees: string, again: string }[]} cases
 * @param {Map<string, string>} ended by `browser fault`
 */
export function renderTable(cases, ended) {
  const sections = new Map();
  for (const one of cases) sections.set(one.section, [...(sections.get(one.section) ?? []), one]);
  const cell = (name, { fault }) => ended.get(`${name} ${fault}`) ?? 'did not end as expected';
  const word = (end) => (/^[A-Z]/.test(end) ? `\`${end}\`` : end);
  const row = (one) => `| ${[one.fault, one.sees, one.again, word(cell('chrome', one)), word(cell('firefox', one))].join(' | ')} |`;
  const parts = Array.from(sections, ([section, rows]) =>
    [`## ${section}\n`, '| Fault | Seen | Fetched again | Chromium | Firefox |', '|---|---|---|---|---|', ...rows.map(row)].join('\n'),
  );
  return `${[HEAD, ...parts].join('\n')}\n`.replaceAll('\n## ', '\n\n## ').replace(/\n{3,}/g, '\n\n');
}

/** The page in the repository. */
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
