// Measures the engine in headless Chromium, through the package's own API: load, prefill and decode of each small model, and the
// time from opening the page to the first word of a story. Ends in a table and one JSON line.
//
//     npm run bench
//
// A speed is the median of RUNS, with the lowest and highest beside it. Runs of the models take turns, so that a machine that slows
// down slows all of them.

import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import puppeteer from 'puppeteer-core';
import { build } from '../scripts/build.mjs';
import { MOUNTS, serve } from '../scripts/serve.mjs';
import { findBrowsers } from '../scripts/setup.mjs';
import { command, ROOT, Trouble } from '../scripts/tools.mjs';

const RUNS = 7;
const PREFILL_TOKENS = 128;
const DECODE_TOKENS = 128;
const WARM_UP_RUNS = 3;
const SHARED = join(dirname(ROOT), 'shared', 'models');

/** What is measured: a name, the folder's address, its storage. TinyStories-656K is a published model; where it is not there its row is left out. */
const ROWS = [
  { name: 'TinyStories-656K, f32', url: '/shared/story/', dtype: 'auto', folder: join(SHARED, 'story') },
  { name: 'TinyStories-656K, f16', url: '/shared/story/', dtype: 'f16', folder: join(SHARED, 'story') },
  { name: 'models/story, f16', url: '/models/story/', dtype: 'auto', folder: join(ROOT, 'models', 'story') },
  // Greedily it ends its answers after a few tokens, which is too short to time.
  { name: 'models/chat, bf16', url: '/models/chat/', dtype: 'auto', folder: join(ROOT, 'models', 'chat'), temperature: 2 },
];

/** Runs in the page: one session a row; a run reads PREFILL_TOKENS new tokens and writes DECODE_TOKENS. */
async function measureInPage(rows, runs, warmUp, prefillTokens, decodeTokens) {
  const { Session } = await import('/lib/index.js');
  const results = [];
  for (const { url, dtype, temperature = 0 } of rows) {
    const begin = performance.now();
    const session = await Session.load(url, { dtype });
    const loadMs = performance.now() - begin;
    // A prompt of exactly so many tokens: its text is cut until it fits.
    let prompt = 'Once upon a time there was a little boat on a big blue lake. '.repeat(20);
    while ((await session.tokenize(prompt, { special: true })).length > prefillTokens) prompt = prompt.slice(0, -1);
    results.push({ session, prompt, temperature, loadMs, prefill: [], decode: [] });
  }
  for (let round = -warmUp; round < runs; round++) {
    for (const { session, prompt, temperature, prefill, decode } of results) {
      await session.reset();
      const { usage, timings } = await session.generate(prompt, { temperature, topP: 1, repetitionPenalty: 1, seed: 1, maxTokens: decodeTokens });
      if (round < 0) continue;
      prefill.push({ rate: timings.prefillTokensPerSecond, tokens: usage.promptTokens });
      decode.push({ rate: timings.decodeTokensPerSecond, tokens: usage.completionTokens });
    }
  }
  return results.map(({ session, loadMs, prefill, decode }) => {
    const { weightBytes } = session.info();
    session.dispose();
    return { loadMs, prefill, decode, weightBytes };
  });
}

/** Runs in the page before its own scripts: tells a story as soon as it can be asked for, and notes when its first word shows. */
function noteFirstWord() {
  let asked = false;
  const timer = setInterval(() => {
    const tell = document.querySelector('#tell');
    if (document.querySelector('#told')?.textContent) {
      window.firstWordMs = performance.now();
      clearInterval(timer);
    } else if (!asked && tell && document.readyState === 'complete' && !tell.disabled) {
      asked = true;
      document.querySelector('#opening').value = 'Once upon a time';
      tell.click();
    }
  }, 2);
}

/** The median of numbers, and their lowest and highest. */
function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
}

const show = ({ median, min, max }) => `${Math.round(median).toLocaleString('en')} (${Math.round(min).toLocaleString('en')} to ${Math.round(max).toLocaleString('en')})`;

async function firstWord(browser, url) {
  const times = [];
  for (let run = 0; run < RUNS; run++) {
    // A profile of its own: nothing is cached, neither files nor compiled code.
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    await page.evaluateOnNewDocument(noteFirstWord);
    await page.goto(url);
    const end = Date.now() + 30_000;
    let ms;
    while ((ms = await page.evaluate(() => window.firstWordMs)) === undefined) {
      if (Date.now() > end) throw new Trouble('the page showed no first word');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    times.push(ms);
    await context.close();
  }
  return summary(times);
}

await command(import.meta.url, async () => {
  await build();
  const executablePath = findBrowsers().chrome;
  if (!executablePath) throw new Trouble('Chrome or Chromium is missing: install one, or set CHROME_BIN to its path');
  const { url, close } = await serve({ mounts: { '/shared/': SHARED, ...MOUNTS } });
  const args = process.getuid?.() === 0 ? ['--no-sandbox', '--disable-dev-shm-usage'] : [];
  const browser = await puppeteer.launch({ browser: 'chrome', executablePath, headless: true, args, protocolTimeout: 600_000 });
  try {
    const rows = ROWS.filter(({ folder }) => existsSync(folder));
    const firstWordMs = await firstWord(browser, url);
    const page = await browser.newPage();
    await page.goto(url);
    const script = `(${measureInPage})(${[rows, RUNS, WARM_UP_RUNS, PREFILL_TOKENS, DECODE_TOKENS].map((value) => JSON.stringify(value)).join()})`;
    const measured = await page.evaluate(script);
    const results = rows.map(({ name }, index) => {
      const { prefill, decode, ...rest } = measured[index];
      const of = (runs) => ({ ...summary(runs.map(({ rate }) => rate)), tokens: runs[0].tokens });
      return { name, prefill: of(prefill), decode: of(decode), ...rest };
    });
    const wasm = gzipSync(readFileSync(join(ROOT, 'www', 'lib', 'pkg', 'fireside_bg.wasm')), { level: 9 }).length;
    const machine = `${cpus().length} x ${cpus()[0].model.trim()}`;

    console.log(`\n${machine}; ${await browser.version()}; one thread; median of ${RUNS} (lowest to highest)\n`);
    console.log('| model | prefill, tokens/s | decode, tokens/s | load, ms |\n|---|---|---|---|');
    for (const { name, prefill, decode, loadMs } of results) console.log(`| ${name} | ${show(prefill)} | ${show(decode)} | ${Math.round(loadMs)} |`);
    console.log(`\nprompts of ${PREFILL_TOKENS} tokens, up to ${DECODE_TOKENS} generated`);
    console.log(`page load to the first word of models/story: ${show(firstWordMs)} ms`);
    console.log(`wasm, gzip: ${wasm.toLocaleString('en')} bytes`);
    console.log(JSON.stringify({ date: new Date().toISOString(), machine, browser: await browser.version(), runs: RUNS, firstWordMs, wasmGzipBytes: wasm, results }));
  } finally {
    await browser.close();
    await close();
  }
});
