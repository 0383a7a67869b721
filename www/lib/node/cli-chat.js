// `fireside chat`: a conversation in a terminal or over a pipe. Each line is a turn, or a command if it
// begins with a slash.
//
//     reads a line, runs it as a command or answers it piece by piece
//     Ctrl-C during an answer stops it and rolls the turn back; at the prompt it ends the program

import { readFileSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Session } from './index.js';
import { CHAT, chatOf, helpOf, MODEL, modelOf, parse, SAMPLING, samplingOf } from './cli-options.js';
import { loadModel, say, write } from './cli-run.js';

/** @import { GenerateOptions, SessionOptions } from '../shared/types.d.ts' */
/** @import { Model } from './index.js' */
/** @import { Run } from '../client/run.js' */

const OPTIONS = { ...MODEL, ...SAMPLING, ...CHAT };
const USAGE = `Chat with a model; /help in the chat lists its commands

Usage: fireside chat --model DIR [OPTIONS]`;

/** The commands, one in a line, as /help shows them. The native program reads the same file. */
const HELP = readFileSync(new URL('./chat-help.txt', import.meta.url), 'utf8');

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function chat(args) {
  const { values, help } = parse(args, OPTIONS);
  if (help) {
    process.stdout.write(helpOf(USAGE, OPTIONS));
    return 0;
  }
  const { source, options } = modelOf(values);
  const model = await loadModel(source, options);
  const conversation = new Conversation(model, samplingOf(values), chatOf(values));
  const lines = new Lines();
  lines.onInterrupt = () => {
    if (conversation.stop()) return;
    lines.end(130);
    if (conversation.isAnswering) process.exit(130); // it was told to stop, but has not
  };
  try {
    await conversation.check();
    for (let line; (line = await lines.next(conversation.prompt)) !== undefined; ) {
      if (line.startsWith('/') && line.slice(1).trim() === 'exit') break;
      await conversation.take(line).catch(tell);
    }
  } finally {
    lines.end(lines.status);
    model.dispose();
  }
  return lines.status;
}

/** Prints the error of a line; the chat goes on. @param {unknown} error */
function tell(error) {
  say(`fireside: ${error instanceof Error ? error.message : error}\n`);
}

/** The chat, the chats it was cloned from, and what each line does to them. */
class Conversation {
  #model;
  #options;
  #session;
  /** The chats left by /clone, the latest last. @type {Session[]} */
  #left = [];
  /** Stops the running answer. @type {AbortController | undefined} */
  #stop;

  /** @param {Model} model @param {GenerateOptions} options @param {SessionOptions} opening */
  constructor(model, options, opening) {
    this.#model = model;
    this.#options = options;
    this.#session = model.session(opening);
    this.#listen();
  }

  /** The prompt shows how many copies deep the chat is. */
  get prompt() {
    return `${'copy '.repeat(this.#left.length)}> `;
  }

