// Measures the engine in headless Chromium against wllama, transformers.js and candle, taking turns in one
// run, and against the limits of the machine in the same browser. Also measures what a visitor of the page
// experiences. Prints tables (Markdown) and ends with one JSON line.
//
//     npm run bench                                 everything: over an hour
//     npm run bench -- --quick                      SmolLM2's shape in f32 and f16, short prompts, 3 rounds
//     npm run bench -- --visit                      only the visit to the page
//     npm run bench -- --deterministic --kv f16     ours without relaxed SIMD, with a KV cache in f16
//     npm run bench -- --shape smollm2 --format f32,q8 --threads 1 --engines ours,candle --rounds 7 \
//                      --prefill 128 --past 16,512
//
//     shapes.mjs    what is measured               measure.mjs   rounds and turns, one shape in one format
//     prepare.mjs   what has to be made first      page/         the engines behind one interface, the limits
//     models/       model files of every kind      candle/       candle as wasm
//     visit.mjs     the page itself                report.mjs    the tables
//
// A speed is the median of the rounds, with the lowest and the highest, after a warm-up in which V8's
// optimising compiler runs. All engines get the same token ids and decode greedily. Time is measured inside
// each engine's worker. The limit of decode is reading every weight once per token at the highest bandwidth
// measured between the rounds. The limit of prefill is the relaxed FMA rate, which the integer products of
// q8 and q4 can exceed.

import { writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';
import { build } from '../scripts/build.mjs';
import { MOUNTS, serve } from '../scripts/serve.mjs';
import { findBrowsers, setupBuild } from '../scripts/setup.mjs';
import { command, ROOT, Trouble } from '../scripts/tools.mjs';
import { downloadBytes } from './download.mjs';
import { measure } from './measure.mjs';
import { CACHE, prepareCandle, prepareLimits, prepareModel, preparePeers } from './prepare.mjs';
import { markdown, shapeReport } from './report.mjs';
import { ENGINES, FORMATS, shapeOf, SHAPES } from './shapes.mjs';
import { visit, visitMarkdown } from './visit.mjs';

const PROTOCOL_TIMEOUT_MS = 1_800_000;

const OPTIONS = {
  shape: { type: 'string' },
  format: { type: 'string' },
  threads: { type: 'string', default: '1,2' },
  engines: { type: 'string', default: Object.keys(ENGINES).join() },
  rounds: { type: 'string', default: '5' },
  prefill: { type: 'string' },
  past: { type: 'string' },
  quick: { type: 'boolean', default: false },
  visit: { type: 'boolean', default: false },
  deterministic: { type: 'boolean', default: false },
  kv: { type: 'string' },
};

/** The items of a comma-separated option. Each must be in `known`. */
function list(name, text, known) {
  const items = text.split(',');
  const strange = items.find((item) => !known.includes(item));
  if (strange !== undefined) throw new Trouble(`--${name}: ${strange} is unknown. Choose from: ${known.join(', ')}`);
  return items;
}

function numbers(name, text) {
  const items = text.split(',').map(Number);
  if (items.some((item) => !Number.isInteger(item) || item < 1)) throw new Trouble(`--${name} takes whole numbers, not ${text}`);
  return items;
}

function plan(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  const { quick, visit, deterministic, kv } = values;
  // These options restrict the run to the named parts.
  const part = quick || values.shape !== undefined || values.format !== undefined;
  const [rounds] = numbers('rounds', quick ? '3' : values.rounds);
  const shapes = visit ? [] : list('shape', values.shape ?? (quick ? 'smollm2' : SHAPES.join()), SHAPES).map(shapeOf).filter(Boolean);
  if (shapes.length === 0 && !visit) throw new Trouble('the files of this published model are not here. Choose another --shape.');
  const lengths = { prefill: values.prefill ?? (quick ? '128' : undefined), past: values.past ?? (quick ? '16' : undefined) };
  for (const shape of shapes) {
    for (const [key, text] of Object.entries(lengths)) {
      if (text) shape[key] = numbers(key, text);
      const unknown = shape[key].find((length) => !shape.lengths.includes(length));
      if (unknown) throw new Trouble(`--${key}: ${shape.title} has no prompt of ${unknown} tokens. Choose from: ${shape.lengths.join(', ')}`);
    }
  }
  return {
    shapes, rounds,
    visit: visit || !part,
    // Only the options that were given, because a build refuses options that it does not know.
    ours: { ...(deterministic && { deterministic }), ...(kv && { kvDtype: kv }) },
    formats: list('format', values.format ?? (quick ? 'f32,f16' : FORMATS.join()), FORMATS),
    threads: numbers('threads', values.threads),
    engines: list('engines', values.engines, Object.keys(ENGINES)),
  };
}

async function start() {
  const executablePath = findBrowsers().chrome;
  if (!executablePath) throw new Trouble('Chrome or Chromium is missing. Install one, or set CHROME_BIN to its path.');
  const mounts = {
    '/bench/': join(ROOT, 'bench', 'page'), '/bench-npm/': join(ROOT, 'bench', 'node_modules'), '/bench-models/': join(CACHE, 'models'),
    '/bench-cache/': CACHE, ...MOUNTS,
  };
  const { url, close } = await serve({ mounts });
  const args = process.getuid?.() === 0 ? ['--no-sandbox', '--disable-dev-shm-usage'] : [];
  const browser = await puppeteer.launch({ browser: 'chrome', executablePath, headless: true, args, protocolTimeout: PROTOCOL_TIMEOUT_MS });
  return { url, browser, close: () => browser.close().then(close) };
}

/** The load of the machine, as far as it reports one. */
const load = () => Number(loadavg()[0].toFixed(2));

await command(import.meta.url, async (args) => {
  const { shapes, formats, threads, engines, rounds, ours, visit: withVisit } = plan(args);
  const { wasmBindgen } = await setupBuild();
  await preparePeers();
  await prepareLimits();
  if (engines.includes('candle')) await prepareCandle(wasmBindgen);
  await build();
  const models = [];
  for (const shape of shapes) models.push(await prepareModel(shape));

  const say = (line) => console.error(line);
  const { url, browser, close } = await start();
  try {
    const machine = `${cpus().length} x ${cpus()[0].model.trim()}`;
    const result = { date: new Date().toISOString(), machine, browser: await browser.version(), rounds, ours, load: [load()], reports: [] };
    const tables = [];
    if (withVisit) {
      result.visit = await visit(browser, url, rounds);
      tables.push(visitMarkdown(result.visit));
    }
    for (const [index, shape] of shapes.entries()) {
      const cells = [];
      for (const format of formats) {
        cells.push({ format, ...(await measure({ browser, url, engines, shape, format, threads, ours, rounds, ...models[index], say })) });
        result.load.push(load());
        // Prints each shape when it is done, so that an early end loses nothing.
        const report = shapeReport(shape, cells);
        writeFileSync(join(CACHE, `${shape.name}.md`), markdown(report, shape));
      }
      const report = shapeReport(shape, cells);
      result.reports.push(report);
      tables.push(markdown(report, shape));
    }
    result.download = Object.fromEntries(engines.map((engine) => [engine, downloadBytes(engine)]));
    const megabytes = (bytes) => (bytes / 1e6).toFixed(2);
    const sizes = Object.entries(result.download).map(([engine, { wasm, js }]) => `${ENGINES[engine].title} ${megabytes(wasm + js)} MB (${megabytes(wasm)} wasm)`);
    console.log(`\n${result.date.slice(0, 10)}, ${machine}, ${result.browser}; median of ${rounds} rounds (lowest to highest) in tokens/s, share of the limit, ours over the best peer; load average ${result.load.join(', ')}\n`);
    console.log(tables.join('\n'));
    console.log(`Download of code, gzip: ${sizes.join('; ')}\n`);
    console.log(JSON.stringify(result));
  } finally {
    await close();
  }
});
