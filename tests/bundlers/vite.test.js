// The installed package in a Vite project without configuration.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { build, createServer, preview } from 'vite';
import { chromium, expectedBuild, html, ISOLATION, project } from './harness.js';

const read = chromium();

for (const threads of [false, true]) {
  const settings = { host: '127.0.0.1', port: 0, headers: threads ? ISOLATION : {} };
  const how = threads ? 'on two threads where the server isolates the page' : 'on one thread';

  /** @param {string} root */
  const common = (root) => ({ root, configFile: /** @type {const} */ (false), logLevel: /** @type {const} */ ('error') });

  const made = () => {
    const { root, write } = project({ tools: ['vite'], threads });
    write('index.html', html('<script type="module" src="./src/index.js"></script>'));
    return root;
  };

  test(`vite serves it in development, ${how}`, async () => {
    const server = await createServer({ ...common(made()), server: settings });
    await server.listen();
    const build = await read(server.resolvedUrls.local[0]).finally(() => server.close());
    assert.equal(build, expectedBuild(threads));
  });

  test(`vite builds it for production, ${how}`, async () => {
    const root = made();
    await build(common(root));
    const server = await preview({ ...common(root), preview: settings });
    const used = await read(server.resolvedUrls.local[0]).finally(() => server.close());
    assert.equal(used, expectedBuild(threads));
  });
}