  /**
   * Rejects if the engine refuses the options. An empty chat has nothing to regenerate, but the engine
   * checks the options first.
   */
  async check() {
    await this.#session.regenerate(this.#options).catch((error) => {
      if (error.code === 'BAD_OPTION') throw error;
    });
  }

  get isAnswering() {
    return this.#stop !== undefined;
  }

  /** Stops the running answer. Returns whether there was one that was not stopped before. */
  stop() {
    if (!this.#stop || this.#stop.signal.aborted) return false;
    this.#stop.abort();
    return true;
  }

  /** Runs a line. @param {string} line */
  async take(line) {
    if (!line.trim()) return undefined;
    if (!line.startsWith('/')) return this.#answer((options) => this.#session.chat(line, options));
    const [, name, rest] = /** @type {RegExpExecArray} */ (/^\/(\S*)\s*(.*?)\s*$/s.exec(line));
    if (!Object.hasOwn(COMMANDS, name)) throw new Error(`there is no command /${name}; /help lists them`);
    const takesFile = HELP.includes(`/${name} FILE`);
    if (takesFile && !rest) throw new Error(`/${name} needs a file: /${name} FILE`);
    if (!takesFile && rest) throw new Error(`/${name} takes no argument; /help lists the commands`);
    return COMMANDS[name](this, rest);
  }

  async reset() {
    await this.#session.reset();
    say('[a new chat]\n');
  }

  regenerate() {
    return this.#answer((options) => this.#session.regenerate(options));
  }

  /** @param {(options: GenerateOptions) => Run} begin */
  async #answer(begin) {
    const stop = (this.#stop = new AbortController());
    try {
      await write(begin({ ...this.#options, signal: stop.signal }));
    } catch (error) {
      process.stdout.write('\n');
      if (!stop.signal.aborted) throw error;
      say('[stopped: the chat is as it was before this turn]\n');
    } finally {
      this.#stop = undefined;
    }
  }

  /** Writes the whole file or none. @param {string} file */
  async save(file) {
    const bytes = await this.#session.save();
    const part = `${file}.part`;
    try {
      await writeFile(part, bytes);
      await rename(part, file);
    } catch (error) {
      await rm(part, { force: true }).catch(() => {}); // it may not exist
      throw new Error(`cannot write ${file}: ${reason(error)}`);
    }
    say(`[saved in ${file}: ${await this.#size()}, ${(bytes.length / 1e6).toFixed(1)} MB]\n`);
  }

  /** @param {string} file */
  async load(file) {
    const bytes = await readFile(file).catch((error) => {
      throw new Error(`cannot read ${file}: ${reason(error)}`);
    });
    const restored = await Session.restore(this.#model, bytes).catch((error) => {
      throw new Error(`${file}: ${error.message}`);
    });
    this.#change(restored).dispose();
    say(`[loaded from ${file}: ${await this.#size()}]\n`);
  }

  async clone() {
    this.#left.push(this.#change(await this.#session.clone()));
    say('[in a copy of the chat; /back leaves it]\n');
  }

  async back() {
    const before = this.#left.pop();
    if (!before) throw new Error('this is not a copy; /clone makes one');
    this.#change(before).dispose();
    say(`[back in the chat as it was: ${await this.#size()}]\n`);
  }

  /** Continues with another session. Returns the former one. @param {Session} session */
  #change(session) {
    const left = this.#session;
    this.#session = session;
    this.#listen();
    return left;
  }

  #listen() {
    this.#session.oncontextoverflow = ({ detail: { droppedMessages, droppedTokens } }) =>
      say(`[the context is full: ${droppedMessages} messages and ${droppedTokens} tokens were dropped]\n`);
  }

  /** The length of the chat, in words. */
  async #size() {
    const [messages, { contextUsage }] = await Promise.all([this.#session.messages(), this.#session.stats()]);
    return `${messages.length} messages, ${contextUsage} tokens`;
  }
}

/**
 * The commands. `file`: the argument of those that take one.
 * @type {Record<string, (conversation: Conversation, file: string) => Promise<void> | void>}
 */
const COMMANDS = {
  help: () => void say(HELP),
  regenerate: (conversation) => conversation.regenerate(),
  clone: (conversation) => conversation.clone(),
  back: (conversation) => conversation.back(),
  save: (conversation, file) => conversation.save(file),
  load: (conversation, file) => conversation.load(file),
  reset: (conversation) => conversation.reset(),
};

/** Why a file could not be read or written, without the name of the system call. @param {any} error */
function reason(error) {
  return /^\w+: (.*?),/.exec(error.message)?.[1] ?? error.message;
}

/**
 * Lines of standard input, typed at a prompt with readline's keys and history, or piped. Lines typed during
 * an answer wait.
 */
class Lines {
  /** Called on Ctrl-C. */
  onInterrupt = () => {};
  /** The exit status of the program. */
  status = 0;
  #isTerminal = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  #reader = createInterface({ input: process.stdin, output: this.#isTerminal ? process.stderr : undefined, terminal: this.#isTerminal });
  /** @type {string[]} */
  #waiting = [];
  #isOver = false;
  #wake = () => {};

  constructor() {
    this.#reader.on('line', (line) => {
      this.#waiting.push(line);
      this.#wake();
    });
    this.#reader.on('close', () => {
      this.#isOver = true;
      this.#wake();
    });
    // In a terminal under readline, Ctrl-C is a key; otherwise it is a signal.
    this.#reader.on('SIGINT', () => this.onInterrupt());
    process.on('SIGINT', this.#onSignal);
  }

  #onSignal = () => this.onInterrupt();

  /** The next line; undefined at the end of the input. @param {string} prompt */
  async next(prompt) {
    this.#reader.setPrompt(prompt);
    if (this.#isTerminal && this.#waiting.length === 0 && !this.#isOver) this.#reader.prompt();
    while (this.#waiting.length === 0 && !this.#isOver) await new Promise((resolve) => (this.#wake = () => resolve(undefined)));
    return this.status === 0 ? this.#waiting.shift() : undefined;
  }

  /** No more lines. @param {number} status */
  end(status) {
    this.status = status;
    process.off('SIGINT', this.#onSignal);
    this.#reader.close();
  }
}
