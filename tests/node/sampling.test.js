// The example of docs/sampling.md, run as a user of the installed package runs it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { examples } from '../docs.js';
import { folder } from './harness.js';

test('the example of docs/sampling.md writes what the page says', () => {
  const project = folder();
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(join(ROOT, 'dist', 'npm'), join(project, 'node_modules', 'fireside-lm'), 'junction');
  symlinkSync(join(ROOT, 'models'), join(project, 'models'), 'junction');
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  const [{ code }] = examples('docs/sampling.md');
  writeFileSync(join(project, 'example.js'), code);
  const written = execFileSync(process.execPath, ['example.js'], { cwd: project, encoding: 'utf8' });
  const said = [...code.matchAll(/console\.log\(.*; \/\/ (.*)$/gm)].map(([, line]) => line);
  assert.deepEqual(written.trimEnd().split('\n'), said);
});
