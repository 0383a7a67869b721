#!/usr/bin/env node
// The command line of the npm package. `chat`, `generate`, `inspect` and `lock` are those of the native
// `fireside`.
//
// Text goes to standard output and everything else to standard error, so that an answer can be piped. Exit
// status: 0, 1 for a failure, 2 for wrong arguments, 130 for Ctrl-C.

import { readFileSync } from 'node:fs';
import { Usage } from './cli-options.js';

const HELP = `Language models that run inside a browser tab; this program runs them in a terminal.

Usage: fireside COMMAND [OPTIONS]

  chat               Chat with a model
  generate PROMPT    Continue a text
  serve              Answer HTTP requests of OpenAI's API
  models             Print tested published models
  estimate           Compute the memory of a model before its download
  inspect            Show what a model contains
  cache              List, verify or delete downloaded models
  lock FOLDER        Write the checksums with which browsers check a model

  --help             Print this, or the options of a command: fireside chat --help
  --version          Print the version
`;

/**
 * Each command gets the arguments after its name, and resolves with the exit status.
 * @type {Record<string, (args: string[]) => Promise<number>>}
 */
const COMMANDS = {
  chat: async (args) => (await import('./cli-chat.js')).chat(args),
  generate: async (args) => (await import('./cli-generate.js')).generate(args),
  serve: async (args) => (await import('./serve.js')).serve(args),
  models: async (args) => (await import('./cli-models.js')).models(args),
  estimate: async (args) => (await import('./cli-inspect.js')).estimate(args),
  inspect: async (args) => (await import('./cli-inspect.js')).inspect(args),
  cache: async (args) => (await import('./cli-cache.js')).manage(args),
  lock: async (args) => (await import('./cli-lock.js')).lock(args),
};

/** @param {string[]} args @returns {Promise<number>} */
async function main([name, ...rest]) {
  if (name === '--version') {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    process.stdout.write(`fireside-lm ${version}\n`);
    return 0;
  }
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(HELP);
    return 0;
  }
  if (name === undefined) throw new Usage(`a command is missing\n\n${HELP}`);
  if (!Object.hasOwn(COMMANDS, name)) throw new Usage(`there is no command \`${name}\`. The commands are ${Object.keys(COMMANDS).join(', ')}`);
  return COMMANDS[name](rest);
}

// The program that reads the text has closed the pipe.
process.stdout.on('error', (error) => {
  if (Reflect.get(error, 'code') === 'EPIPE') process.exit(0);
  throw error;
});

main(process.argv.slice(2)).then(
  (status) => (process.exitCode = status),
  (error) => {
    process.stderr.write(`fireside: ${error instanceof Error ? error.message : error}\n`);
    process.exitCode = error instanceof Usage ? 2 : 1;
  },
);
