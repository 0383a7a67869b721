// `npx fireside chat`: the real program, over a pipe and in a terminal (util-linux `script`), with the chat
// model.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { harmless, likelihood } from '../../www/lib/node/cli-run.js';
import { examples } from '../docs.js';
import { folder } from './harness.js';

const CLI = join(ROOT, 'www', 'lib', 'node', 'cli.js');
const CHAT = join(ROOT, 'models', 'chat');
const GREEDY = ['--model', CHAT, '--temperature', '0'];

/** An answer that does not end by itself. */
const ENDLESS = ['--model', CHAT, '--temperature', '1', '--min-tokens', '1000000', '--max-tokens', '1000000', '--overflow', 'shift', '--seed', '1'];

/** Generous, because two cores may be building something else. */
const PATIENCE_MS = 60_000;

/** Programs that a test has left running. @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
after(() => {
  for (const child of running) child.kill('SIGKILL');
});

/**
 * Starts a program for a dialogue. `until(pattern)` waits for output that matches, after the last match.
 * @param {string} file
 * @param {string[]} args
 */
function talk(file, args) {
  const child = spawn(file, args, { env: { ...process.env, NODE_TEST_CONTEXT: undefined, TERM: 'xterm' }, stdio: 'pipe' });
  running.add(child);
  const talking = { child, output: '', errors: '', all: '', at: 0, wake: () => {}, end: Promise.resolve(/** @type {number | string | null} */ (0)) };
  const hear = (/** @type {'output' | 'errors'} */ name) => (/** @type {string} */ text) => {
    talking[name] += text;
    talking.all += text;
    talking.wake();
  };
  child.stdout.setEncoding('utf8').on('data', hear('output'));
  child.stderr.setEncoding('utf8').on('data', hear('errors'));
  child.stdin.on('error', () => {}); // the program may have ended
  talking.end = new Promise((resolve) =>
    child.on('close', (status, signal) => {
      running.delete(child);
      talking.wake();
      resolve(signal ?? status);
    }),
  );
  return {
    ...talking,
    say: (/** @type {string} */ text) => child.stdin.write(text),
    get output() {
      return talking.output;
    },
    get errors() {
      return talking.errors;
    },
    async until(/** @type {RegExp} */ pattern) {
      const deadline = Date.now() + PATIENCE_MS;
      for (;;) {
        const found = pattern.exec(talking.all.slice(talking.at));
        if (found) {
          talking.at += found.index + found[0].length;
          return found;
        }
        assert(running.has(child) && Date.now() < deadline, `waited in vain for ${pattern} in ${JSON.stringify(talking.all.slice(talking.at))}`);
        await Promise.race([new Promise((resolve) => (talking.wake = () => resolve(undefined))), new Promise((resolve) => setTimeout(resolve, 1000).unref())]);
      }
    },
  };
}

const cli = (/** @type {string[]} */ ...args) => talk(process.execPath, [CLI, ...args]);

/**
 * Runs a program to its end.
 * @param {string[]} args
 * @param {string} [input]
 */
function run(args, input = '') {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], { input, encoding: 'utf8', timeout: PATIENCE_MS, env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  return { status, stdout, stderr };
}

test('over a pipe each line is a turn, standard output has only the answers, and the end of the input ends the program', () => {
  const { status, stdout, stderr } = run(['chat', ...GREEDY], 'My name is Ada.\n\nWhat is my name?\n');
  assert.equal(status, 0, stderr);
  const [first, second, ...rest] = stdout.split('\n');
  assert.match(first, /Ada/);
  assert.match(second, /Your name is Ada/);
  assert.deepEqual(rest, ['']);
  assert.match(stderr, /^loaded 6\.1 MB of bf16 weights in [\d.]+ s; \d+ threads?\n/);
  assert.equal(stderr.match(/^\[prompt \d+ tokens, \d+ of them cached, \d+ a second; answer \d+ tokens, \d+ a second; ended by stop\]$/gm)?.length, 2);
});

test('the last line of a pipe counts even without a line end', () => {
  const { status, stdout } = run(['chat', ...GREEDY], 'My name is Ada.');
  assert.equal(status, 0);
  assert.match(stdout, /^[^\n]*Ada[^\n]*\n$/);
});

