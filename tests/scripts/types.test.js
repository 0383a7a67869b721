// The types of the npm package in dist/npm, tested with programs: what must compile, and what must not.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../scripts/tools.mjs';
import { examples } from '../docs.js';

const TSC = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
const STRICT = ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noEmit', '--target', 'es2022', '--skipLibCheck', 'false'];
const BUNDLER = ['--module', 'esnext', '--moduleResolution', 'bundler'];
const NODE = ['--module', 'nodenext', '--moduleResolution', 'nodenext'];
const DOM = ['--lib', 'es2022,dom,dom.iterable,dom.asynciterable'];

let project;
before(() => {
  project = mkdtempSync(join(tmpdir(), 'fireside-types-'));
  const packages = join(project, 'node_modules');
  mkdirSync(join(packages, '@types'), { recursive: true });
  symlinkSync(join(ROOT, 'dist', 'npm'), join(packages, 'fireside-lm'), 'junction');
  // Copied, because through a link tsc would find the other types next to them.
  cpSync(join(ROOT, 'node_modules', '@types', 'dom-chromium-ai'), join(packages, '@types', 'dom-chromium-ai'), { recursive: true });
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
});
after(() => rmSync(project, { recursive: true }));

/**
 * Compiles a program. Fails with the compiler's message.
 * @param {string} code
 * @param {string[]} options
 * @param {string} [name]
 */
function compile(code, options, name = 'program.ts') {
  writeFileSync(join(project, name), code);
  try {
    execFileSync(process.execPath, [TSC, ...STRICT, ...options, name], { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    assert.fail(`${error.stdout}${error.stderr}`);
  }
}

const EVERY_ENTRY = `
  import { cache, FiresideError, Model, modelCache, Session } from 'fireside-lm';
  import { isolate } from 'fireside-lm/isolation';
  import init from 'fireside-lm/wasm';
  import { createHandler } from 'fireside-lm/openai';
  import { createLanguageModel, install } from 'fireside-lm/prompt-api';
  import { answerRequests } from 'fireside-lm/service-worker';
  console.log(cache === modelCache, FiresideError, Model, Session, isolate, init, createHandler, createLanguageModel, install, answerRequests);`;

for (const [how, options] of Object.entries({ 'for a bundler': BUNDLER, 'for Node': NODE })) {
  test(`every entry compiles ${how} with all of its declarations checked`, () => compile(EVERY_ENTRY, [...options, '--types', '', ...DOM]));
}

test('options are typed: a misspelt name does not compile, the names of other APIs do', () =>
  compile(
    `import { Session, type GenerateAliases, type GenerateOptions } from 'fireside-lm';
    const session = await Session.load('models/story/');
    session.generate('Once', { temperature: 0.8, maxTokens: 9, topP: 0.9, stop: ['.', 3], stopTokenIds: [2], seed: 7 });
    session.chat('Hello', { max_tokens: 9, top_p: 0.9, temperature: 1 });
    const options: GenerateOptions = { minP: 0.1 };
    const aliases: GenerateAliases = { max_new_tokens: 9, stop_strings: ['.'] };
    session.regenerate({ ...options, ...aliases });
    // @ts-expect-error
    session.generate('Once', { temprature: 0.8 });
    // @ts-expect-error
    session.chat('Hello', { maxTokens: '9' });
    // @ts-expect-error
    const mixed: GenerateOptions = { max_tokens: 9 };
    // @ts-expect-error
    await Session.load('models/story/', { dtyp: 'q8' });
    console.log(mixed);`,
    [...BUNDLER, '--types', '', ...DOM],
  ));

test('every type can be imported by name', () => {
  const types = readFileSync(join(ROOT, 'www', 'lib', 'shared', 'types.d.ts'), 'utf8');
  const derived = /^export type \{(.*)\} from/m.exec(types)?.[1].split(',').map((name) => name.trim()) ?? [];
  const named = [...types.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name]) => name).concat(derived);
  // Types used only inside the package.
  const inner = /^(StorageOptions|TypedEventTarget)$/;
  const offered = [...named.filter((name) => !inner.test(name)), 'Run'];
  assert(offered.length > 25, offered.join());
  compile(`import type { ${offered.join(', ')} } from 'fireside-lm';\nexport type All = [${offered.map((name) => name)}];`, [...BUNDLER, '--types', '', ...DOM]);
});

