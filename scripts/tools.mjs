// What the scripts share: the repository's root, and how to find and run programs.

import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** The repository's root folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** A failure that the user can act on: printed as one line, without a stack. */
export class Trouble extends Error {}

/** Whether the file at `path` exists and is executable. */
function isProgram(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * All programs with one of `names`, in order: an absolute path, or a name looked up in PATH and then in
 * `folders`.
 */
export function findAll(names, folders = []) {
  const places = [...(process.env.PATH ?? '').split(delimiter), ...folders].filter(Boolean);
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const paths = (name) => (/[\\/]/.test(name) ? [name] : places.map((folder) => join(folder, name + suffix)));
  return names.filter(Boolean).flatMap(paths).filter(isProgram);
}

/** The first of them. */
export function find(names, folders) {
  return findAll(names, folders)[0];
}

/**
 * Runs a program in the repository's root. Resolves with its exit status and its output (stdout and stderr
 * together). `show` also prints the output as it comes; `env` is added to this process's environment. Never
 * rejects: a program that cannot start has status 127.
 */
export function run(program, args, { env = {}, show = false } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      from.setEncoding('utf8').on('data', (text) => {
        output += text;
        if (show) to.write(text);
      });
    }
    child.on('error', (error) => resolve({ status: 127, output: `${output}${error.message}\n` }));
    child.on('close', (status, signal) => resolve({ status: status ?? 128, output: signal ? `${output}ended by ${signal}\n` : output }));
  });
}

/**
 * Like `run`, but a failure throws a `Trouble` that says which step failed and ends with the program's last
 * lines.
 */
export async function must(what, program, args, options = {}) {
  const { status, output } = await run(program, args, options);
  if (status === 0) return output;
  const tail = options.show ? '' : `\n${output.trimEnd().split('\n').slice(-20).join('\n')}`;
  throw new Trouble(`${what} failed: \`${[program, ...args].join(' ')}\` ended with status ${status}${tail}`);
}

/** Runs `main` if the module at `url` (its `import.meta.url`) is the one that node was started with. */
export async function command(url, main) {
  if (!process.argv[1] || url !== pathToFileURL(process.argv[1]).href) return;
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    console.error(error instanceof Trouble ? error.message : error);
    process.exitCode = 1;
  }
}
