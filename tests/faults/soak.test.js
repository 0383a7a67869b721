// The soak test: thousands of runs, hundreds of aborts, dozens of loads, after which memory is as large as
// after the first of them.
//
// Wasm memory never shrinks, so `wasmBytes` is its peak. The browser's memory is the sum of its processes'
// resident sets (Linux only). The smallest of several samples counts, because unused memory is returned
// with a delay.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { golden, inEachBrowser } from '../browser/harness.js';
import { Driver, UNWATCHED } from './driver.mjs';
import { serveFaults } from './server.mjs';

const ROUNDS = { generations: 2000, aborts: 300, loads: 50 };
/** Enough for the code to be compiled, and for every pool and cache of the browser to be filled once. */
const WARM_UP = { generations: 300, aborts: 50, loads: 10 };

/** How much the browser's memory may grow after the warm-up. */
const GROWTH_MAX = 0.05;

const [{ prompt, greedy }] = golden().find(({ model }) => model === 'story').cases;

let server;
before(async () => (server = await serveFaults()));
after(() => server.close());

/**
 * Runs in the page with `window.model` loaded: the given numbers of runs, aborts and loads. Resolves with
 * the bytes of wasm memory, and a golden text at the end.
 */
async function soak({ Model }, { url, generations, aborts, loads, prompt, maxTokens }) {
  const greedy = { temperature: 0, repetitionPenalty: 1 };
  window.model ??= await Model.load(url, { threads: 1 });
  window.session ??= window.model.session();
  const { session } = window;
  for (let run = 0; run < generations; run++) {
    const text = run % 2 ? prompt : prompt.slice(0, 5 + (run % 9));
    await session.generate(text, { temperature: 1, seed: run, maxTokens: 8 });
  }
  let aborted = 0;
  for (let run = 0; run < aborts; run++) {
    const controller = new AbortController();
    const long = session.generate(prompt, { temperature: 9, seed: run, maxTokens: 400, signal: controller.signal });
    const ended = long.then(() => 'ended', ({ name }) => name);
    // Every third is aborted during prefill, the others after the first piece.
    if (run % 3 === 0) controller.abort();
    else (async () => {
      for await (const _ of long) controller.abort();
    })().catch(() => {});
    if ((await ended) === 'AbortError') aborted++;
  }
  for (let load = 0; load < loads; load++) {
    const model = await Model.load(url, { threads: 1 });
    const other = model.session();
    await other.generate(prompt, { ...greedy, maxTokens: 2 });
    if (load % 2) other.dispose();
    model.dispose();
  }
  const { text } = await session.generate(prompt, { ...greedy, maxTokens });
  return { text, aborted, wasmBytes: (await session.stats()).wasmBytes };
}

/** The ids of a process and all its descendants. @param {number} root */
function family(root) {
  const parents = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      // The name, in parentheses, may contain anything.
      parents.set(Number(pid), Number(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1]));
    } catch {
      // the process ended meanwhile
    }
  }
  const found = [root];
  for (const pid of found) for (const [child, parent] of parents) if (parent === pid) found.push(child);
  return found;
}

/** The resident bytes of these processes. @param {number[]} pids */
function residentBytes(pids) {
  const of = (/** @type {number} */ pid) => {
    try {
      return 1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
    } catch {
      return 0;
    }
  };
  return pids.reduce((sum, pid) => sum + of(pid), 0);
}

/** The smallest of several samples of a browser's memory, after as much garbage collection as possible. */
async function settledBytes(name, browser, page) {
  const client = name === 'chrome' ? await page.createCDPSession() : undefined;
  let least = Infinity;
  for (let sample = 0; sample < 10; sample++) {
    await client?.send('HeapProfiler.collectGarbage');
    await new Promise((resolve) => setTimeout(resolve, 500));
    least = Math.min(least, residentBytes(family(browser.process().pid)));
  }
  await client?.detach();
  return least;
}

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

inEachBrowser('soak', (browser) => {
  test('neither wasm memory nor the browser grows with runs, aborts and loads', { timeout: 600_000 }, async (context) => {
    const driver = new Driver(browser, server);
    const page = await driver.newPage();
    const folder = server.folder('story');
    const { name } = browser;
    page.setDefaultTimeout(0);
    /** In parts short enough for the connection to the browser. */
    const run = async ({ generations, aborts, loads }) => {
      let last;
      for (let part = 0; part < 10; part++) {
        const share = { generations: generations / 10, aborts: aborts / 10, loads: loads / 10 };
        last = await driver.run(page, soak, { url: folder.url, ...share, prompt, maxTokens: greedy.tokens.length });
        assert.equal(last.text, greedy.text);
        assert.equal(last.aborted, share.aborts);
      }
      return last;
    };
    const warm = await run(WARM_UP);
    const warmBytes = await settledBytes(name, browser.browser, page);
    const begin = performance.now();
    const end = await run(ROUNDS);
    const seconds = (performance.now() - begin) / 1000;
    const endBytes = await settledBytes(name, browser.browser, page);
    const growth = endBytes / warmBytes - 1;
    context.diagnostic(
      `${name}: ${ROUNDS.generations} generations, ${ROUNDS.aborts} aborts, ${ROUNDS.loads} loads in ${seconds.toFixed(1)} s; ` +
        `wasm memory ${megabytes(warm.wasmBytes)}, then ${megabytes(end.wasmBytes)}; ` +
        `the browser ${megabytes(warmBytes)}, then ${megabytes(endBytes)} (${(growth * 100).toFixed(1)} %)`,
    );
    assert.equal(end.wasmBytes, warm.wasmBytes);
    assert(growth <= GROWTH_MAX, `the browser grew by ${(growth * 100).toFixed(1)} %`);
    await page.close();
  });
}, UNWATCHED);
