// The examples of docs/node.md, run as somebody runs them who has installed the package.

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

const written = [
  (/** @type {string} */ text) => assert(text.length > 100 && GOLDEN.text.startsWith(text), text),
  (/** @type {string} */ text) => assert.equal(text, 'Your name is Ada.\n'),
];

for (const [index, { code }] of examples('docs/node.md').entries()) {
  test(`example ${index + 1} of docs/node.md writes what it says`, () => {
    writeFileSync(join(project, `example-${index}.js`), code);
    written[index](execFileSync(process.execPath, [`example-${index}.js`], { cwd: project, encoding: 'utf8' }));
  });
}
