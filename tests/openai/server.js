// `fireside serve` as a separate process, with the bundled models.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../../scripts/tools.mjs';

export const folder = (/** @type {string} */ model) => join(ROOT, 'models', model);
const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');

/**
 * Starts it with these arguments. `ended` resolves with its exit status.
 * @param {string[]} args
 * @param {string[]} [node] Node's own arguments
 */
export function start(args, node = []) {
  const child = spawn(process.execPath, [...node, CLI, 'serve', ...args], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  const program = { child, output: '', errors: '', ended: new Promise((resolve) => child.on('close', (status, signal) => resolve(signal ?? status))) };
  child.stdout.setEncoding('utf8').on('data', (text) => (program.output += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (program.errors += text));
  return program;
}

/**
 * Starts it on a free port and waits until it listens. Resolves with its URL and a function that ends it.
 * @param {string[]} args
 * @param {string[]} [node]
 */
export async function serving(args, node) {
  const program = start([...args, '--port', '0'], node);
  const url = await new Promise((resolve, reject) => {
    program.child.stdout.on('data', () => {
      const found = program.output.match(/http:\/\/127\.0\.0\.1:(\d+)\/v1/);
      if (found) resolve(found[0]);
    });
    program.ended.then((status) => reject(new Error(`it ended with ${status}: ${program.errors}`)));
  });
  return Object.assign(program, { url, stop: (signal = 'SIGTERM') => (program.child.kill(signal), program.ended) });
}
