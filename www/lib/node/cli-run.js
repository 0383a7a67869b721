// What `chat` and `generate` share: a model being loaded in a terminal, a run being written out as it comes, and what it cost.

import { Model } from './index.js';

/** @import { LoadOptions, Progress } from '../types.d.ts' */
/** @import { Run } from '../run.js' */

/** Everything that is not the text. @param {string} text */
export const say = (text) => process.stderr.write(text);

/** Loads a model, its progress on one line where somebody is looking. @param {string} source @param {LoadOptions} options */
export async function loadModel(source, options) {
  const start = performance.now();
  let line = '';
  const show = (/** @type {string} */ text) => {
    if (process.stderr.isTTY && text !== line) say(`\r${text.padEnd(line.length)}`);
    line = text;
  };
  const onProgress = (/** @type {Progress} */ { phase, loaded, total }) => {
    if (phase !== 'build' && total) show(`loading ${Math.floor((100 * loaded) / total)} % of ${megabytes(total)}`);
  };
  const model = await Model.load(source, { ...options, onProgress })
    .finally(() => process.stderr.isTTY && line && say(`\r${' '.repeat(line.length)}\r`))
    .catch((error) => {
      // The library's words for what was given are not those of the command line.
      if (error?.details?.what === 'source') throw new Error(`--model ${source}: expected ${error.details.expected}`);
      throw error;
    });
  const { weightBytes, dtype, threads } = model.info();
  say(`loaded ${megabytes(weightBytes)} of ${dtype} weights in ${((performance.now() - start) / 1000).toFixed(1)} s; ${threads} thread${threads === 1 ? '' : 's'}\n`);
  return model;
}

/** Writes a run out and tells what it cost. Rejects as the run does. @param {Run} run @param {string} [before] what stands before its text */
export async function write(run, before = '') {
  for await (const { text } of run) {
    process.stdout.write(before + text);
    before = '';
  }
  const { usage, timings, finishReason } = await run;
  process.stdout.write(`${before}\n`);
  const speed = (/** @type {number} */ perSecond) => `${Math.round(perSecond)} a second`;
  say(
    `[prompt ${usage.promptTokens} tokens, ${usage.cachedTokens} of them cached, ${speed(timings.prefillTokensPerSecond)}; ` +
      `answer ${usage.completionTokens} tokens, ${speed(timings.decodeTokensPerSecond)}; ended by ${finishReason}]\n`,
  );
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
