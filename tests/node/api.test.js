// The package in a Node program: the cases of every environment (tests/surface), with models on disk and
// over HTTP.

import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { MOUNTS, serve } from '../../scripts/serve.mjs';
import { ROOT } from '../../scripts/tools.mjs';
import * as library from '../../www/lib/node/index.js';
import { cases } from '../surface/cases.js';
import { SHARED } from '../surface/golden.js';
import { folder } from './harness.js';

process.env.XDG_CACHE_HOME = folder();
const server = await serve({ mounts: { '/fixtures/': join(ROOT, 'tests', 'fixtures'), '/shared/': SHARED, ...MOUNTS } });
after(() => server.close());
const served = (/** @type {string} */ path) => new URL(path, server.url).href;

for (const [title, all] of Object.entries({
  'package, from disk': cases(({ folder }) => folder, pathToFileURL(join(ROOT, 'www', 'index.html')).href),
  'package, over HTTP': cases(({ url }) => served(url), served('/index.html'), served('/models/nowhere/')),
})) {
  describe(title, () => {
    for (const { name, run, args, check } of all) test(name, async () => check(await run(library, args)));
  });
}
