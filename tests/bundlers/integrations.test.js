// The integrations of the installed package in production builds: their modules and bundled parts are found
// like the library's.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from 'vite';
import webpack from 'webpack';
import { serve } from '../../scripts/serve.mjs';
import { chromium, html, project } from './harness.js';

const read = chromium();

const PROGRAM = `
  import { Model } from 'fireside-lm';
  import { createHandler } from 'fireside-lm/openai';
  import { createLanguageModel } from 'fireside-lm/prompt-api';
  import { answerRequests } from 'fireside-lm/service-worker';
  const handler = createHandler({ models: await Model.load('models/story/') });
  const body = JSON.stringify({ model: 'fireside', prompt: 'Once upon a time', temperature: 0, max_tokens: 200 });
  const request = new Request('http://localhost/v1/completions', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  const { choices } = await (await handler(request)).json();
  const story = document.querySelector('#story');
  story.append(choices[0].text);
  const LanguageModel = createLanguageModel({ source: 'models/story/' });
  story.dataset.build = [await LanguageModel.availability(), typeof answerRequests].join(' ');
`;

/** Reads what a build in dist/ writes. @param {string} root */
async function reading(root) {
  cpSync(join(root, 'public'), join(root, 'dist'), { recursive: true });
  const { url, close } = await serve({ mounts: { '/': join(root, 'dist') }, isolation: false });
  assert.equal(await read(url).finally(close), 'available function');
}

test('vite builds a page that uses every integration', async () => {
  const { root, write } = project({ tools: ['vite'], program: PROGRAM });
  write('index.html', html('<script type="module" src="./src/index.js"></script>'));
  await build({ root, configFile: false, logLevel: 'error' });
  await reading(root);
});

test('webpack builds a page that uses every integration', async () => {
  const { root, write } = project({ program: PROGRAM });
  write('public/index.html', html('<script defer src="./main.js"></script>'));
  const compiler = webpack({ context: root, mode: 'production', output: { path: join(root, 'dist') } });
  const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
  assert.equal(stats.hasErrors(), false, stats.toString());
  await reading(root);
});
