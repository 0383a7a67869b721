// The examples of docs/node.md and docs/session.md, run as a user of the installed package runs them.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { examples } from '../docs.js';
import { folder, GOLDEN } from './harness.js';

const project = folder();
mkdirSync(join(project, 'node_modules'));
symlinkSync(join(ROOT, 'dist', 'npm'), join(project, 'node_modules', 'fireside-lm'), 'junction');
symlinkSync(join(ROOT, 'models'), join(project, 'models'), 'junction');
writeFileSync(join(project, 'package.json'), '{"type": "module"}');

/** Checks of the output of each example. @type {[page: string, check: (text: string) => void][]} */
const written = [
  ['node', (text) => assert(text.length > 100 && GOLDEN.text.startsWith(text), text)],
  ['node', (text) => assert.equal(text, 'Your name is Ada.\n')],
  ['session', (text) => assert.match(text, /^Your name is Ada\. [1-9]\d+\n4 4\ntrue 1\n$/)],
];

const found = ['node', 'session'].flatMap((page) => examples(`docs/${page}.md`).map(({ code }) => ({ page, code })));

for (const [index, { page, code }] of found.entries()) {
  test(`example ${index + 1} of the manual, in docs/${page}.md, writes what the page says`, () => {
    writeFileSync(join(project, `example-${index}.js`), code);
    assert.equal(written[index][0], page);
    written[index][1](execFileSync(process.execPath, [`example-${index}.js`], { cwd: project, encoding: 'utf8' }));
  });
}
