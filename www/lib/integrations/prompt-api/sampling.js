// How a session draws its tokens: by the model's published defaults, by a mode that is warmer or colder than these, or by numbers.

import { notSupported } from './exceptions.js';

/** @import { SamplingDefaults } from '../../shared/types.d.ts' */

/** What a mode makes of the model's own temperature. The numbers are ours: the specification leaves them open. */
export const MODES = Object.freeze({
  'most-predictable': 0,
  predictable: 0.5,
  'slightly-predictable': 0.75,
  balanced: 1,
  'slightly-creative': 1.15,
  creative: 1.3,
  'most-creative': 1.6,
});

/** @typedef {keyof typeof MODES} Mode */

/** A temperature above it is lowered to it: by then the model hardly has a say. */
const TEMPERATURE_MAX = 2;

/** What a model that is published as greedy is warmed from. */
const TEMPERATURE = 0.7;

/** A session's: what the engine is told, and what the session shows. @typedef {{ options: { temperature?: number, topK?: number }, samplingMode: Mode | null, temperature: number, topK: number }} Sampling */

/**
 * Checks what was asked for. Throws a RangeError for numbers out of range, NotSupportedError for only one number.
 * @param {{ temperature?: number, topK?: number }} asked
 */
export function checkSampling({ temperature, topK }) {
  if (temperature === undefined && topK === undefined) return;
  if (temperature === undefined || topK === undefined) throw notSupported('Either both of `temperature` and `topK`, or neither.');
  if (!(temperature >= 0)) throw new RangeError('`temperature` is 0 or more.');
  if (!(topK >= 1)) throw new RangeError('`topK` is 1 or more.');
}

/**
 * @param {{ samplingMode?: Mode, temperature?: number, topK?: number }} asked
 * @param {{ defaults: SamplingDefaults, vocab: number }} model
 * @returns {Sampling}
 */
export function sampling({ samplingMode = 'balanced', temperature, topK }, { defaults, vocab }) {
  const all = defaults.topK || vocab;
  if (temperature !== undefined && topK !== undefined) {
    const options = { temperature: Math.min(temperature, TEMPERATURE_MAX), topK: Math.min(Math.floor(topK), vocab) };
    return { options, samplingMode: null, ...options };
  }
  if (samplingMode === 'balanced') return { options: {}, samplingMode, temperature: defaults.temperature, topK: all };
  const warmth = (defaults.temperature || TEMPERATURE) * MODES[samplingMode];
  return { options: { temperature: warmth }, samplingMode, temperature: warmth, topK: all };
}

/** What `params()` tells. @param {{ defaults: SamplingDefaults, vocab: number }} model */
export function params({ defaults, vocab }) {
  return Object.freeze({
    defaultTopK: defaults.topK || vocab,
    maxTopK: vocab,
    defaultTemperature: defaults.temperature,
    maxTemperature: TEMPERATURE_MAX,
  });
}
