// What a visitor of the page experiences: the time from opening it to the first word of a story, and the
// speed of the two bundled models through the package's API, with the build and the threads that it
// chooses.

import { summary } from './measure.mjs';
import { Trouble } from '../scripts/tools.mjs';

const PREFILL_TOKENS = 128;
const DECODE_TOKENS = 128;
const WARM_UP_RUNS = 3;

const MODELS = [
  { name: 'models/story', url: '/models/story/' },
  // Greedy answers of this model end after a few tokens, which is too short to time.
  { name: 'models/chat', url: '/models/chat/', temperature: 2 },
];

/**
 * Runs in the page with one session per model. Each run reads PREFILL_TOKENS new tokens and generates
 * DECODE_TOKENS.
 */
async function measureInPage(models, runs, warmUp, prefillTokens, decodeTokens) {
  const { Session } = await import('/lib/index.js');
  const results = [];
  for (const { url, temperature = 0 } of models) {
    const begin = performance.now();
    const session = await Session.load(url);
    const loadMs = performance.now() - begin;
    // Cuts the text until the prompt has exactly this many tokens.
    let prompt = 'Once upon a time there was a little boat on a big blue lake. '.repeat(20);
    while ((await session.tokenize(prompt, { special: true })).length > prefillTokens) prompt = prompt.slice(0, -1);
    results.push({ session, prompt, temperature, loadMs, prefill: [], decode: [] });
  }
  for (let round = -warmUp; round < runs; round++) {
    for (const { session, prompt, temperature, prefill, decode } of results) {
      await session.reset();
      const { timings } = await session.generate(prompt, { temperature, topP: 1, repetitionPenalty: 1, seed: 1, maxTokens: decodeTokens });
      if (round < 0) continue;
      prefill.push(timings.prefillTokensPerSecond);
      decode.push(timings.decodeTokensPerSecond);
    }
  }
  return results.map(({ session, loadMs, prefill, decode }) => {
    const { dtype, kernels, weightBytes } = session.info();
    session.dispose();
    return { loadMs, prefill, decode, dtype, kernels, weightBytes };
  });
}

/**
 * Runs in the page before its scripts: starts a story as soon as possible, and records when its first word
 * appears.
 */
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

async function firstWord(browser, url, runs) {
  const times = [];
  for (let run = 0; run < runs; run++) {
    // A separate profile without cached files or compiled code.
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

/** Resolves with { firstWordMs, models }. `url`: the URL of www. */
export async function visit(browser, url, runs) {
  const firstWordMs = await firstWord(browser, url, runs);
  const page = await browser.newPage();
  await page.goto(url);
  const script = `(${measureInPage})(${[MODELS, runs, WARM_UP_RUNS, PREFILL_TOKENS, DECODE_TOKENS].map((value) => JSON.stringify(value)).join()})`;
  const measured = await page.evaluate(script);
  await page.close();
  const models = measured.map(({ prefill, decode, ...rest }, index) => ({ name: MODELS[index].name, prefill: summary(prefill), decode: summary(decode), ...rest }));
  return { firstWordMs, models };
}

const show = ({ median, min, max }) => [median, min, max].map((value) => Math.round(value).toLocaleString('en')).join(' | ');

/** As Markdown. */
export function visitMarkdown({ firstWordMs, models }) {
  const lines = ['### A visit', '', '| | median | lowest | highest |', '|---|---|---|---|', `| opening the page to the first word of a story, ms | ${show(firstWordMs)} |`];
  for (const { name, dtype, prefill, decode } of models) {
    lines.push(`| ${name}, ${dtype}: prefill of ${PREFILL_TOKENS}, tokens/s | ${show(prefill)} |`, `| ${name}, ${dtype}: decode of ${DECODE_TOKENS}, tokens/s | ${show(decode)} |`);
  }
  return `${lines.join('\n')}\n`;
}
