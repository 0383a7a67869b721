// What `chat` and `generate` share: loading a model in a terminal, writing out a run as it comes, and
// telling its cost.

import { Model } from './index.js';

/** @import { LoadOptions, Progress, TokenLogprob } from '../shared/types.d.ts' */
/** @import { Run } from '../client/run.js' */

/** Writes anything but the text of the model. @param {string} text */
export const say = (text) => process.stderr.write(text);

/**
 * Loads a model, with its progress on one line in a terminal.
 * @param {string} source
 * @param {LoadOptions} options
 */
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
  const loading = Model.load(source, { ...options, onProgress }).finally(() => process.stderr.isTTY && line && say(`\r${' '.repeat(line.length)}\r`));
  const model = await naming(source, loading);
  const { weightBytes, dtype, threads } = model.info();
  say(`loaded ${megabytes(weightBytes)} of ${dtype} weights in ${((performance.now() - start) / 1000).toFixed(1)} s; ${threads} thread${threads === 1 ? '' : 's'}\n`);
  return model;
}

/**
 * Says in the words of the command line what is wrong with a source.
 * @template T
 * @param {string} source
 * @param {Promise<T>} work
 */
export function naming(source, work) {
  return work.catch((error) => {
    if (error?.details?.what === 'source') throw new Error(`--model ${source}: expected ${error.details.expected}`);
    throw error;
  });
}

/**
 * Writes out a run, all its choices, and tells its cost. Rejects as the run does.
 * @param {Run} run
 * @param {string} [before] what stands before its text
 */
export async function write(run, before = '') {
  const shown = (/** @type {string} */ text) => (process.stdout.isTTY ? harmless(text) : text);
  process.stdout.write(before);
  // The completions after the first are generated at the same time: they are printed when all have ended.
  for await (const { text, choice } of run) if (choice === 0) process.stdout.write(shown(text));
  const { usage, timings, finishReason, choices } = await run;
  process.stdout.write('\n');
  for (const [index, { text }] of choices.entries()) {
    if (index === 0) continue;
    say(`[completion ${index + 1}]\n`);
    process.stdout.write(`${shown(text)}\n`);
  }
  for (const { logprobs = [] } of choices) for (const each of logprobs) say(`[${likelihood(each)}]\n`);
  const speed = (/** @type {number} */ perSecond) => `${Math.round(perSecond)} a second`;
  say(
    `[prompt ${usage.promptTokens} tokens, ${usage.cachedTokens} of them cached, ${speed(timings.prefillTokensPerSecond)}; ` +
      `answer ${usage.completionTokens} tokens, ${speed(timings.decodeTokensPerSecond)}; ended by ${finishReason}]\n`,
  );
}

/**
 * Replaces control characters but line ends and tabs: a terminal could take them for commands.
 * @param {string} text
 */
export function harmless(text) {
  return text.replace(/[^\P{Cc}\n\t]/gu, '\uFFFD');
}

/** A line about a token, with no control character in it. @param {TokenLogprob} token */
export function likelihood({ top, ...token }) {
  const quoted = (/** @type {string} */ text) => JSON.stringify(text).replace(/\p{Cc}/gu, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
  const shown = [token, ...top].map(({ logprob, text }) => `${logprob.toFixed(3)} ${quoted(text)}`);
  return shown[0] + (top.length > 0 ? ` of ${shown.slice(1).join(', ')}` : '');
}

/** @param {number} bytes */
function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
