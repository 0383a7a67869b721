// Measures one shape in one format. Each engine with each number of threads gets its own page. All are
// loaded first and then take turns in every round, so that a slow phase of the machine affects all of them.

import { ENGINES, refusal } from './shapes.mjs';

const CALL_TIMEOUT_MS = 240_000;
/** Decode steps timed at each past: enough for an average, few compared with the past. */
const DECODE_PASSES = 24;
const WARM_UP_ROUNDS = 2;
/**
 * The least duration of a sample; shorter jobs are repeated, up to REPEATS_MAX times. Models of a megabyte
 * take single milliseconds.
 */
const SAMPLE_MS = 100;
const REPEATS_MAX = 20;
/** A prompt that an engine would read for longer than this is skipped, and the report says so. */
const PATIENCE_S = 150;

/** The median of numbers, with the lowest and the highest. */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], min: sorted[0], max: sorted.at(-1) };
}

/** Opens a page for each engine that can run this; returns the others with the reason. */
async function open({ browser, url, engines, shape, format, threads, ours, say }) {
  const variants = engines.flatMap((engine) => threads.map((count) => ({ engine, threads: count })));
  const runners = [];
  const refused = [];
  const longest = Math.max(...shape.prefill, ...shape.past) + DECODE_PASSES + 8;
  for (const variant of variants) {
    const why = refusal(variant.engine, shape, format, variant.threads);
    if (why) {
      if (ENGINES[variant.engine].threads || variant.threads === 1) refused.push({ ...variant, why });
      continue;
    }
    const page = await browser.newPage();
    page.setDefaultTimeout(CALL_TIMEOUT_MS);
    await page.goto(`${url}bench/index.html`);
    const context = Math.min(longest, shape.config.max_position_embeddings);
    const options = { folder: `/bench-models/${shape.name}/`, format, threads: variant.threads, context, ours };
    try {
      const loadMs = await page.evaluate((engine, options) => globalThis.load(engine, options), variant.engine, options);
      runners.push({ ...variant, page, loadMs, memory: 0, prefill: {}, decode: {}, texts: {}, notes: [] });
      say(`${ENGINES[variant.engine].title} ${format}, ${variant.threads} T: loaded in ${(loadMs / 1000).toFixed(2)} s`);
    } catch (error) {
      const [line] = error.message.split('\n');
      refused.push({ ...variant, why: line });
      say(`${ENGINES[variant.engine].title} ${format}, ${variant.threads} T: not supported: ${line}`);
      await page.close();
    }
  }
  return { runners, refused };
}

/** The text of tokens, for comparison with engines that return text only. */
const textOf = (tokens, words) => tokens.map((token) => words[token] ?? '').join('').replaceAll('▁', ' ');

/**
 * Resolves with { rows, refused, limits }. A row is one engine with a number of threads; its speeds are
 * lists of tokens per second. `limits[threads]` has lists of rates. `prompts`: { length: { text, ids } };
 * `words`: the text of each token.
 */
export async function measure({ browser, url, engines, shape, format, threads, ours, rounds, prompts, words, say }) {
  const { runners, refused } = await open({ browser, url, engines, shape, format, threads, ours, say });
  const limitsPage = await browser.newPage();
  await limitsPage.goto(`${url}bench/limits.html`);
  const limits = Object.fromEntries(threads.map((count) => [count, []]));

  const call = async (runner, method, ...args) => {
    await runner.page.bringToFront();
    // Some engines never settle their promises after a crash.
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer to ${method}`)), CALL_TIMEOUT_MS);
    });
    const answer = runner.page.evaluate((method, ...args) => globalThis.engineCall(method, ...args), method, ...args);
    return Promise.race([answer, late]).finally(() => clearTimeout(timer));
  };
  const failed = (runner, what, error) => runner.notes.push(`${what}: ${error.message.split('\n')[0]}`);
  const note = (table, key, value) => (table[key] ??= []).push(value);

  /** Tokens per second of a job of this many tokens, repeated if it is too short to time once. */
  const rate = async (tokens, job) => {
    let [times, total] = [0, 0];
    while (total < SAMPLE_MS && times < REPEATS_MAX) {
      total += (await job()).ms;
      times++;
    }
    return ((times * tokens) / total) * 1000;
  };
  const prefill = (runner, length) => rate(length, () => call(runner, 'prefill', prompts[length]));
  const decode = (runner, past) => rate(DECODE_PASSES, async () => {
    const { ms, text, tokens } = await call(runner, 'decode', prompts[past], DECODE_PASSES);
    runner.texts[past] = (text ?? textOf(tokens, words)).trim();
    return { ms };
  });
  /** One round of everything except the longest pasts, or with `warmUp` only of its shortest parts. */
  const round = async (runner, warmUp) => {
    for (const length of warmUp ? shape.prefill.slice(0, 1) : shape.prefill) {
      const speed = await prefill(runner, length);
      if (!warmUp) note(runner.prefill, length, speed);
      if (shape.past.includes(length) && !warmUp) note(runner.decode, length, await decode(runner, length));
    }
    for (const past of shape.past.filter((past) => past < Math.min(...shape.prefill))) {
      const speed = await decode(runner, past);
      if (!warmUp) note(runner.decode, past, speed);
    }
  };
  const inTurns = async (count, job) => {
    for (let i = 0; i < count; i++) {
      for (const runner of runners) {
        if (runner.broken) continue;
        await job(runner, i).catch((error) => {
          runner.broken = true;
          failed(runner, 'gave up', error);
        });
      }
      await limitsPage.bringToFront();
      for (const count of threads) limits[count].push(await limitsPage.evaluate((count) => globalThis.limits(count), count));
    }
  };

  await inTurns(WARM_UP_ROUNDS, (runner) => round(runner, true));
  await inTurns(rounds, (runner, i) => {
    say(`round ${i + 1} of ${rounds}: ${ENGINES[runner.engine].title} ${format}, ${runner.threads} T`);
    return round(runner, false);
  });
  // Reading the longest pasts takes long. They are read once, and every round decodes from there.
  for (const past of shape.past.filter((past) => past > Math.max(...shape.prefill))) {
    for (const runner of runners) {
      const seconds = past / summary(Object.values(runner.prefill).at(-1) ?? [0]).median;
      if (!(seconds < PATIENCE_S)) runner.notes.push(`not measured after ${past}: reading so many takes over ${PATIENCE_S} s`);
      else runner.reached = past;
    }
    await inTurns(rounds, async (runner) => {
      if (runner.reached === past) note(runner.decode, past, await decode(runner, past));
    });
  }

  const rows = [];
  for (const runner of runners) {
    const { page, reached: _, broken, ...row } = runner;
    if (!broken) {
      row.memory = await call(runner, 'memory').catch(() => 0);
      if (row.engine === 'ours') row.model = await call(runner, 'info');
    }
    rows.push(row);
    await page.close();
  }
  await limitsPage.close();
  return { rows, refused, limits };
}
