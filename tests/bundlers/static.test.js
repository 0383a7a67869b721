// The installed package without a bundler: with an import map, or with the path of the module.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { serve } from '../../scripts/serve.mjs';
import { chromium, expectedBuild, html, project, textOf } from './harness.js';

const read = chromium();
const MODULE = './node_modules/fireside-lm/lib/index.js';
const MAP = `<script type="importmap">{ "imports": { "fireside-lm": "${MODULE}" } }</script>`;

for (const threads of [false, true]) {
  for (const way of ['an import map', 'its path']) {
    test(`a static server is enough: found by ${way}, ${threads ? 'on two threads' : 'on one thread'}`, async () => {
      const { root, write } = project({ threads });
      write('index.html', html(`${way === 'its path' ? '' : MAP}<script type="module" src="./src/index.js"></script>`));
      if (way === 'its path') write('src/index.js', textOf(root, 'src/index.js').replace("'fireside-lm'", `'.${MODULE}'`));
      const { url, close } = await serve({ mounts: { '/some/where/models/': join(root, 'public', 'models'), '/some/where/': root }, isolation: threads });
      const build = await read(`${url}some/where/`).finally(close);
      assert.equal(build, expectedBuild(threads));
    });
  }
}