test('--system sets the system prompt, also after /reset', () => {
  const { stdout, stderr } = run(['chat', ...GREEDY, '--system', 'You are a helpful assistant.'], 'My name is Ada.\n/reset\nMy name is Ada.\n');
  const [first, second] = stdout.split('\n');
  assert.equal(first, second);
  const [one, two] = [...stderr.matchAll(/\[prompt (\d+) tokens, (\d+)/g)];
  assert.equal(one[1], two[1]);
  const without = run(['chat', ...GREEDY], 'My name is Ada.\n').stderr.match(/\[prompt (\d+) tokens/)?.[1];
  assert(Number(one[1]) > Number(without), `${one[1]} and ${without}`);
});

test('--template-kwarg sets a variable of the chat template', () => {
  const unread = run(['chat', ...GREEDY, '--template-kwarg', 'enable_thinking=false'], 'Hello\n');
  assert.deepEqual([unread.status, unread.stdout], [1, '']);
  assert.match(unread.stderr, /chatTemplateKwargs\.enable_thinking`: This model's chat template reads no name of a caller\. Leave it out\./);
  const ours = run(['chat', ...GREEDY, '--template-kwarg', 'messages=[]'], 'Hello\n');
  assert.match(ours.stderr, /chatTemplateKwargs\.messages`: `messages` is set by Fireside or Jinja\. Leave it out\./);
  const wrong = run(['chat', ...GREEDY, '--template-kwarg', 'enable_thinking'], 'Hello\n');
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /--template-kwarg: expected NAME=VALUE, like enable_thinking=false/);
});

test('text is written as it is generated, and a signal stops the answer but not the program', { timeout: PATIENCE_MS }, async () => {
  const chat = cli('chat', ...ENDLESS);
  chat.say('Tell me a story.\n');
  await chat.until(/loaded .*\n/);
  await chat.until(/\w+ \w+ \w+/);
  assert(!chat.errors.includes('[prompt'), 'it continues');
  chat.child.kill('SIGINT');
  await chat.until(/\[stopped: the chat is as it was before this turn\]/);
  chat.say('/regenerate\n');
  await chat.until(/fireside: .*question/);
  chat.child.kill('SIGINT');
  assert.equal(await chat.end, 130);
});

test('after /save and /load a new process answers as the old one would', () => {
  const file = join(folder(), 'ada.chat');
  const old = run(['chat', ...GREEDY], `My name is Ada.\n/save ${file}\nWhat is my name?\n`);
  assert.match(old.stderr, /\[saved in .*ada\.chat: 2 messages, \d+ tokens, \d\.\d MB\]/);
  const fresh = run(['chat', ...GREEDY], `/load ${file}\nWhat is my name?\n`);
  assert.match(fresh.stderr, /\[loaded from .*ada\.chat: 2 messages, \d+ tokens\]/);
  assert.equal(fresh.stdout, old.stdout.split('\n').slice(1).join('\n'));
  assert.match(fresh.stdout, /Ada/);
  const [, prompt, cached] = fresh.stderr.match(/\[prompt (\d+) tokens, (\d+) of them cached/) ?? [];
  assert(Number(cached) > Number(prompt) / 3, `${cached} of ${prompt}: what was computed came along`);
});

test('if a file cannot be written, nothing is left behind; a file that is not a chat is refused; the chat continues', () => {
  const place = folder();
  writeFileSync(join(place, 'no.chat'), 'My name is Ada.');
  mkdirSync(join(place, 'taken'));
  const lines = [`/save ${join(place, 'nowhere', 'x')}`, `/save ${join(place, 'taken')}`, `/load ${join(place, 'none')}`, `/load ${join(place, 'no.chat')}`, '/save', '/load', 'My name is Ada.'];
  const { status, stdout, stderr } = run(['chat', ...GREEDY], `${lines.join('\n')}\n`);
  assert.equal(status, 0);
  assert.match(stdout, /Ada/);
  assert.equal(stderr.match(/^fireside: /gm)?.length, 6);
  for (const sentence of [/cannot write .*nowhere\/x: no such file or directory$/m, /cannot read .*none: no such file or directory$/m, /no\.chat: These bytes are not a saved session/, /\/save needs a file: \/save FILE/]) {
    assert.match(stderr, sentence);
  }
  assert.deepEqual(readdirSync(place), ['no.chat', 'taken']);
});

test('/clone continues in a copy, /back returns, and a second /back is an error', () => {
  const ask = 'What is my name?';
  const whole = (/** @type {string[]} */ ...lines) => {
    const { stdout, stderr } = run(['chat', ...GREEDY], `${lines.join('\n')}\n`);
    return { answers: stdout.split('\n').slice(0, -1), prompts: [...stderr.matchAll(/\[prompt (\d+) tokens/g)].map(([, tokens]) => tokens), stderr };
  };
  const branched = whole('My name is Ada.', '/clone', 'I like the sea.', ask, '/clone', '/back', '/back', ask, '/back');
  const [through, around] = [whole('My name is Ada.', 'I like the sea.', ask), whole('My name is Ada.', ask)];
  for (const name of /** @type {const} */ (['answers', 'prompts'])) assert.deepEqual(branched[name], [...through[name], around[name][1]]);
  assert.match(branched.stderr, /fireside: this is not a copy; \/clone makes one/);
});

test('/regenerate answers the last message again, /reset starts over', () => {
  const { stdout, stderr } = run(['chat', ...GREEDY], 'My name is Ada.\n/regenerate\nWhat is my name?\n/reset\nWhat is my name?\n/regenerate\n');
  const [first, again, asked, forgotten, last] = stdout.split('\n');
  assert.equal(again, first);
  assert.match(asked, /Ada/);
  assert.doesNotMatch(forgotten, /Ada/);
  assert.equal(last, forgotten);
  assert.doesNotMatch(stderr, /^fireside:/m);
});

test('/help lists every command, an unknown command is reported, a leading space makes text, /exit ends', () => {
  const { status, stdout, stderr } = run(['chat', ...GREEDY], '/help\n/nope\n/reset now\n /help\n/exit  \nMy name is Ada.\n');
  assert.equal(status, 0);
  assert.equal(stdout.trim().split('\n').length, 1, stdout);
  for (const command of ['/help', '/save FILE', '/load FILE', '/clone', '/back', '/regenerate', '/reset', '/exit']) assert(stderr.includes(`\n${command} `), command);
  assert.match(stderr, /fireside: there is no command \/nope; \/help lists them/);
  assert.match(stderr, /fireside: \/reset takes no argument/);
  assert.equal(stderr.match(/^\[prompt/gm)?.length, 1);
});

test('the flags are those of the native program', () => {
  const flags = (/** @type {string} */ text) => new Set(text.match(/--[a-z-]+/g));
  const own = flags(run(['chat', '--help']).stdout);
  const source = (/** @type {string} */ file) => readFileSync(join(ROOT, 'src', file), 'utf8');
  // Those that it has besides the table of options, and those that the rows of the table name.
  const besides = [...source('bin/fireside/args.rs').matchAll(/^ {4}(\w+): (?!Flags)/gm)].map(([, name]) => name.replaceAll('_', '-'));
  const rows = ['options/generate.rs', 'options/load.rs'].flatMap((file) => [...source(file).matchAll(/\.flag\("([\w-]+)"/g)]);
  const others = [...besides, ...rows.map(([, name]) => name)].map((name) => `--${name}`);
  assert(others.length > 15, `${others}`);
  assert.deepEqual(others.filter((flag) => !own.has(flag)), []);
});

test('an option that the engine refuses ends the chat before it begins', () => {
  const { status, stdout, stderr } = run(['chat', '--model', CHAT, '--temperature', '-1'], 'a\nb\n');
  assert.equal(status, 1);
  assert.equal(stdout, '');
  assert.match(stderr, /\nfireside: option `temperature`: expected .*\n$/);
});

test('dropped messages are reported, and so are token probabilities', () => {
  const story = 'Tell me a story about the sea. '.repeat(60);
  const { stdout, stderr } = run(['chat', ...GREEDY, '--overflow', 'drop-oldest', '--logprobs', '1', '--max-tokens', '2', '-n', '2'], `${story}\n${story}\n${story}\n`);
  assert.match(stderr, /^\[the context is full: 2 messages and \d+ tokens were dropped\]$/m);
  assert.match(stderr, /^\[-?\d+\.\d{3} ".*" of -?\d+\.\d{3} ".*"\]$/m);
  assert.equal(stderr.match(/^\[completion 2\]$/gm)?.length, 3);
  assert.equal(stdout.trim().split('\n').length, 6, stdout);
});

test('wrong arguments exit with 2 and a sentence that names them', () => {
  for (const [args, sentence] of /** @type {[string[], RegExp][]} */ ([
    [[], /^fireside: a command is missing\n\nLanguage models/],
    [['talk'], /^fireside: there is no command `talk`/],
    [['toString'], /^fireside: there is no command `toString`/],
    [['chat'], /^fireside: --model is missing/],
    [['chat', '--modle', 'x'], /^fireside: Unknown option '--modle'\n$/],
    [['chat', '--model'], /^fireside: .*--model/],
    [['chat', '--model', CHAT, 'hello'], /^fireside: unexpected argument "hello"\n$/],
    [['chat', '--model', CHAT, '--top-k', 'many'], /^fireside: --top-k: expected a number, got "many"\n$/],
    [['chat', '--model', CHAT, '--logit-bias', '5'], /^fireside: --logit-bias: expected ID=BIAS, got "5"\n$/],
    [['generate', '--model', CHAT], /^fireside: PROMPT is missing\n$/],
  ])) {
    const { status, stdout, stderr } = run(args);
    assert.equal(status, 2, `${args} ${stderr}`);
    assert.match(stderr, sentence);
    assert.equal(stdout, '');
  }
});

test('a missing or invalid model exits with 1 and says so', () => {
  const empty = folder();
  for (const [model, sentence] of /** @type {[string, RegExp][]} */ ([
    [join(empty, 'nowhere'), /^fireside: --model .*nowhere: expected a URL, or the path of a folder or of a GGUF file that is there\n$/],
    [empty, /^fireside: --model .*: expected config\.json/],
    ['http://127.0.0.1:9/model/', /^fireside: .*127\.0\.0\.1:9/],
  ])) {
    const { status, stdout, stderr } = run(['chat', '--model', model, ...(model.startsWith('http') ? [] : ['--threads', '1'])]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, sentence);
    assert.equal(stdout, '');
  }
  assert.equal(run(['chat', '--model', CHAT, '--dtype', 'q3']).status, 1);
});

test('generate continues a text, as the library does', () => {
  const story = join(ROOT, 'models', 'story');
  const [{ prompt, greedy }] = JSON.parse(readFileSync(join(ROOT, 'tests', 'golden', 'story.json'), 'utf8')).cases;
  const { status, stdout, stderr } = run(['generate', prompt, '--model', story, '--temperature', '0', '--repetition-penalty', '1', '--max-tokens', String(greedy.tokens.length)]);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, `${prompt}${greedy.text}\n`);
  assert.match(run(['--help']).stdout, /Usage: fireside COMMAND/);
  assert.match(run(['chat', '--help']).stdout, /--temperature T +Divides the logits/);
  assert.match(run(['generate', '-h']).stdout, /Usage: fireside generate PROMPT/);
});

test('a reader that stops early does not make the program fail', { timeout: PATIENCE_MS }, async () => {
  const chat = cli('chat', ...ENDLESS);
  chat.say('Tell me a story.\n');
  await chat.until(/loaded .*\n/);
  await chat.until(/\w+ \w+ \w+/);
  chat.child.stdout.destroy();
  assert.equal(await chat.end, 0);
});

const hasScript = spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux');

/** Runs in a terminal: input is typed, Ctrl-C is a key. @param {string[]} args */
const inTerminal = (...args) => {
  const command = [process.execPath, CLI, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
  return talk('script', ['--quiet', '--return', '--command', command, '/dev/null']);
};

test('in a terminal Ctrl-C stops the answer, and at the prompt ends the program', { skip: !hasScript, timeout: PATIENCE_MS }, async () => {
  const chat = inTerminal('chat', ...ENDLESS);
  await chat.until(/> /);
  chat.say('Tell me a story.\r');
  await chat.until(/\n[^[\n]*\w+ \w+ \w+/);
  chat.say('\x03');
  await chat.until(/\[stopped: the chat is as it was before this turn\]\r?\n[^\n]*> /);
  chat.say('/help\r');
  await chat.until(/A line that begins[^\n]*\n[^\n]*> /);
  chat.say('\x03');
  assert.equal(await chat.end, 130);
});

test('in a terminal lines can be edited and recalled, and Ctrl-D ends', { skip: !hasScript, timeout: PATIENCE_MS }, async () => {
  const chat = inTerminal('chat', ...GREEDY);
  await chat.until(/loaded .*\n[^\n]*> /s);
  chat.say('My name is Adam\x7f.\r'); // a wrong key, then Backspace
  await chat.until(/\n[^[\n]*Ada[^m]/);
  await chat.until(/ended by stop\]\r?\n[^\n]*> /);
  chat.say('/reset\r');
  await chat.until(/> /);
  chat.say('\x1b[A\x1b[A\r'); // up twice: the line before the last
  await chat.until(/My name is Ada\./);
  await chat.until(/ended by stop\]\r?\n[^\n]*> /);
  chat.say('\x04');
  assert.equal(await chat.end, 0);
});

test('text typed during an answer is the next turn', { skip: !hasScript, timeout: PATIENCE_MS }, async () => {
  const chat = inTerminal('chat', ...ENDLESS);
  await chat.until(/> /);
  chat.say('Tell me a story.\r');
  await chat.until(/\n[^[\n]*\w+ \w+ \w+/);
  chat.say('/exit\r');
  chat.say('\x03');
  await chat.until(/\[stopped/);
  assert.equal(await chat.end, 0);
});

test('the example of docs/terminal.md prints what the page says', { skip: process.platform === 'win32' }, () => {
  const project = folder();
  mkdirSync(join(project, 'node_modules', '.bin'), { recursive: true });
  symlinkSync(CLI, join(project, 'node_modules', '.bin', 'fireside'));
  symlinkSync(join(ROOT, 'models'), join(project, 'models'));
  writeFileSync(join(project, 'package.json'), '{}');
  const [, example, output] = /```sh example\n([^]*?)```\n\n((?: {4}.*\n)+)/.exec(readFileSync(join(ROOT, 'docs', 'terminal.md'), 'utf8').split('## `npx fireside`')[1]) ?? [];
  const code = examples('docs/terminal.md').find((each) => each.code === example)?.code ?? '';
  const { status, stdout, stderr } = spawnSync('sh', ['-c', code], { cwd: project, encoding: 'utf8', env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  assert.equal(status, 0, stderr);
  assert.equal(stdout, output.replaceAll(/^ {4}/gm, ''));
});

test('the program can be executed directly', { skip: process.platform === 'win32' }, () => {
  const { status, stdout } = spawnSync(CLI, ['--help'], { encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /Usage: fireside COMMAND/);
});

test('a terminal does not obey control characters of a model, and a pipe gets them unchanged', { skip: !hasScript, timeout: PATIENCE_MS }, async () => {
  // Token 30 of the story model is the Escape byte.
  const args = ['generate', 'Once', '--model', join(ROOT, 'models', 'story'), '--temperature', '0', '--max-tokens', '3', '--logit-bias', '30=100', '--logprobs', '1'];
  const terminal = inTerminal(...args);
  assert.equal(await terminal.end, 0);
  assert(terminal.output.includes('Once\uFFFD\uFFFD\uFFFD') && !terminal.output.includes('\x1b'), JSON.stringify(terminal.output));
  const { stdout, stderr } = run(args);
  assert.equal(stdout, 'Once\x1b\x1b\x1b\n');
  assert.match(stderr, /"\\u001b"/);
});

test('all control characters except line ends and tabs are removed from text, and spelled out in token reports', () => {
  const controls = Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code)).filter((character) => /\p{Cc}/u.test(character));
  assert.equal(controls.length, 65);
  for (const character of controls) {
    assert.equal(harmless(`a${character}🙂`), '\n\t'.includes(character) ? `a${character}🙂` : 'a\uFFFD🙂');
    const told = likelihood({ id: 1, text: character, bytes: [], logprob: -1, top: [{ id: 1, text: character, bytes: [], logprob: -1 }] });
    assert.doesNotMatch(told, /\p{Cc}/u);
    assert.equal(JSON.parse(told.split(' of ')[0].slice('-1.000 '.length)), character);
  }
});
