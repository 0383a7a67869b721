// The installed package in a webpack project without configuration.

import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import webpack from 'webpack';
import WebpackDevServer from 'webpack-dev-server';
import { serve } from '../../scripts/serve.mjs';
import { chromium, expectedBuild, html, ISOLATION, project } from './harness.js';

const read = chromium();

for (const threads of [false, true]) {
  const how = threads ? 'on two threads where the server isolates the page' : 'on one thread';

  /**
   * The settings that webpack takes from its working directory, which is another one here.
   * @param {'development' | 'production'} mode
   */
  const made = (mode) => {
    const { root, write } = project({ threads });
    write('public/index.html', html('<script defer src="./main.js"></script>'));
    return { root, compiler: webpack({ context: root, mode, output: { path: join(root, 'dist') }, infrastructureLogging: { level: 'error' }, stats: 'errors-only' }) };
  };

  test(`webpack serves it in development, ${how}`, async () => {
    const { root, compiler } = made('development');
    const server = new WebpackDevServer({ host: '127.0.0.1', port: 0, static: join(root, 'public'), headers: threads ? ISOLATION : {} }, compiler);
    await server.start();
    const build = await read(`http://127.0.0.1:${server.server.address().port}/`).finally(() => server.stop());
    assert.equal(build, expectedBuild(threads));
  });

  test(`webpack builds it for production, ${how}`, async () => {
    const { root, compiler } = made('production');
    const stats = await new Promise((resolve, reject) => compiler.run((error, stats) => (error ? reject(error) : resolve(stats))));
    assert.equal(stats.hasErrors(), false, stats.toString());
    cpSync(join(root, 'public'), join(root, 'dist'), { recursive: true });
    const { url, close } = await serve({ mounts: { '/some/where/': join(root, 'dist') }, isolation: threads });
    const build = await read(`${url}some/where/`).finally(close);
    assert.equal(build, expectedBuild(threads));
  });
}
