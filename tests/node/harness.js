// What the tests for Node share: the library, the story model with its golden text, programs in their own
// processes, and a local hub.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../../scripts/tools.mjs';

export const STORY = join(ROOT, 'models', 'story');
export const ENTRY = pathToFileURL(join(ROOT, 'www', 'lib', 'node', 'index.js')).href;
export const GREEDY = { temperature: 0, repetitionPenalty: 1 };

/** A prompt for the story model, and transformers' text for it. */
export const [{ prompt: PROMPT, greedy: GOLDEN }] = JSON.parse(readFileSync(join(ROOT, 'tests', 'golden', 'story.json'), 'utf8')).cases;

/** An empty folder, removed after the test file. */
export function folder() {
  const path = mkdtempSync(join(tmpdir(), 'fireside-node-'));
  after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/**
 * Starts a program with these lines and the library imported. `output` is what it prints; `done` resolves
 * with its exit status, and rejects if it does not end.
 * @param {string} lines
 * @param {{ env?: object, flags?: string[], patienceMs?: number }} [settings]
 */
export function program(lines, { env = {}, flags = [], patienceMs = 30_000 } = {}) {
  const source = `import { Model, Session, cache } from ${JSON.stringify(ENTRY)};\n${lines}`;
  const args = [...flags, '--input-type=module', '--eval', source];
  const child = spawn(process.execPath, args, { env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const started = { child, output: '', errors: '', done: Promise.resolve() };
  child.stdout.setEncoding('utf8').on('data', (text) => (started.output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (started.errors += text));
  started.done = new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new assert.AssertionError({ message: `the program did not end: ${started.output}${started.errors}` }));
    }, patienceMs);
    child.on('close', (status, signal) => {
      clearTimeout(late);
      resolve(signal ?? status);
    });
  });
  return started;
}

/**
 * Runs a program to its end. Resolves with the JSON that it printed.
 * @param {string} lines
 * @param {Parameters<typeof program>[1]} [settings]
 */
export async function told(lines, settings) {
  const started = program(lines, settings);
  assert.equal(await started.done, 0, started.errors);
  return JSON.parse(started.output);
}
