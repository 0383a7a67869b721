// `fireside chat`: a conversation in a terminal, or over a pipe, a line for each turn. Lines that begin with / are commands.
//
//     a line is read; it is a command, or it is answered, piece by piece
//     Ctrl-C while an answer is being written stops it, and it has never been; at the prompt it ends the program

import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Session } from './index.js';
import { helpOf, MODEL, modelOf, parse, SAMPLING, samplingOf } from './cli-options.js';
import { loadModel, say, write } from './cli-run.js';

/** @import { GenerateOptions } from '../types.d.ts' */
/** @import { Model } from './index.js' */
/** @import { Run } from '../run.js' */

const OPTIONS = { ...MODEL, ...SAMPLING, system: { key: 'system', takes: 'TEXT', about: 'What the model is told before the chat' } };
const USAGE = `Talk with a model; /help in the chat tells its commands

Usage: fireside chat --model DIR [OPTIONS]`;

const COMMANDS = `  /help         this
  /save FILE    write the chat to a file, with what was computed for it
  /load FILE    go on with the chat of a file
  /clone        go on in a copy of the chat
  /back         leave the copy: the chat as it was at /clone
  /regenerate   answer the last message anew
  /reset        forget the chat
  /exit         end; so does Ctrl-D. Ctrl-C stops an answer
`;

/** @param {string[]} args @returns {Promise<number>} the exit status */
export async function chat(args) {
  const { values, help } = parse(args, OPTIONS);
  if (help) {
    process.stdout.write(helpOf(USAGE, OPTIONS));
    return 0;
  }
  const { source, options } = modelOf(values);
  const model = await loadModel(source, options);
  const lines = new Lines();
  const conversation = new Conversation(model, samplingOf(values), values.system);
  lines.onInterrupt = () => {
    if (conversation.stop()) return;
    lines.end(130);
    if (conversation.isAnswering) process.exit(130); // it was told to stop before, and has not
  };
  try {
    await conversation.begin();
    for (let line = await lines.next(); line !== undefined; line = await lines.next()) {
      if (!(await conversation.take(line).catch(tell))) break;
    }
  } finally {
    lines.end(lines.status);
    model.dispose();
  }
  return lines.status;
}

/** A line that went wrong is told, and the chat goes on. @param {unknown} error */
function tell(error) {
  say(`fireside: ${error instanceof Error ? error.message : error}\n`);
  return true;
}

/** The chat, the chats that it was cloned from, and what each line does to them. */
class Conversation {
  #model;
  #options;
  #system;
  #session;
  /** Left by /clone, the latest last. @type {Session[]} */
  #left = [];
  /** Of the answer under way. @type {AbortController | undefined} */
  #stop;

  /** @param {Model} model @param {GenerateOptions} options @param {string} [system] */
  constructor(model, options, system) {
    this.#model = model;
    this.#options = options;
    this.#system = system;
    this.#session = model.session();
  }

  /** An empty chat, but for what the model is told before it. */
  async begin() {
    await this.#session.reset();
    if (this.#system !== undefined) await this.#session.setMessages([{ role: 'system', content: this.#system }]);
  }

  get isAnswering() {
    return this.#stop !== undefined;
  }

  /** Stops the answer under way. Returns whether there was one that had not been told before. */
  stop() {
    if (!this.#stop || this.#stop.signal.aborted) return false;
    this.#stop.abort();
    return true;
  }

  /** Does what a line says. Resolves with whether the chat goes on. @param {string} line */
  async take(line) {
    const [, word, rest] = /^\s*(\/\S*)?\s*(.*?)\s*$/s.exec(line) ?? [];
    if (word === undefined) {
      if (rest) await this.#answer((options) => this.#session.chat(line, options));
      return true;
    }
    switch (word) {
      case '/exit':
        return false;
      case '/help':
        say(COMMANDS);
        return true;
      case '/reset':
        await this.begin();
        return true;
      case '/regenerate':
        await this.#answer((options) => this.#session.regenerate(options));
        return true;
      case '/save':
        await this.#save(named(word, rest));
        return true;
      case '/load':
        await this.#load(named(word, rest));
        return true;
      case '/clone':
        await this.#clone();
        return true;
      case '/back':
        this.#back();
        return true;
      default:
        throw new Error(`there is no command ${word}; /help lists them`);
    }
  }

  /** @param {(options: GenerateOptions) => Run} begin */
  async #answer(begin) {
    const stop = (this.#stop = new AbortController());
    try {
      await write(begin({ ...this.#options, signal: stop.signal }));
    } catch (error) {
      process.stdout.write('\n');
      if (!stop.signal.aborted) throw error;
      say('[stopped: the turn is not part of the chat]\n');
    } finally {
      this.#stop = undefined;
    }
  }

  /** A file is there as a whole or not at all. @param {string} file */
  async #save(file) {
    const bytes = await this.#session.save();
    const part = `${file}.part`;
    try {
      await writeFile(part, bytes);
      await rename(part, file);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
    say(`[saved ${bytes.length} bytes]\n`);
  }

  /** @param {string} file */
  async #load(file) {
    const restored = await Session.restore(this.#model, await readFile(file));
    this.#session.dispose();
    this.#session = restored;
    say(`[a chat of ${(await restored.messages()).length} messages]\n`);
  }

  async #clone() {
    const copy = await this.#session.clone();
    this.#left.push(this.#session);
    this.#session = copy;
    say(`[a copy; /back leaves it]\n`);
  }

  #back() {
    const before = this.#left.pop();
    if (!before) throw new Error('there is no chat to go back to: /clone makes a copy');
    this.#session.dispose();
    this.#session = before;
    say('[the chat as it was]\n');
  }
}

/** @param {string} word @param {string} file */
function named(word, file) {
  if (!file) throw new Error(`${word} needs the name of a file`);
  return file;
}

/** Lines of standard input: typed at a prompt, with a history and the keys of readline, or piped. What is typed while an answer is being written waits. */
class Lines {
  /** What Ctrl-C does. */
  onInterrupt = () => {};
  /** With which the program ends. */
  status = 0;
  #isTerminal = Boolean(process.stdin.isTTY && process.stderr.isTTY);
  #reader = createInterface({ input: process.stdin, output: this.#isTerminal ? process.stderr : undefined, terminal: this.#isTerminal, prompt: '> ' });
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
    // In a terminal that readline has in its hands Ctrl-C is a key; else it is a signal.
    this.#reader.on('SIGINT', () => this.onInterrupt());
    process.on('SIGINT', this.#onSignal);
  }

  #onSignal = () => this.onInterrupt();

  /** The next line; undefined when there is none. */
  async next() {
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
