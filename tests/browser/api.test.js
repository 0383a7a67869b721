// The package in a page: the cases of every environment (tests/surface), under a strict
// Content-Security-Policy.

import { after, before, test } from 'node:test';
import { cases } from '../surface/cases.js';
import { inEachBrowser, serveTests } from './harness.js';

let server;
before(async () => (server = await serveTests()));
after(() => server.close());

inEachBrowser('package', (browser) => {
  for (const { name, run, args, check, expected } of cases(({ url }) => url, '/index.html', '/models/nowhere/')) {
    test(name, async () => {
      const { page, until, close } = await browser.open(`${server.url}tests/blank.html`, { expected });
      await until(() => Boolean(window.fireside));
      const result = await page.evaluate(`(${run})(window.fireside, ${JSON.stringify(args)})`);
      await close();
      await check(result);
    });
  }
});