test('messages, events and results are typed', () =>
  compile(
    `import { FiresideError, Session, type ErrorCode, type Message, type RunResult, type Timings } from 'fireside-lm';
    const session = await Session.load('models/chat/');
    const messages: Message[] = [{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hello' }];
    const run = session.chat(messages);
    for await (const { text, tokensPerSecond } of run) console.log(text.trim(), tokensPerSecond.toFixed());
    const { finishReason, usage, timings, message }: RunResult = await run;
    const seconds: Timings['prefillMs'] = timings.prefillMs / 1000;
    console.log(finishReason satisfies 'stop' | 'length' | 'abort', usage.cachedTokens.toFixed(), seconds, message?.role);
    session.addEventListener('contextoverflow', ({ detail }) => console.log(detail.droppedMessages.toFixed()));
    session.addEventListener('anything', (event: Event) => console.log(event.type), { once: true });
    session.oncontextoverflow = ({ detail }) => console.log(detail.droppedTokens.toFixed());
    try {
      await session.chat('Hello');
    } catch (error) {
      if (error instanceof FiresideError) console.log(error.code satisfies ErrorCode);
    }
    // @ts-expect-error
    session.chat([{ role: 'usr', content: 'Hello' }]);
    // @ts-expect-error
    session.addEventListener('contextoverflow', ({ detail }) => detail.dropped);
    using other = await session.clone();
    console.log(other.contextUsage);`,
    [...BUNDLER, '--types', '', '--lib', 'es2022,esnext.disposable,dom,dom.asynciterable'],
  ));

test("the class of the Prompt API has the type of the browser's own", () =>
  compile(
    `import { createLanguageModel, install } from 'fireside-lm/prompt-api';
    const Ours = createLanguageModel({ source: 'models/chat/', maxTokens: 256 });
    const browsers: typeof LanguageModel = Ours;
    const installed: typeof LanguageModel = install({ source: 'models/chat/' });
    const session: LanguageModel = await Ours.create({ initialPrompts: [{ role: 'system', content: 'Be brief.' }], monitor: (monitor) => monitor.addEventListener('downloadprogress', ({ loaded }) => console.log(loaded.toFixed(2))) });
    session.addEventListener('contextoverflow', (event) => console.log(event.type));
    console.log(browsers, installed, await session.prompt('Hello'), session.contextUsage.toFixed());
    // @ts-expect-error
    createLanguageModel({ source: 'models/chat/', onProgress: () => {} });`,
    [...BUNDLER, '--types', 'dom-chromium-ai', '--lib', 'es2024,esnext.disposable,dom,dom.iterable,dom.asynciterable'],
  ));

test('the example of docs/prompt-api.md compiles', () => {
  const [{ code }] = examples('docs/prompt-api.md');
  compile(code, [...BUNDLER, '--types', 'dom-chromium-ai', '--lib', 'es2024,esnext.disposable,dom,dom.iterable,dom.asynciterable']);
});

test('the handler of fireside-lm/openai has the type of fetch, as clients need it', () =>
  compile(
    `import { Model } from 'fireside-lm';
    import { createHandler } from 'fireside-lm/openai';
    const handler = createHandler({ models: { chat: await Model.load('models/chat/') } });
    const asFetch: typeof globalThis.fetch = handler;
    const asClient: (url: string | URL, init?: RequestInit) => Promise<Response> = handler;
    const response: Response = await handler(new Request('http://localhost/v1/models'), { owner: 'ada' });
    // @ts-expect-error
    await handler(new Request('http://localhost/v1/models'), { ownr: 'ada' });
    console.log(asFetch, asClient, response.status);
    await handler.close({ graceMs: 100 });`,
    [...BUNDLER, '--types', '', ...DOM],
  ));
